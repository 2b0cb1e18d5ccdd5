"""The bypass alone in a process of its own, to be killed: KAFKA POSTGRES FOLDER WEBHOOK ALERTS."""

import asyncio
import logging
import sys
import time
from pathlib import Path

from dispatch.bypass import Bypass


async def main(kafka: str, postgres: str, folder: str, webhook: str, alerts: str) -> None:
    logging.basicConfig(level=logging.INFO)
    bypass = Bypass(
        kafka=kafka,
        postgres=postgres,
        folder=Path(folder),
        now_us=lambda: time.time_ns() // 1_000,
        webhook=webhook,
        alerts_topic=alerts,
        group=alerts,
    )
    await bypass.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
