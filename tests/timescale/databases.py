"""States of a database that the tests here begin with, and looks into TimescaleDB's catalogue."""

from __future__ import annotations

import numpy as np
import psycopg
from psycopg import sql

from cityvigil.migrate import Report, make_tables
from cityvigil.timescale import Engine
from schemas.migrations import Needs, migrations
from schemas.reading import RECORD
from streams import readings_table
from streams.spans import HOUR_US


async def apply(connection: psycopg.AsyncConnection, *kinds: Needs) -> None:
    """The migrations of these kinds, as a `cityvigil migrate` that found no more would have done."""
    await connection.execute(
        "create table if not exists schema_migrations"
        " (number int primary key, name text not null, applied_at timestamptz not null default now())"
    )
    for kind in kinds:
        for migration in migrations(kind):
            await connection.execute(migration.sql.encode())
            await connection.execute(
                "insert into schema_migrations (number, name) values (%s, %s)",
                [migration.number, migration.name],
            )


async def migrated(connection: psycopg.AsyncConnection, dsn: str) -> Report:
    report = Report(engine=Engine(None))
    await make_tables(connection, dsn, report)
    return report


async def emptied(connection: psycopg.AsyncConnection) -> None:
    """Of readings and of what the historian remembers."""
    await connection.execute("truncate readings, reading_texts, record_offsets, record_marks")
    found = await connection.execute("select view_name from timescaledb_information.continuous_aggregates")
    for (name,) in await found.fetchall():
        await connection.execute(sql.SQL("truncate {}").format(sql.Identifier(name)))


def records(sensors: np.ndarray, times: np.ndarray, values: np.ndarray, quality: int = 0) -> np.ndarray:
    made = np.zeros(len(times), RECORD)
    made["sensor"], made["time"], made["value"], made["quality"] = sensors, times, values, quality
    return made


async def store(connection: psycopg.AsyncConnection, made: np.ndarray, city_us: int) -> None:
    """As the historian writes."""
    table = await readings_table.found(connection, HOUR_US)
    await table.make_room(connection, made["time"], city_us)
    async with connection.transaction():
        await table.copy(connection, made)


async def all_readings(connection: psycopg.AsyncConnection) -> list[tuple[int, int, float, int]]:
    found = await connection.execute(
        "select sensor, (extract(epoch from time) * 1000000)::bigint, value, quality from readings"
        " order by 1, 2, 3"
    )
    return await found.fetchall()


async def rows_outside_columns(connection: psycopg.AsyncConnection) -> int:
    """Readings that stand in their chunks as rows."""
    found = await connection.execute(
        "select chunk_schema, chunk_name from timescaledb_information.chunks"
        " where hypertable_name = 'readings'"
    )
    total = 0
    for schema, name in await found.fetchall():
        query = sql.SQL("select count(*) from only {}").format(sql.Identifier(schema, name))
        row = await (await connection.execute(query)).fetchone()
        total += row[0] if row else 0
    return total


async def run_job(connection: psycopg.AsyncConnection, procedure: str, table: str) -> None:
    """What the scheduler of a real server does by itself."""
    found = await connection.execute(
        "select j.job_id from timescaledb_information.jobs j"
        " left join timescaledb_information.continuous_aggregates a"
        " on a.materialization_hypertable_name = j.hypertable_name"
        " where j.proc_name = %s and coalesce(a.view_name, j.hypertable_name) = %s",
        [procedure, table],
    )
    [(job,)] = await found.fetchall()
    await connection.execute(sql.SQL("call run_job({})").format(sql.Literal(job)))
