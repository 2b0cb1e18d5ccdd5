"""The historian is exact: what stands in PostgreSQL is what a second reader makes of the same log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import psycopg
import pytest

from cityvigil import stack as local
from cityvigil.migrate import migrate
from cityvigil.stack import Stack
from schemas.topics import READINGS
from streams import span_tables, tending
from streams.record import Record
from tests.integration.historian import (
    WITHIN_S,
    Historian,
    a_historian,
    offsets_of,
    until_it_has,
    until_it_has_all,
)
from tests.integration.record_log import (
    PARTITIONS,
    RecordLog,
    SecondReader,
    a_log,
    assert_exact,
    settings_of,
    what_stands,
)
from tests.services import a_database


@pytest.fixture
async def dsn(fresh_stack: Stack, unique: str) -> AsyncIterator[str]:
    """A database with tables, beside the module's topics; a historian with it begins with the whole log."""
    with a_database(fresh_stack, unique) as dsn:
        await migrate(settings_of(fresh_stack, dsn), judgement_live=True)
        yield dsn


@pytest.fixture
async def log(fresh_stack: Stack, dsn: str, unique: str) -> AsyncIterator[RecordLog]:
    async with a_log(fresh_stack.kafka, unique) as log:
        yield log


@pytest.fixture
async def historian(fresh_stack: Stack, dsn: str, tmp_path: Path) -> AsyncIterator[Historian]:
    historian = Historian(fresh_stack.kafka, dsn, tmp_path)
    yield historian
    if historian.process and historian.process.returncode is None:
        await historian.kill()


async def until_it_says(record: Record, why_not: str | None) -> None:
    async with asyncio.timeout(WITHIN_S):
        while record.not_ready() != why_not:
            await asyncio.sleep(0.02)


async def test_rows_equal_the_distinct_readings_of_the_log_after_it_is_killed_again_and_again(
    fresh_stack: Stack, dsn: str, log: RecordLog, historian: Historian
) -> None:
    for _ in range(5):
        before = await offsets_of(dsn)
        await historian.start()
        writing = asyncio.create_task(log.rounds(60))
        await until_it_has(dsn, {number: before.get(number, 0) + 5 for number in range(PARTITIONS)})
        await historian.kill()
        found = await what_stands(dsn)
        await writing
        await assert_exact(await SecondReader(fresh_stack.kafka).read(), found)
    await historian.start()
    written = await until_it_has_all(fresh_stack.kafka, dsn)
    await assert_exact(written, await what_stands(dsn))


async def test_readings_stand_only_together_with_their_offsets(
    fresh_stack: Stack, dsn: str, log: RecordLog, historian: Historian
) -> None:
    await historian.start()
    await log.rounds(3)
    await until_it_has_all(fresh_stack.kafka, dsn)
    async with await psycopg.AsyncConnection.connect(dsn) as holding:
        await holding.execute("lock table record_offsets in share row exclusive mode")
        await log.rounds(3)
        await until_it_waits_for_a_lock(dsn)
        await assert_exact(await SecondReader(fresh_stack.kafka).read(), await what_stands(dsn))
        await historian.kill()
    await historian.start()
    written = await until_it_has_all(fresh_stack.kafka, dsn)
    await assert_exact(written, await what_stands(dsn))


async def until_it_waits_for_a_lock(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        async with asyncio.timeout(WITHIN_S):
            while True:
                waiting = await connection.execute(
                    "select 1 from pg_locks where not granted and relation = 'record_offsets'::regclass"
                )
                if await waiting.fetchone():
                    return
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("service", ["postgres", "kafka"])
async def test_it_waits_for_a_service_that_died_and_loses_nothing(
    fresh_stack: Stack, dsn: str, log: RecordLog, historian: Historian, service: str
) -> None:
    await historian.start()
    await log.rounds(20)
    await until_it_has_all(fresh_stack.kafka, dsn)
    writing = asyncio.create_task(log.rounds(20))
    await asyncio.to_thread(local.restart, fresh_stack.data, service)
    await writing
    await log.rounds(20)
    written = await until_it_has_all(fresh_stack.kafka, dsn)
    await assert_exact(written, await what_stands(dsn))
    await historian.kill()  # it is the same process that was started


async def test_a_second_historian_stands_by_and_takes_over(
    fresh_stack: Stack, dsn: str, log: RecordLog
) -> None:
    async with AsyncExitStack() as until_the_first_ends:
        first = await until_the_first_ends.enter_async_context(a_historian(fresh_stack.kafka, dsn))
        await log.rounds(3)
        await until_it_has_all(fresh_stack.kafka, dsn)
        assert first.not_ready() is None
        async with a_historian(fresh_stack.kafka, dsn) as second:
            await until_it_says(second, "standing by: another historian writes")
            await until_the_first_ends.aclose()
            await log.rounds(3)
            written = await until_it_has_all(fresh_stack.kafka, dsn)
            assert second.not_ready() is None
    await assert_exact(written, await what_stands(dsn))


async def test_it_says_that_the_log_lost_what_was_not_stored_and_goes_on(
    fresh_stack: Stack, dsn: str, log: RecordLog, caplog: pytest.LogCaptureFixture
) -> None:
    await log.rounds(3)
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute("insert into record_offsets values (%s, 0, 1000000000)", [READINGS.name])
    async with a_historian(fresh_stack.kafka, dsn), asyncio.timeout(WITHIN_S):
        while (await offsets_of(dsn)).get(0, 10**9) == 10**9:
            await asyncio.sleep(0.02)
        written = await until_it_has_all(fresh_stack.kafka, dsn)
    await assert_exact(written, await what_stands(dsn))
    assert "readings[0] no longer holds offset 1000000000" in caplog.text


async def test_every_reading_that_is_stored_is_counted_once_in_the_health_of_its_sensor(
    fresh_stack: Stack, dsn: str, log: RecordLog
) -> None:
    async with a_historian(fresh_stack.kafka, dsn):
        await log.rounds(3)
        await until_it_has_all(fresh_stack.kafka, dsn)
    async with a_historian(fresh_stack.kafka, dsn):  # what the first one noted when it was stopped, stays
        await log.rounds(2)
        await until_it_has_all(fresh_stack.kafka, dsn)
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        found = await connection.execute(
            "select (select count(*) from readings) + (select count(*) from reading_texts),"
            " (select sum(n) from sensor_health), (select sum(readings) from gateway_repeats),"
            " (select sum(twice) from sensor_health),"
            " (select count(*) - count(distinct (time, sensor, value)) from readings)"
            " + (select count(*) - count(distinct (time, sensor, text)) from reading_texts)"
        )
        row = await found.fetchone()
    assert row is not None
    stored, counted, repeats, twice, said_twice = row
    assert counted == stored > 0
    assert repeats > 0
    assert said_twice > 100
    assert 0.9 * said_twice < twice <= said_twice  # of those in different batches one may be forgotten


async def test_an_open_span_loses_its_exact_index_as_soon_as_a_rush_begins(
    fresh_stack: Stack, dsn: str, log: RecordLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tending, "TEND_S", 3_600.0)
    monkeypatch.setattr(tending, "LOOK_S", 0.05)
    for module in (tending, span_tables):
        monkeypatch.setattr(module, "BUSY_ROWS_S", 1.0)
    async with a_historian(fresh_stack.kafka, dsn):
        await log.rounds(2)
        await until_it_has_all(fresh_stack.kafka, dsn)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await span_tables.tend(connection, time.time_ns() // 1_000, rows_s=0.0)
        before = await exact_indexes(connection)
        assert before
        async with a_historian(fresh_stack.kafka, dsn), asyncio.timeout(WITHIN_S):
            while before <= await exact_indexes(connection):  # spans that are over get theirs meanwhile
                await log.rounds(1)


async def exact_indexes(connection: psycopg.AsyncConnection) -> set[str]:
    found = await connection.execute("select relname from pg_class where relname like '%\\_exact'")
    return {name for (name,) in await found.fetchall()}
