"""History gives back what was stored: windows over spans, texts, sensors by page, neighbours by distance."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator

import numpy as np
import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from schemas import registry
from schemas.migrations import migrations
from schemas.reading import RECORD, Quality
from schemas.registry import Entry, Sensor, Zone
from streams import mirror, span_tables, tending
from streams.copy_rows import COLUMNS, rows_out
from streams.history import History, Point, Text
from streams.spans import HOUR_US

NOW_US = 1_767_225_600_000_000  # 2026-01-01T00:00Z
FIRST_US = NOW_US - 3 * HOUR_US

ENTRIES: list[Entry] = [
    Zone("shinan-01", "shinan", "八大峡", "Badaxia", 0, 120.3, 36.05),
    *(
        Sensor(number, "gw-1", f"p{number}", "gas_manhole_methane", "%{vol}", "shinan-01", lon=lon, lat=36.0)
        for number, lon in ((1, 120.0), (2, 120.3), (3, 120.1), (4, None))
    ),
    Sensor(5, "gw-1", "p5", "water_main_pressure", "MPa", "shinan-01"),
    Sensor(6, "gw-1", "old", "gas_manhole_methane", "%{vol}", "shinan-01", state="retired"),
    Sensor(1 << 30, "gw-x", "new", None, None, None, state="waiting"),
]


@pytest.fixture
async def connection(postgres_dsn: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True) as connection:
        for migration in migrations():
            await connection.execute(migration.sql.encode())
        assert await mirror.apply(connection, map(registry.encode, ENTRIES)) == []
        yield connection


@pytest.fixture
async def history(postgres_dsn: str, connection: psycopg.AsyncConnection) -> AsyncIterator[History]:
    async with AsyncConnectionPool(postgres_dsn, min_size=1, open=False) as pool:
        yield History(pool)


async def store(
    connection: psycopg.AsyncConnection, sensor: int, times: np.ndarray, values: np.ndarray
) -> None:
    records = np.zeros(len(times), RECORD)
    records["time"], records["sensor"], records["value"] = times, sensor, values
    records["quality"] = Quality.suspect
    await span_tables.make_missing(connection, times, [], NOW_US, HOUR_US)
    statement = f"copy readings ({COLUMNS}) from stdin (format binary)".encode()
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(rows_out(records))


async def test_a_window_has_the_readings_of_one_sensor_in_time_order_across_spans(
    connection: psycopg.AsyncConnection, history: History
) -> None:
    times = FIRST_US + np.arange(180) * 60_000_000
    await store(connection, 1, times[::-1], np.arange(180.0)[::-1])
    await store(connection, 2, times, -np.arange(180.0))
    found = await history.window(1, FIRST_US, FIRST_US + 2 * HOUR_US, 1000)
    assert found == [Point(FIRST_US + n * 60_000_000, float(n), Quality.suspect) for n in range(120)]
    assert await history.window(3, FIRST_US, NOW_US, 1000) == []


async def test_a_window_too_large_is_thinned_and_keeps_a_spike(
    connection: psycopg.AsyncConnection, history: History
) -> None:
    values = np.sin(np.arange(5000) / 50)
    values[1234] = 99.0
    await store(connection, 1, FIRST_US + np.arange(5000) * 1_000_000, values)
    found = await history.window(1, FIRST_US, NOW_US, 200)
    assert len(found) <= 200
    assert max(found, key=lambda point: point.value) == (FIRST_US + 1_234_000_000, 99.0, Quality.suspect)
    assert (found[0].time, found[-1].time) == (FIRST_US, FIRST_US + 4_999_000_000)


async def test_readings_are_found_the_same_with_each_index_on_their_span(
    connection: psycopg.AsyncConnection, history: History
) -> None:
    times = FIRST_US + np.arange(3000) * 1_000_000
    for sensor in (1, 2, 3):
        await store(connection, sensor, times, np.arange(3000.0))
    with_blocks = await history.window(2, FIRST_US, NOW_US, 10_000)
    await span_tables.tend(connection, FIRST_US, rows_s=1e6)
    assert {table.indexed for table in await span_tables.tables(connection)} == {False}
    assert await history.window(2, FIRST_US, NOW_US, 10_000) == with_blocks
    await span_tables.tend(connection, NOW_US, rows_s=1e6)
    tables = await span_tables.tables(connection)
    assert {(table.indexed, table.whole) for table in tables} == {(True, True)}
    assert await history.window(2, FIRST_US, NOW_US, 10_000) == with_blocks
    assert len(with_blocks) == 3000
    await span_tables.tend(connection, FIRST_US, rows_s=1e6)
    assert {table.indexed for table in await span_tables.tables(connection)} == {False}


async def test_an_index_that_is_being_built_is_given_up_when_a_rush_begins(
    connection: psycopg.AsyncConnection, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tending, "TEND_S", 0.0)
    monkeypatch.setattr(tending, "LOOK_S", 0.02)
    await store(connection, 1, FIRST_US + np.arange(3000) * 1_000_000, np.arange(3000.0))
    rush = asyncio.Event()
    rows = itertools.count()

    async with (
        asyncio.timeout(60),
        await psycopg.AsyncConnection.connect(postgres_dsn) as writing,
        await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True) as building,
    ):
        await writing.execute("lock table readings in row exclusive mode")  # for it, building waits
        task = asyncio.create_task(
            tending.tend(
                lambda rows_s: span_tables.tend(building, FIRST_US, rows_s),
                lambda: next(rows) * 1_000_000 if rush.is_set() else 0,
                lambda: time.time_ns() // 1_000,
            )
        )
        while not await is_running(connection, "create index concurrently"):
            await asyncio.sleep(0.02)
        rush.set()
        while not await is_running(connection, "drop index concurrently"):
            await asyncio.sleep(0.02)
        await writing.rollback()
        while any(table.indexed for table in await span_tables.tables(connection)):
            await asyncio.sleep(0.02)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def is_running(connection: psycopg.AsyncConnection, statement: str) -> bool:
    found = await connection.execute(
        "select count(*) from pg_stat_activity where state = 'active' and wait_event_type = 'Lock'"
        " and query ilike %s",
        [statement + "%"],
    )
    return bool((await found.fetchall())[0][0])


async def test_texts_come_with_their_times(connection: psycopg.AsyncConnection, history: History) -> None:
    await connection.execute(
        "insert into reading_texts values ('2026-01-01T00:00:00.000001Z', 1, '开', 0),"
        " ('2026-01-01T00:01:00Z', 1, '关', 1), ('2026-01-01T00:01:00Z', 2, '关', 1)"
    )
    assert await history.texts(1, NOW_US, NOW_US + HOUR_US, 10) == [
        Text(NOW_US + 1, "开", 0),
        Text(NOW_US + 60_000_000, "关", 1),
    ]
    assert await history.texts(1, NOW_US, NOW_US + HOUR_US, 1) == [Text(NOW_US + 60_000_000, "关", 1)]


async def test_sensors_come_by_page_and_by_what_is_asked_of_them(history: History) -> None:
    async def numbers(**wanted: str | int) -> list[int]:
        return [row["sensor"] for row in await history.sensors(**wanted)]  # type: ignore[arg-type]  # any filter

    assert await numbers(limit=3) == [1, 2, 3]
    assert await numbers(after=3, limit=3) == [4, 5, 6]
    assert await numbers(zone="shinan-01", category="gas_manhole_methane", state="in-service") == [1, 2, 3, 4]
    assert await numbers(state="waiting") == [1 << 30]
    assert await numbers(zone="nowhere") == []


async def test_a_sensor_is_found_by_number_and_by_its_gateway_name_for_it(history: History) -> None:
    row = await history.sensor_by_point("gw-1", "p2")
    assert row is not None
    assert row == await history.sensor(2)
    assert (row["sensor"], row["district"], row["params"]) == (2, "shinan", {})
    assert await history.sensor(99) is None
    assert [zone["name_zh"] for zone in await history.zones()] == ["八大峡"]


async def test_neighbours_measure_the_same_nearby_nearest_first(history: History) -> None:
    assert [row["sensor"] for row in await history.neighbours(1)] == [3, 2, 4]
    assert [row["sensor"] for row in await history.neighbours(1, limit=1)] == [3]
    assert await history.neighbours(5) == []
