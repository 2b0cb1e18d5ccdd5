"""The historian into TimescaleDB is exact: rows, texts, marks and offsets are of one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from cityvigil.migrate import migrate
from cityvigil.stack import Stack
from tests.integration.historian import Historian, a_historian, until_it_has, until_it_has_all
from tests.integration.record_log import (
    PARTITIONS,
    RecordLog,
    SecondReader,
    a_log,
    assert_exact,
    settings_of,
    what_stands,
)
from tests.timescale.databases import emptied, rows_outside_columns

pytestmark = pytest.mark.integration


@pytest.fixture
async def dsn(fresh_stack: Stack, engine: str, connection: psycopg.AsyncConnection) -> AsyncIterator[str]:
    await migrate(settings_of(fresh_stack, engine), judgement_live=True)
    await emptied(connection)
    yield engine
    await emptied(connection)


@pytest.fixture
async def log(fresh_stack: Stack, dsn: str, unique: str) -> AsyncIterator[RecordLog]:
    async with a_log(fresh_stack.kafka, unique) as log:
        yield log


async def test_columns_hold_the_distinct_readings_of_the_log(
    fresh_stack: Stack, dsn: str, log: RecordLog, connection: psycopg.AsyncConnection, no_aggregates: None
) -> None:
    await log.rounds(40)
    async with a_historian(fresh_stack.kafka, dsn):
        await until_it_has_all(fresh_stack.kafka, dsn)
        await log.rounds(20)
        written = await until_it_has_all(fresh_stack.kafka, dsn)
    found = await what_stands(dsn)
    await assert_exact(written, found)
    assert await rows_outside_columns(connection) < len(found.stored.rows) / 2


async def test_it_goes_on_where_its_transaction_ended_when_it_is_killed(
    fresh_stack: Stack, dsn: str, log: RecordLog, tmp_path: Path
) -> None:
    historian = Historian(fresh_stack.kafka, dsn, tmp_path)
    for kill in range(2):
        await historian.start()
        writing = asyncio.create_task(log.rounds(30))
        await until_it_has(dsn, {number: 30 * kill + 5 for number in range(PARTITIONS)})
        await historian.kill()
        await writing
        await assert_exact(await SecondReader(fresh_stack.kafka).read(), await what_stands(dsn))
    async with a_historian(fresh_stack.kafka, dsn):
        written = await until_it_has_all(fresh_stack.kafka, dsn)
    await assert_exact(written, await what_stands(dsn))
