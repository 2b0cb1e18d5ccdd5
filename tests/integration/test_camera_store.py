"""Cameras, assets and unknown points in PostgreSQL: entered once, kept where a later file knows less."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cityvigil import camera_store
from cityvigil.camera_files import AssetRow, CameraRow
from cityvigil.unknown import unknown_points
from schemas.migrations import migrations
from schemas.registry import WAITING_BASE, Registry, Sensor


@pytest.fixture
def connection(postgres_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        for migration in migrations():
            connection.execute(migration.sql.encode())
        yield connection


def a_camera(**changes: Any) -> CameraRow:
    values: dict[str, Any] = {
        "row": 2, "camera": "cam-1", "name": "路口", "lon": 120.3, "lat": 36.0, "bearing": 90.0,
        "angle": 60.0, "range_m": 200.0, "owner": "公安", "zone": "shinan-01", "stream": None,
        "snapshot": "http://10.0.0.1/1.jpg", "state": "in-service",
    }  # fmt: skip
    return CameraRow(**{**values, **changes})


def version_of(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("select version from cameras_version").fetchone()
    assert row is not None
    return int(row[0])


def test_an_import_changes_what_differs_and_keeps_what_it_does_not_know(
    connection: psycopg.Connection[Any],
) -> None:
    both = [a_camera(), a_camera(camera="cam-2", bearing=None)]
    assert camera_store.enter(connection, both, "somebody") == 2
    assert version_of(connection) == 1
    assert camera_store.enter(connection, both, "somebody") == 0
    assert version_of(connection) == 1
    from_a_catalogue = a_camera(name="新名", snapshot=None, zone=None, state="maintenance")
    assert camera_store.enter(connection, [from_a_catalogue], "somebody") == 1
    assert version_of(connection) == 2
    first, second = camera_store.read(connection, CameraRow)
    assert first[1:3] == ("新名", 120.3)
    assert first[-2:] == ("http://10.0.0.1/1.jpg", "maintenance")
    assert second[4] is None  # it turns


def test_a_catalogue_that_comes_again_leaves_range_and_angle_as_a_file_said(
    connection: psycopg.Connection[Any],
) -> None:
    unknown = a_camera(camera="cam-3", angle=None, range_m=None)
    camera_store.enter(connection, [unknown], "a catalogue")
    assert [row[5:7] for row in camera_store.read(connection, CameraRow)] == [(90.0, 100.0)]
    camera_store.enter(connection, [a_camera(camera="cam-3", angle=40.0, range_m=500.0)], "a file")
    assert camera_store.enter(connection, [unknown], "the catalogue again") == 0
    assert [row[5:7] for row in camera_store.read(connection, CameraRow)] == [(40.0, 500.0)]


def test_assets_are_entered_likewise(connection: psycopg.Connection[Any]) -> None:
    pipe = AssetRow(2, "main-1", "pipe", "干管", "main", "燃气公司", None, None, None)
    assert camera_store.enter(connection, [pipe], "somebody") == 1
    assert camera_store.enter(connection, [pipe], "somebody") == 0
    assert camera_store.read(connection, AssetRow) == [
        ("main-1", "pipe", "干管", "main", "燃气公司", None, None, None)
    ]
    assert version_of(connection) == 0


def test_an_unknown_point_comes_with_its_newest_values_and_a_guess(
    connection: psycopg.Connection[Any], postgres_dsn: str
) -> None:
    connection.execute("create table readings_spans.every partition of readings default")
    registry = Registry()
    registry.apply(Sensor(1, "gw-1", "AI-1", "water_main_pressure", "MPa", "z"))
    registry.apply(Sensor(WAITING_BASE, "gw-1", "AI-2", None, None, "z", state="waiting"))
    now = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    for minute in range(8):
        at = now - dt.timedelta(minutes=minute)
        connection.execute(
            "insert into readings values (%s, %s, %s, 0)", (at, WAITING_BASE, (30 + minute) / 100)
        )
    connection.execute(
        "insert into sensor_health values (%s, %s, 8, 0, 0, %s, 0.3, 0)", (WAITING_BASE, now.date(), now)
    )
    (point,) = unknown_points(registry, postgres_dsn)
    assert point["examples"] == [0.3, 0.31, 0.32, 0.33, 0.34]
    assert point["suggested"][0]["category"] == "water_main_pressure"
    assert unknown_points(registry, postgres_dsn, zone="elsewhere") == []
