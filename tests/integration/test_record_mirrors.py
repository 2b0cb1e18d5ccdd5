"""What an import enters and what ingest refuses stands in PostgreSQL as it stands on the topics."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from cityvigil import compacted, registry_topic, trust
from cityvigil.cli import main
from cityvigil.errors import CannotRun
from cityvigil.guarding import Guarding
from cityvigil.migrate import migrate
from cityvigil.registrar import Registrar
from cityvigil.registry_topic import import_registry, read_registry
from cityvigil.sensor_files import GatewayRow, SensorRow, ZoneRow
from cityvigil.stack import Stack
from cityvigil.wiring import now_us
from dispatch.console.desk import Classified
from schemas import control, registry, reject
from schemas.catalogue import catalogue
from schemas.clock import CityClock, to_datetime
from schemas.control import Marks
from schemas.registry import WAITING_BASE, Registry, Sensor
from schemas.reject import Reject
from schemas.topics import READINGS, REJECTS, SENSORS
from streams.record import Record
from tests.integration.record_log import settings_of
from tests.services import a_database

WITHIN_S = 60
METHANE = "gas_manhole_methane"
SENSORS_CSV = """\
gateway,point,sensor,category,unit,zone,asset,lon,lat,state,param.design
{gateway},ch4-1,,gas_manhole_methane,%{{vol}},{zone},井盖一,120.25,36.0,in-service,
{gateway},应变-1,,bridge_strain,,{zone},桥,120.5,36.125,commissioning,1.5
"""
ZONES_CSV = "zone,district,name_zh,name_en,lon,lat\n{zone},shinan,八大峡,Badaxia,120.25,36.0\n"


@pytest.fixture
def dsn(fresh_stack: Stack, unique: str) -> Iterator[str]:
    with a_database(fresh_stack, unique) as dsn:
        asyncio.run(migrate(settings_of(fresh_stack, dsn), judgement_live=True))
        yield dsn


@asynccontextmanager
async def a_historian(kafka: str, dsn: str) -> AsyncIterator[None]:
    record = Record(kafka=kafka, postgres=dsn, clock=CityClock(), wall_us=lambda: time.time_ns() // 1_000)
    stop = asyncio.Event()
    running = asyncio.create_task(record.run(stop))
    yield
    stop.set()
    await asyncio.wait_for(running, WITHIN_S)


async def until_there(dsn: str, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
    """The rows of a query, when there are some."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        async with asyncio.timeout(WITHIN_S):
            while True:
                rows = await (await connection.execute(query.encode(), values)).fetchall()
                if rows:
                    return rows
                await asyncio.sleep(0.02)


async def mirrored(kafka: str, dsn: str, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
    """The rows of a query after the historian has all of the registry."""
    end = await compacted.end_of(kafka, SENSORS)
    async with a_historian(kafka, dsn):
        await until_there(
            dsn, "select 1 from record_offsets where topic = 'sensors' and next_offset >= %s", [end]
        )
    return await until_there(dsn, query, values)


def files(folder: Path, gateway: str) -> list[str]:
    zone = f"zone-{gateway}"
    (folder / "s.csv").write_bytes(SENSORS_CSV.format(gateway=gateway, zone=zone).encode("gb18030"))
    (folder / "z.csv").write_text(ZONES_CSV.format(zone=zone), encoding="utf-8-sig")
    return [str(folder / "s.csv"), "--zones", str(folder / "z.csv")]


def test_a_file_that_is_imported_stands_in_the_tables_and_is_exported_the_same(
    fresh_stack: Stack, dsn: str, unique: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(fresh_stack.data)]
    assert main(["sensors", "import", *files(tmp_path, unique), *data]) == 0
    zone, strain = f"zone-{unique}", catalogue()["bridge_strain"]
    query = """
        select gateway, point, category, unit, zone, asset, lon, lat, state, params, district
        from sensors where gateway = %s order by sensor
    """
    assert asyncio.run(mirrored(fresh_stack.kafka, dsn, query, [unique])) == [
        (unique, "ch4-1", METHANE, "%{vol}", zone, "井盖一", 120.25, 36.0, "in-service", {}, "shinan"),
        (unique, "应变-1", "bridge_strain", strain.unit, zone, "桥", 120.5, 36.125, "commissioning",
         {"design": 1.5}, "shinan"),
    ]  # fmt: skip
    capsys.readouterr()
    assert main(["sensors", "export", *data]) == 0
    exported = capsys.readouterr().out
    assert f"{unique},ch4-1,1,{METHANE},%{{vol}},{zone},井盖一,120.25,36,in-service," in exported
    (tmp_path / "again.csv").write_text(exported, encoding="utf-8")
    assert main(["sensors", "import", str(tmp_path / "again.csv"), *data]) == 0
    assert "nothing changed" in capsys.readouterr().out
    assert main(["sensors", "list", "--zone", zone, "--json", "-", *data]) == 0
    assert [row["point"] for row in json.loads(capsys.readouterr().out)] == ["ch4-1", "应变-1"]


def test_an_import_with_anything_wrong_says_all_of_it_and_enters_nothing(
    fresh_stack: Stack, dsn: str, unique: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(fresh_stack.data)]
    before = asyncio.run(compacted.end_of(fresh_stack.kafka, SENSORS))
    file = tmp_path / "s.csv"
    file.write_text(f"gateway,point,category,zone\n{unique},a,methane,nowhere\n{unique},,,\n")
    assert main(["sensors", "import", str(file), *data]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"{file}: row 2, column category: expected a key of the catalogue")
    assert said[1].startswith(f"{file}: row 3, column point: expected a name")
    file.write_text(f"gateway,point,category,zone\n{unique},a,{METHANE},here\n{unique},a,,\n")
    assert main(["sensors", "import", str(file), *data]) == 1
    said = capsys.readouterr().err.splitlines()
    assert any(f"{file}: row 3, column point" in line for line in said)
    assert main(["sensors", "import", *files(tmp_path, unique), "--dry-run", *data]) == 0
    assert main(["sensors", "import", str(tmp_path / "nothing.csv"), *data]) == 2
    assert asyncio.run(compacted.end_of(fresh_stack.kafka, SENSORS)) == before


def test_a_zone_in_no_file_is_entered_by_its_name_and_a_file_of_zones_says_better_later(
    fresh_stack: Stack, dsn: str, unique: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(fresh_stack.data)]
    file, zones = tmp_path / "s.csv", tmp_path / "districts.csv"
    file.write_text(f"gateway,point,category,zone\n{unique},a,{METHANE},{unique}-07\n")
    assert main(["sensors", "import", str(file), *data]) == 0
    assert f"zone {unique}-07 is in no file of zones: entered in district {unique}" in capsys.readouterr().err
    zones.write_text(f"zone,district,name_zh\n{unique}-07,shinan,七号\n", encoding="utf-8")
    assert main(["sensors", "import", str(zones), *data]) == 0
    found = asyncio.run(read_registry(fresh_stack.kafka))
    assert (found.zones[f"{unique}-07"].district, found.zones[f"{unique}-07"].name_zh) == ("shinan", "七号")


async def test_waiting_points_are_mirrored_and_keep_their_number_when_classified(
    fresh_stack: Stack, dsn: str, unique: str
) -> None:
    kafka, number = fresh_stack.kafka, WAITING_BASE + int(unique[1:6], 16)
    waiting = Sensor(number, unique, "a\0b", None, None, None, state="waiting")
    await compacted.append(kafka, SENSORS, [(waiting.key.encode(), registry.encode(waiting))])
    query = "select point, category, zone, state, district from sensors where sensor = %s"
    assert await mirrored(kafka, dsn, query, [number]) == [("a\ufffdb", None, None, "waiting", None)]
    version = await import_registry(
        kafka,
        [ZoneRow(0, "zone-w", "shibei", "片区", "zone", None, None)],
        [GatewayRow(0, unique, "zone-w", 60.0)],
        [SensorRow(0, unique, "a\0b", category=METHANE)],
        partitions=2,
        by="a test",
    )
    assert await mirrored(kafka, dsn, query, [number]) == [
        ("a\ufffdb", METHANE, "zone-w", "in-service", "shibei")
    ]
    assert await mirrored(kafka, dsn, "select version, by from registry_version", []) == [(version, "a test")]
    found = await read_registry(kafka)
    assert (found.version, found.sensors[unique, "a\0b"].sensor) == (version, number)


async def test_an_import_that_came_between_is_noticed(
    fresh_stack: Stack, dsn: str, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = fresh_stack.kafka
    zones = [ZoneRow(0, f"zone-{unique}", "shibei", "片区", "zone", None, None)]

    async def enter(gateway: str) -> int:
        rows = [SensorRow(0, gateway, "a", category=METHANE)]
        gateways = [GatewayRow(0, gateway, f"zone-{unique}", 60.0)]
        return await import_registry(kafka, zones, gateways, rows, partitions=2, by="a test")

    read = registry_topic._read

    async def read_and_let_another_in(kafka: str) -> tuple[Registry, int]:
        found = await read(kafka)
        monkeypatch.setattr(registry_topic, "_read", read)
        await enter(f"{unique}-other")
        return found

    monkeypatch.setattr(registry_topic, "_read", read_and_let_another_in)
    with pytest.raises(CannotRun, match="another import changed the registry at the same time"):
        await enter(unique)


async def test_rejects_are_kept_with_their_beginning_and_counted_once_by_source_and_reason(
    fresh_stack: Stack, dsn: str, unique: str
) -> None:
    at = to_datetime(now_us() // 1_000_000 * 1_000_000)
    refused = [
        Reject(source=unique, reason="syntax", received_at=at, raw=b"\0{" * 5000, detail="cut\0 JSON"),
        Reject(source=unique, reason="syntax", received_at=at + dt.timedelta(seconds=1), raw=b"", count=3),
        Reject(source=unique, reason="range", received_at=at, raw=b"x", point="known"),
        Reject(source=unique, reason="range", received_at=at, raw=b"x", point="not registered"),
    ]
    known = Sensor(WAITING_BASE + 78, unique, "known", None, None, None, state="waiting")
    await compacted.append(fresh_stack.kafka, SENSORS, [(known.key.encode(), registry.encode(known))])
    again = Marks("ingest-1", 1, {}, {unique: 3})
    await compacted.append(fresh_stack.kafka, READINGS, [(b"", control.encode(again))])
    async with a_historian(fresh_stack.kafka, dsn):
        await until_there(dsn, "select 1 from sensors where gateway = %s", [unique])
    messages = [(unique.encode(), reject.encode(one)) for one in refused]
    for some in ([*messages, (b"x", b"no reject")], messages[2:]):
        _, last = await compacted.append(fresh_stack.kafka, REJECTS, some)
        async with a_historian(fresh_stack.kafka, dsn):
            await until_there(
                dsn, "select 1 from record_offsets where topic = 'rejects' and next_offset > %s", [last]
            )
    counts = "select reason, n, last_at from reject_counts where source = %s order by reason"
    assert await until_there(dsn, counts, [unique]) == [
        ("range", 4, at),
        ("syntax", 4, at + dt.timedelta(seconds=1)),
    ]
    of_point = "select day, n from sensor_rejects where sensor = %s"
    assert await until_there(dsn, of_point, [known.sensor]) == [((at + dt.timedelta(hours=8)).date(), 2)]
    assert await until_there(dsn, "select frames from gateway_again where gateway = %s", [unique]) == [(3,)]
    rows = await until_there(
        dsn, "select detail, raw, size from rejects where source = %s order by log_offset limit 1", [unique]
    )
    assert rows == [("cut\ufffd JSON", b"\0{" * 2048, 10_000)]


async def test_a_category_that_a_person_gives_a_waiting_point_stands_in_the_registry(
    fresh_stack: Stack, dsn: str, unique: str, tmp_path: Path
) -> None:
    kafka = fresh_stack.kafka
    waiting = Sensor(WAITING_BASE + 77, unique, "ch4-9", None, "%{vol}", None, state="waiting")
    await import_registry(kafka, [ZoneRow(0, f"z-{unique}", "shinan", "z", "z", None, None)],
                          [GatewayRow(0, unique, f"z-{unique}", 60.0)], [], 4, "test")  # fmt: skip
    await compacted.append(kafka, SENSORS, [(waiting.key.encode(), registry.encode(waiting))])
    guarding = Guarding(lambda: None)
    async with (
        AsyncConnectionPool(dsn, open=False) as pool,
        trust.opened(kafka, pool, 4, now_us, guarding) as source,
    ):
        registrar = Registrar(kafka, source.registry, 4, tmp_path / "registry.lock")
        version = await registrar.classify([Classified(unique, "ch4-9", METHANE)], "engineer")
        with pytest.raises(ValueError, match="already"):
            await registrar.classify([Classified(unique, "ch4-9", METHANE)], "engineer")
        with pytest.raises(ValueError, match="no point"):
            await registrar.classify([Classified(unique, "other", METHANE)], "engineer")
    after = await read_registry(kafka)
    sensor = after.sensors[unique, "ch4-9"]
    assert (sensor.sensor, sensor.category, sensor.state) == (WAITING_BASE + 77, METHANE, "in-service")
    assert (sensor.zone, after.version) == (f"z-{unique}", version)
