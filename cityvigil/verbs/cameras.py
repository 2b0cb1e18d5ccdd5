"""`cityvigil cameras` and `cityvigil assets`: import, export, and which cameras can see a place.

An import is all or nothing: with anything wrong every problem is printed, nothing is entered, and it exits
with 1. `-` is standard input or output.
"""

from __future__ import annotations

import argparse
import getpass
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from cityvigil import camera_store, column_names, coordinates, where
from cityvigil.camera_files import (
    AssetRow,
    CameraRow,
    columns_of,
    read_assets,
    read_cameras,
    table,
)
from cityvigil.errors import CannotRun
from cityvigil.sensor_files import file_of
from cityvigil.verbs.options import add_data_option, add_json_option, write_json

Kind = type[CameraRow] | type[AssetRow]
_READ: dict[Kind, Callable[[bytes, str, str], Any]] = {CameraRow: read_cameras, AssetRow: read_assets}


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for verb, kind, says in (
        ("cameras", CameraRow, "video: import, export, and who sees a place"),
        ("assets", AssetRow, "pipes, stations, bridges, buildings: import, export"),
    ):
        parser = subparsers.add_parser(verb, help=says)
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        take = actions.add_parser("import", help="add and change as a file says")
        heads = ",".join(column_names.CAMERAS if kind is CameraRow else column_names.ASSETS)
        xml = ", or a GB/T 28181 catalogue (XML)" if kind is CameraRow else ""
        take.add_argument("file", metavar="FILE", help=f"CSV or .xlsx with the columns {heads}{xml}")
        take.add_argument("--datum", choices=coordinates.DATUMS, default="EPSG:4326", help="of the places")
        take.add_argument("--dry-run", action="store_true", help="check everything, enter nothing")
        take.set_defaults(run=_import, kind=kind)
        give = actions.add_parser("export", help="write them as CSV, or as .xlsx by the name")
        give.add_argument("file", metavar="FILE", nargs="?", default="-", help="default: standard output")
        give.set_defaults(run=_export, kind=kind)
        shown = [take, give]
        if kind is CameraRow:
            near = actions.add_parser("near", help="the cameras that can see a place, nearest first")
            near.add_argument("lon", type=_within(-180, 180), metavar="LON")
            near.add_argument("lat", type=_within(-90, 90), metavar="LAT")
            near.add_argument("--limit", type=_count, default=4, metavar="N")
            add_json_option(near)
            near.set_defaults(run=_near)
            shown.append(near)
        for action in shown:
            add_data_option(action)


def _import(args: argparse.Namespace) -> int:
    rows, problems = _READ[args.kind](_bytes(args.file), args.file, args.datum)
    if problems:
        for problem in problems:
            print(problem, file=sys.stderr)
        print(f"{len(problems)} problem{'s' * (len(problems) != 1)}; nothing was imported", file=sys.stderr)
        return 1
    if args.dry_run:
        print(f"{len(rows)} rows are right")
        return 0
    by = f"{getpass.getuser()}: {Path(args.file).name}"
    changed = _talking(args.data, lambda connection: camera_store.enter(connection, rows, by))
    print(f"imported {len(rows)} rows, {changed} of them new or changed")
    return 0


def _export(args: argparse.Namespace) -> int:
    rows = _talking(args.data, lambda connection: camera_store.read(connection, args.kind))
    content = file_of(table(columns_of(args.kind), rows), args.file)
    if args.file == "-":
        sys.stdout.write(content.decode())
        return 0
    try:
        Path(args.file).write_bytes(content)
    except OSError as error:
        raise CannotRun(f"{args.file}: {error.strerror}") from error
    return 0


def _near(args: argparse.Namespace) -> int:
    from dispatch.sight import Sight

    names = columns_of(CameraRow)
    rows = _talking(args.data, lambda connection: camera_store.read(connection, CameraRow))
    cameras = [dict(zip(names, row, strict=True)) for row in rows]
    cameras = [camera for camera in cameras if camera["state"] == "in-service"]
    columns = ("lon", "lat", "bearing", "angle", "range_m")
    sight = Sight(*([_float(camera[name]) for camera in cameras] for name in columns))
    found = [
        {"camera": cameras[one.camera]["camera"], "name": cameras[one.camera]["name"],
         "distance_m": round(one.distance_m, 1), "bearing": round(one.bearing)}
        for one in sight.seeing(args.lon, args.lat, args.limit)
    ]  # fmt: skip
    write_json(args.json, found)
    if args.json != "-":
        for row in found:
            print(f"{row['camera']:<24} {row['distance_m']:>8} m {row['bearing']:>4}°  {row['name']}")
    return 0


def _within(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected degrees from {low:g} to {high:g}, got {text!r}")
        return value

    return read


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 up, got {text!r}")
    return int(text)


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)


def _talking(data: Path, work: Callable[[psycopg.Connection], Any]) -> Any:
    dsn = where.services(data).postgres
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            return work(connection)
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable) as error:
        raise CannotRun(f"PostgreSQL at {dsn}: {' '.join(str(error).split())}") from error


def _bytes(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CannotRun(f"{file}: {error.strerror}") from error
