"""A timed demo: lets the city run, then gathers what was injected and what came of it.

Reads only what anyone could read: the simulator's truth file, the `alerts` topic, the tables of cases and
notices, and the memory of the processes. The judgement is `cityvigil/demo_report.py`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from psycopg_pool import AsyncConnectionPool

from cityvigil import whole_city
from cityvigil.demo_report import CaseRow, Fault, Judgement, Message, judge, percentiles
from dispatch.people import People, add_demo_users
from schemas import alert, topics
from schemas.clock import to_datetime
from simulators import truth
from simulators.faults import FaultSpec

MEMORY_EVERY_S = 2.0


async def add_people(city: whole_city.WholeCity, faults: Sequence[FaultSpec]) -> list[dict[str, Any]]:
    """An account for each desk and for each unit that a fault should reach; passwords are made here."""
    units = sorted({fault.expected_unit for fault in faults if fault.expected_unit is not None})
    async with AsyncConnectionPool(city.settings.postgres, min_size=1, max_size=1, open=False) as pool:
        return await add_demo_users(People(pool), units, dt.datetime.now(dt.UTC))


async def report(
    city: whole_city.WholeCity, seconds: float, expected_faults: int
) -> tuple[dict[str, Any], Judgement]:
    """Runs for `seconds` of wall time, then reports. The report's shape is part of the contract."""
    rss_mb = await _watch_memory(city.data, seconds)
    faults = read_faults(city.data)
    messages = await read_messages(city.settings.kafka, city.settings.partitions)
    async with await psycopg.AsyncConnection.connect(city.settings.postgres) as connection:
        cases = await read_cases(connection)
        twice = await _applied_twice(connection)
        readings, rejected = await _counts(connection)
    result = judge(faults, messages, cases, twice)
    if len(faults) < expected_faults:
        result.wrong.append(f"only {len(faults)} of {expected_faults} faults were injected: run longer")
    return {
        "faults": result.faults,
        "false_cases": len(result.false_cases),
        "false_case_ids": result.false_cases,
        "wrong": result.wrong,
        "sense_to_alert_ms": percentiles(result.delays_ms),
        "readings": readings,
        "rejected": rejected,
        "rss_mb": round(rss_mb),
        "seconds": seconds,
    }, result


def truth_file(data: Path) -> Path:
    return data / "truth.jsonl"


def read_faults(data: Path) -> list[Fault]:
    return [
        Fault(
            kind=row["kind"],
            network=row["network"],
            zone=row["zone"],
            subjects=frozenset(row["subjects"]),
            onset=dt.datetime.fromisoformat(row["onset"]),
            end=dt.datetime.fromisoformat(row["end"]),
            expected_level=row["expected_level"],
            expected_unit=row["expected_unit"],
        )
        for row in truth.read(truth_file(data))
    ]


async def read_messages(bootstrap: str, count: int) -> list[Message]:
    """Everything on the `count` partitions of `alerts` as of now, with Kafka's own time."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        fetch_max_wait_ms=50,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topics.ALERTS.name, number) for number in range(count)]
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        messages = []
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                messages += [
                    Message(alert.decode(found.value), to_datetime(found.timestamp * 1000)) for found in batch
                ]
        return messages
    finally:
        await consumer.stop()


async def read_cases(connection: psycopg.AsyncConnection) -> list[CaseRow]:
    rows = await connection.execute(
        "select case_id, state, level, unit, alerts,"
        " (select min(first_attempt_at) from outbox o where o.case_id = cases.case_id)"
        " from cases order by opened_at"
    )
    return [
        CaseRow(case_id, state, level, unit, tuple(alerts), notified)
        async for case_id, state, level, unit, alerts, notified in rows
    ]


async def _applied_twice(connection: psycopg.AsyncConnection) -> list[tuple[str, int]]:
    """Changes of an alert that stand twice in the history of cases."""
    rows = await connection.execute(
        "select evidence->>'alert_id', (evidence->>'alert_seq')::int from case_transitions"
        " where actor = 'dispatch' and evidence->>'alert_id' is not null"
        " group by 1, 2 having count(*) > 1"
    )
    return [(str(alert_id), int(seq or 0)) async for alert_id, seq in rows]


async def _counts(connection: psycopg.AsyncConnection) -> tuple[int, int]:
    row = await (
        await connection.execute(
            "select (select count(*) from readings), (select coalesce(sum(n), 0) from reject_counts)"
        )
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


async def _watch_memory(data: Path, seconds: float) -> float:
    """Waits, and gives the largest sum of what the processes hold, in MB."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    brokers = whole_city.broker_pids(data)
    largest = 0.0
    while (left := end - loop.time()) > 0:
        largest = max(largest, sum(map(memory_mb, [*brokers, *whole_city.service_pids(data)])))
        await asyncio.sleep(min(MEMORY_EVERY_S, left))
    return largest


def memory_mb(pid: int) -> float:
    """A process and its children: proportional set size where the kernel tells it, so that pages which
    PostgreSQL's processes share count once; resident set size otherwise; 0 for one that has ended."""
    return sum(_own_mb(one) for one in _family(pid))


def _family(pid: int) -> Iterable[int]:
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield from _family(child)


def _own_mb(pid: int) -> float:
    for name, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    return 0.0
