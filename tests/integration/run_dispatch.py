"""Dispatch alone in a process of its own, so that a test can kill it: KAFKA POSTGRES ALERTS EVENTS."""

import asyncio
import logging
import sys
import time

from detectors.correlation import linked
from dispatch.worker import Dispatch


async def main(kafka: str, postgres: str, alerts: str, events: str) -> None:
    logging.basicConfig(level=logging.INFO)
    dispatch = Dispatch(
        kafka=kafka,
        postgres=postgres,
        linked=linked,
        now_us=lambda: time.time_ns() // 1_000,
        alerts_topic=alerts,
        events_topic=events,
    )
    await dispatch.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
