"""The historian alone in a process of its own, so that a test can kill it: KAFKA POSTGRES."""

import asyncio
import logging
import sys
import time

from schemas.clock import CityClock
from streams.record import Record


async def main(kafka: str, postgres: str) -> None:
    logging.basicConfig(level=logging.INFO)
    record = Record(
        kafka=kafka, postgres=postgres, clock=CityClock(), wall_us=lambda: time.time_ns() // 1_000
    )
    await record.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
