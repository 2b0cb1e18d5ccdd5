"""`cityvigil migrate` where TimescaleDB is offered: hypertable, columns, aggregates; nothing is lost."""

from __future__ import annotations

import numpy as np
import psycopg
import pytest

from cityvigil import timescale
from cityvigil.timescale import LICENSED_ONLY, Engine
from cityvigil.verbs.migrate import lines
from schemas.migrations import Needs, migrations
from streams import readings_table
from streams.spans import DAY_US, HOUR_US
from tests.timescale.databases import all_readings, apply, migrated, records, store
from tests.timescale.engine import an_engine

pytestmark = pytest.mark.integration

NOW_US = 1_767_225_600_000_000  # 2026-01-01T00:00Z


@pytest.mark.parametrize(
    ("engine", "name", "kinds"),
    [
        (Engine(None), "plain PostgreSQL", [Needs.postgresql]),
        (
            Engine("2.25.2"),
            "TimescaleDB 2.25.2 (Apache build)",
            [Needs.postgresql, Needs.timescale],
        ),
        (
            Engine("2.25.2", licensed=True),
            "TimescaleDB 2.25.2 (Community edition, Timescale Licence)",
            [Needs.postgresql, Needs.timescale, Needs.timescale_licensed],
        ),
    ],
)
def test_each_engine_gets_the_migrations_that_it_can_run_and_says_what_it_lacks(
    engine: Engine, name: str, kinds: list[Needs]
) -> None:
    assert (engine.name, list(engine.has)) == (name, kinds)
    assert engine.missing == (() if engine.licensed else LICENSED_ONLY)


async def test_a_plain_database_with_readings_becomes_a_hypertable_and_keeps_each_of_them() -> None:
    """Step by step: in spans, then a hypertable without columns as the Apache build has it, then all."""
    with an_engine() as dsn:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            await apply(connection, Needs.postgresql)
            assert (await readings_table.found(connection, HOUR_US)).says.startswith("a table in spans")
            times = NOW_US - np.arange(300) * HOUR_US // 4
            await store(connection, records(np.arange(300) % 7, times, np.arange(300.0)), NOW_US)
            before = await all_readings(connection)
            assert len(before) == 300

            await connection.execute("create extension timescaledb")
            await apply(connection, Needs.timescale)
            assert await all_readings(connection) == before
            found = await readings_table.found(connection, HOUR_US)
            assert found.says.endswith("written as rows: it has no columnstore")
            await store(connection, records(np.arange(5), np.full(5, NOW_US + DAY_US), np.ones(5)), NOW_US)
            before = await all_readings(connection)
            hours = await aggregated(connection)

            report = await migrated(connection, dsn)
            assert report.migrations == ["080_columnstore.sql"]
            assert await all_readings(connection) == before
            assert await aggregated(connection) == hours
            gone = await connection.execute("select to_regnamespace('readings_spans')")
            assert await gone.fetchone() == (None,)
            assert lines(report) == [
                "applied 080_columnstore.sql",
                f"the database is {report.engine.name}",
            ]
            assert lines(await migrated(connection, dsn))[0] == "nothing to do"


async def aggregated(connection: psycopg.AsyncConnection) -> list[tuple[int, int]]:
    found = await connection.execute("select sensor, sum(n)::int from readings_1h group by 1 order by 1")
    return await found.fetchall()


async def test_an_empty_database_gets_the_extension_and_everything_at_once(
    connection: psycopg.AsyncConnection, engine: str
) -> None:
    await migrated(connection, engine)
    found = await connection.execute("select number from schema_migrations order by 1")
    assert await timescale.find(connection) == Engine("2.23.0-dev", licensed=True)
    every = [migration.number for kind in Needs for migration in migrations(kind)]
    assert [number for (number,) in await found.fetchall()] == sorted(every)
    found = await connection.execute(
        "select hypertable_name, proc_name from timescaledb_information.jobs"
        " where hypertable_name = 'readings' order by 2"
    )
    assert await found.fetchall() == [("readings", "policy_compression"), ("readings", "policy_retention")]
    found = await connection.execute(
        "select view_name, materialized_only from timescaledb_information.continuous_aggregates order by 1"
    )
    assert await found.fetchall() == [("readings_1h", False), ("readings_1min", False)]
