"""Readings in TimescaleDB: as columns or rows, aggregated, recompressed, forgotten in time, read back."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator

import numpy as np
import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from schemas.clock import to_datetime
from schemas.reading import Quality
from streams import hypertable
from streams.history import History, Point
from streams.hypertable import DIRECT_FROM_ROWS
from streams.spans import DAY_US, HOUR_US
from tests.timescale.databases import (
    all_readings,
    emptied,
    migrated,
    records,
    rows_outside_columns,
    run_job,
    store,
)

pytestmark = pytest.mark.integration

NOW_US = 1_767_225_600_000_000  # 2026-01-01T00:00Z


@pytest.fixture(autouse=True)
async def tables(connection: psycopg.AsyncConnection, engine: str) -> AsyncIterator[None]:
    await migrated(connection, engine)
    await emptied(connection)
    yield
    await emptied(connection)


def a_day(sensors: int, rows: int) -> np.ndarray:
    """As they come: by time, all sensors mixed."""
    rng = np.random.default_rng(5)
    times = NOW_US + np.sort(rng.integers(0, DAY_US, rows))
    return records(rng.integers(1, sensors + 1, rows), times, rng.normal(10, 3, rows))


def expected(made: np.ndarray) -> list[tuple[int, int, float, int]]:
    ordered = made[np.lexsort((made["value"], made["time"], made["sensor"]))]
    columns = ("sensor", "time", "value", "quality")
    return list(zip(*(ordered[column].tolist() for column in columns), strict=True))


async def test_a_batch_is_written_as_columns_and_a_handful_as_rows(
    connection: psycopg.AsyncConnection, no_aggregates: None
) -> None:
    table = await hypertable.found(connection)
    assert table is not None
    assert table.why_rows is None
    assert "as columns" in table.says
    made = a_day(50, 5000)
    await store(connection, made, NOW_US)
    assert await rows_outside_columns(connection) == 0
    few = records(np.arange(9), NOW_US + np.arange(9), np.arange(9.0))
    await store(connection, few, NOW_US)
    assert len(few) < DIRECT_FROM_ROWS
    assert await rows_outside_columns(connection) == 9
    assert await all_readings(connection) == expected(np.concatenate([made, few]))


async def test_a_writer_says_why_the_server_would_write_rows_and_leaves_nothing_of_its_trial(
    connection: psycopg.AsyncConnection,
) -> None:
    table = await hypertable.found(connection)
    assert table is not None
    assert table.why_rows is not None
    assert "triggers" in table.why_rows  # the aggregates'
    await store(connection, a_day(50, 1000), NOW_US)
    assert await rows_outside_columns(connection) == 1000
    found = await connection.execute(
        "select count(*) from timescaledb_information.chunks where range_start < '2001-01-01'"
    )
    assert await found.fetchone() == (0,)


async def test_a_unique_index_is_told_because_it_switches_columns_off(
    connection: psycopg.AsyncConnection, no_aggregates: None
) -> None:
    await connection.execute("create unique index in_the_way on readings (sensor, time)")
    try:
        table = await hypertable.found(connection)
    finally:
        await connection.execute("drop index in_the_way")
    assert table is not None
    assert table.why_rows is not None
    assert "unique" in table.why_rows


async def test_the_policy_puts_a_chunk_in_the_order_of_sensors(
    connection: psycopg.AsyncConnection, no_aggregates: None
) -> None:
    made = a_day(50, 8000)
    made["time"] = NOW_US + made["time"] % HOUR_US  # one chunk
    for piece in np.array_split(made, 8):
        await store(connection, piece, NOW_US)
    assert await spread_of_sensors(connection) > 40
    await run_job(connection, "policy_compression", "readings")
    assert await spread_of_sensors(connection) < 10
    assert await all_readings(connection) == expected(made)


async def spread_of_sensors(connection: psycopg.AsyncConnection) -> float:
    """Within a batch of columns, on average: what a search for one sensor cannot skip."""
    found = await connection.execute(
        "select format('%I.%I', c.schema_name, c.table_name) from _timescaledb_catalog.chunk u"
        " join _timescaledb_catalog.chunk c on c.id = u.compressed_chunk_id"
    )
    [(chunk,)] = await found.fetchall()
    found = await connection.execute(f"select avg(_ts_meta_max_1 - _ts_meta_min_1) from {chunk}".encode())
    row = await found.fetchone()
    assert row is not None
    return float(row[0])


async def test_history_reads_columns_and_rows_as_one(
    connection: psycopg.AsyncConnection, engine: str, no_aggregates: None
) -> None:
    times = NOW_US + np.arange(3000) * 20_000_000
    await store(connection, records(np.full(3000, 7), times, np.arange(3000.0)), NOW_US)
    await store(connection, a_day(5, 3000), NOW_US)
    await store(connection, records(np.full(2, 7), NOW_US + np.array([1, 2]), np.array([-1.0, -2.0])), NOW_US)
    async with AsyncConnectionPool(engine, min_size=1, max_size=1, open=False) as pool:
        found = await History(pool).window(7, NOW_US, NOW_US + HOUR_US, 1000)
    assert found == [
        Point(NOW_US, 0.0, Quality.good),
        Point(NOW_US + 1, -1.0, Quality.good),
        Point(NOW_US + 2, -2.0, Quality.good),
        *(Point(NOW_US + n * 20_000_000, float(n), Quality.good) for n in range(1, 180)),
    ]


async def test_aggregates_are_those_of_the_readings_before_and_after_a_refresh(
    connection: psycopg.AsyncConnection,
) -> None:
    now_us = int(dt.datetime.now(dt.UTC).timestamp()) // 3600 * HOUR_US
    made = a_day(4, 2000)
    made["time"] = now_us - 3 * DAY_US + made["time"] % (2 * HOUR_US)
    made["quality"][::10] = Quality.fault  # says nothing about the city
    await store(connection, made, now_us)
    hours, minutes = by(made, HOUR_US), by(made, 60_000_000)
    assert await aggregates(connection, "readings_1min") == minutes
    assert await aggregates(connection, "readings_1h") == hours
    await run_job(connection, "policy_refresh_continuous_aggregate", "readings_1min")
    await run_job(connection, "policy_refresh_continuous_aggregate", "readings_1h")
    assert await aggregates(connection, "readings_1h") == hours
    late = records(np.full(3, 2), made["time"][:1].repeat(3) + np.arange(3), np.array([5.0, 60.0, 7.0]))
    await store(connection, late, now_us)
    await run_job(connection, "policy_refresh_continuous_aggregate", "readings_1min")
    await run_job(connection, "policy_refresh_continuous_aggregate", "readings_1h")
    assert await aggregates(connection, "readings_1min") == by(np.concatenate([made, late]), 60_000_000)
    assert await aggregates(connection, "readings_1h") == by(np.concatenate([made, late]), HOUR_US)


Buckets = dict[tuple[int, int], tuple[int, float, float, float]]


def by(made: np.ndarray, width_us: int) -> Buckets:
    """(sensor, start) -> n, mean, lowest, highest."""
    kept = made[made["quality"] == Quality.good]
    found: dict[tuple[int, int], list[float]] = {}
    for sensor, time, value in zip(
        kept["sensor"].tolist(), kept["time"].tolist(), kept["value"].tolist(), strict=True
    ):
        found.setdefault((sensor, time // width_us * width_us), []).append(value)
    return {
        key: (len(values), round(sum(values) / len(values), 9), min(values), max(values))
        for key, values in found.items()
    }


async def aggregates(connection: psycopg.AsyncConnection, view: str) -> Buckets:
    found = await connection.execute(
        "select sensor, (extract(epoch from time) * 1000000)::bigint, n, mean, lowest, highest"
        f" from {view}".encode()
    )
    return {
        (sensor, time): (n, round(mean, 9), lowest, highest)
        for sensor, time, n, mean, lowest, highest in await found.fetchall()
    }


async def test_retention_forgets_old_readings_and_keeps_the_hours_that_they_made(
    connection: psycopg.AsyncConnection,
) -> None:
    now_us = int(dt.datetime.now(dt.UTC).timestamp() * 1e6)
    old = records(np.full(60, 1), now_us - 800 * DAY_US + np.arange(60), np.ones(60))
    new = records(np.full(60, 1), now_us - 30 * DAY_US + np.arange(60), np.ones(60))
    await store(connection, old, now_us)
    await store(connection, new, now_us)
    ends = [to_datetime(now_us - 801 * DAY_US), to_datetime(now_us - 799 * DAY_US)]
    for view in ("readings_1min", "readings_1h"):
        await connection.execute(f"call refresh_continuous_aggregate('{view}', %s, %s)".encode(), ends)
    await run_job(connection, "policy_retention", "readings")
    assert await all_readings(connection) == expected(new)
    await run_job(connection, "policy_refresh_continuous_aggregate", "readings_1min")
    await run_job(connection, "policy_refresh_continuous_aggregate", "readings_1h")
    found = await connection.execute("select sum(n)::int from readings_1h")
    assert await found.fetchone() == (120,)
