"""What an undisturbed second reader makes of the log that a run has left: rows and cases.

Rows are read from Kafka up to given ends, through the same rule that the historian uses. Cases are those of
another dispatch, in a database of its own, over the same alerts. Alerts are the matter of
`cityvigil/faults/follower.py`. Reads and compares nothing of what the disturbed services left;
`cityvigil/faults/left.py` does.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import psycopg

from cityvigil import postgres
from cityvigil.faults import left
from cityvigil.faults.hands import caught_up
from cityvigil.faults.left import Row
from cityvigil.flow import log
from cityvigil.migrate import migrate
from cityvigil.whole_city import WholeCity
from cityvigil.wiring import now_us
from detectors.correlation import linked
from dispatch.worker import Dispatch
from schemas import frame, sequence, topics

DATABASE = "second_reader"


async def rows(kafka: str, ends: Mapping[int, int]) -> list[Row]:
    """What the log holds, each frame of a gateway once."""
    marks: dict[tuple[str, int], sequence.Mark] = {}
    found: list[Row] = []
    async for _, value in log.messages(kafka, topics.READINGS, ends):
        if frame.kind_of(value) is not frame.Kind.readings:
            continue
        packed = frame.decode(value)
        for at, segment in enumerate(packed.segments):
            key = (packed.gateway_of(at), int(segment["epoch"]))
            marks[key], seen = sequence.observe(marks.get(key), int(segment["sequence"]))
            if seen is not sequence.Seen.duplicate:
                part = packed.records[int(segment["first"]) :][: int(segment["count"])]
                found += [Row(int(r["time"]), int(r["sensor"]), float(r["value"])) for r in part]
    return sorted(found)


async def cases(city: WholeCity) -> left.Cases:
    """Those of a dispatch that nobody disturbs."""
    async with _a_database(city.stack.postgres) as dsn:
        await migrate(dataclasses.replace(city.settings, postgres=dsn), judgement_live=True)
        stop = asyncio.Event()
        other = Dispatch(kafka=city.settings.kafka, postgres=dsn, linked=linked, now_us=now_us)
        running = asyncio.create_task(other.run(stop))
        ends = await log.ends_of(city.settings.kafka, topics.ALERTS)
        await caught_up(lambda: left.undispatched(dsn, ends), "another dispatch to take every alert")
        stop.set()
        await running
        return await left.cases(dsn)


@asynccontextmanager
async def _a_database(beside: str) -> AsyncIterator[str]:
    """An empty one on the same server, gone at the end."""
    port = int(beside.rpartition("/")[0].rpartition(":")[2])
    admin = postgres.dsn(port, "postgres")
    async with await psycopg.AsyncConnection.connect(admin, autocommit=True) as connection:
        await connection.execute(f'drop database if exists "{DATABASE}" with (force)'.encode())
        await connection.execute(f'create database "{DATABASE}"'.encode())
    try:
        yield postgres.dsn(port, DATABASE)
    finally:
        async with await psycopg.AsyncConnection.connect(admin, autocommit=True) as connection:
            await connection.execute(f'drop database if exists "{DATABASE}" with (force)'.encode())
