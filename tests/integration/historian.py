"""The historian as tests run it, in this process or in one to be killed; waiting for what it stored."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from schemas.clock import CityClock
from schemas.topics import READINGS
from streams.record import Record
from tests.integration.record_log import SecondReader

WITHIN_S = 60


@asynccontextmanager
async def a_historian(kafka: str, dsn: str) -> AsyncIterator[Record]:
    """One in this process, stopped at the end as a service is."""
    record = Record(kafka=kafka, postgres=dsn, clock=CityClock(), wall_us=lambda: time.time_ns() // 1_000)
    stop = asyncio.Event()
    running = asyncio.create_task(record.run(stop))
    try:
        yield record
    finally:
        stop.set()
        await asyncio.wait_for(running, WITHIN_S)


class Historian:
    """One in a process of its own, to be killed."""

    def __init__(self, kafka: str, dsn: str, folder: Path) -> None:
        self._argv = [kafka, dsn]
        self._log = folder / "record.log"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as sink:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.integration.run_record", *self._argv, stdout=sink, stderr=sink
            )

    async def kill(self) -> None:
        assert self.process is not None
        assert self.process.returncode is None, self._log.read_text()[-3000:]
        os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()


async def offsets_of(dsn: str) -> dict[int, int]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        rows = await (
            await connection.execute(
                "select partition, next_offset from record_offsets where topic = %s", [READINGS.name]
            )
        ).fetchall()
    return dict(rows)


async def until_it_has(dsn: str, messages: dict[int, int]) -> None:
    """At least so many messages of each partition."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = await offsets_of(dsn)
            if all(found.get(partition, 0) >= count for partition, count in messages.items()):
                return
            await asyncio.sleep(0.02)


async def until_it_has_all(kafka: str, dsn: str) -> dict[int, list[bytes]]:
    log = await SecondReader(kafka).read()
    await until_it_has(dsn, {partition: len(messages) for partition, messages in log.items()})
    return log
