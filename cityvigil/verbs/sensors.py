"""`cityvigil sensors import|export|list|template`: the registry as files, against the stack that runs.

An import is all or nothing: with anything wrong every problem is printed, nothing is entered, and it exits
with 1. `-` is standard input or output.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import getpass
import logging
import sys
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from aiokafka.errors import KafkaError

from cityvigil import compacted, coordinates, sensor_files, template, where
from cityvigil.cells import Problem, uncollected
from cityvigil.errors import CannotRun
from cityvigil.registry_merge import Refusal
from cityvigil.registry_topic import Refused, change, read_registry, read_up_to
from cityvigil.sensor_files import SensorRow
from cityvigil.unknown import unknown_points
from cityvigil.verbs.options import add_data_option, add_json_option, write_json
from schemas.registry import Registry, Sensor
from schemas.topics import READINGS

_T = TypeVar("_T")


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("sensors", help="the registry: import, export, list, template")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    take = actions.add_parser("import", help="add and change sensors as a CSV or .xlsx file says")
    columns = ",".join([*sensor_files.COLUMNS, "tags", *sensor_files.WINDOW_COLUMNS])
    take.add_argument("file", metavar="FILE", help=f"columns {columns},param.NAME, or their Chinese heads")
    zones = f"columns {','.join(sensor_files.ZONE_COLUMNS)}; default: zones.csv beside FILE"
    take.add_argument("--zones", metavar="FILE", help=zones)
    take.add_argument("--gateways", metavar="FILE", help=f"columns {','.join(sensor_files.GATEWAY_COLUMNS)}")
    datum = "of the places in FILE: %(choices)s; default %(default)s (WGS-84)"
    take.add_argument("--datum", choices=coordinates.DATUMS, default="EPSG:4326", help=datum)
    take.add_argument("--zones-datum", choices=coordinates.DATUMS, default="EPSG:4326", help="of the zones")
    take.add_argument("--dry-run", action="store_true", help="check everything, enter nothing")
    take.set_defaults(run=_import)

    give = actions.add_parser("export", help="write the registry as CSV, or as .xlsx by the name")
    give.add_argument("file", metavar="FILE", nargs="?", default="-", help="default: standard output")
    give.add_argument("--zones", metavar="FILE", help="write the zones there")
    give.add_argument("--gateways", metavar="FILE", help="write the gateways there")
    give.set_defaults(run=_export)

    show = actions.add_parser("list", help="sensors, one a line")
    show.add_argument("--zone", metavar="Z")
    show.add_argument("--category", metavar="KEY")
    show.add_argument("--state", choices=sensor_files.STATES)
    unknown = "points that nobody registered, with what they sent and what they probably are"
    show.add_argument("--unknown", action="store_true", help=unknown)
    add_json_option(show)
    show.set_defaults(run=_list)

    empty = actions.add_parser("template", help="an empty file with Chinese heads, to fill in and import")
    empty.add_argument("file", metavar="FILE", help="NAME.xlsx (with explanations) or NAME.csv")
    empty.add_argument("--table", choices=tuple(template.TABLES), default="sensors", help="of what")
    empty.set_defaults(run=_template)

    for action in (take, give, show):
        add_data_option(action)


def _import(args: argparse.Namespace) -> int:
    with uncollected():
        return _import_files(args)


def _import_files(args: argparse.Namespace) -> int:
    content = _bytes(args.file)
    sensors: list[SensorRow] = []
    problems: list[Problem] = []
    if sensor_files.holds_zones(content):
        args.zones, args.zones_datum = args.file, args.datum
    else:
        sensors, problems = sensor_files.read_sensors(content, args.file, args.datum)
        args.zones = args.zones or _zones_beside(args.file)
    zones, wrong_zones = (
        sensor_files.read_zones(
            content if args.zones == args.file else _bytes(args.zones), args.zones, args.zones_datum
        )
        if args.zones
        else ([], [])
    )
    given, wrong_gateways = (
        sensor_files.read_gateways(_bytes(args.gateways), args.gateways) if args.gateways else ([], [])
    )
    problems += wrong_zones + wrong_gateways
    if problems:
        return _say(problems)
    kafka = where.services(args.data).kafka
    by = f"{getpass.getuser()}: sensors import {Path(args.file).name}"
    with _one_import(args.data):
        registry, end = _talking(kafka, read_up_to(kafka))
        gateways = sensor_files.gateways_of(sensors, given, registry)
        zones, told = sensor_files.zones_of(gateways, zones, registry)

        async def work() -> int:
            partitions = await compacted.partitions_of(kafka, READINGS)
            return await change(
                kafka, registry, end, zones, gateways, sensors, partitions, by, dry_run=args.dry_run
            )

        try:
            version = _talking(kafka, work())
        except Refused as refused:
            rows: dict[str, Sequence[Any]] = {"zone": zones, "gateway": gateways, "sensor": sensors}
            files = {"zone": args.zones, "gateway": args.gateways or args.file, "sensor": args.file}
            return _say([_problem(one, rows, files) for one in refused.refusals])
    for line in told:
        print(line, file=sys.stderr)
    if args.dry_run:
        print(f"{len(sensors)} sensors are right; the registry would go from {registry.version} to {version}")
    elif version == registry.version:
        print(f"nothing changed: the registry stays at version {version}")
    else:
        print(f"imported {len(sensors)} sensors, {len(zones)} zones: the registry is version {version}")
    return 0


def _zones_beside(file: str) -> str | None:
    """`zones.csv` in the folder of the sensors' file, if there is one."""
    beside = Path(file).with_name("zones.csv") if file != "-" else None
    return str(beside) if beside and beside.is_file() else None


def _export(args: argparse.Namespace) -> int:
    registry = _load(args.data)
    for target, rows in (
        (args.file, sensor_files.sensor_rows(registry)),
        (args.zones, sensor_files.zone_rows(registry)),
        (args.gateways, sensor_files.gateway_rows(registry)),
    ):
        if target == "-":
            sys.stdout.write(sensor_files.file_of(rows, target).decode())
        elif target:
            _write(Path(target), sensor_files.file_of(rows, target))
    return 0


def _template(args: argparse.Namespace) -> int:
    _write(Path(args.file), template.empty_file(args.table, args.file))
    return 0


def _list(args: argparse.Namespace) -> int:
    if args.unknown:
        return _list_unknown(args)
    found = [
        sensor
        for _, sensor in sorted(_load(args.data).by_number.items())
        if args.zone in (None, sensor.zone)
        and args.category in (None, sensor.category)
        and args.state in (None, sensor.state)
    ]
    write_json(
        args.json, [{name: getattr(sensor, name) for name in sensor_files.COLUMNS} for sensor in found]
    )
    if args.json != "-":
        for sensor in found:
            print(_line(sensor))
    return 0


def _list_unknown(args: argparse.Namespace) -> int:
    """In the order of their numbers; a suggestion is nobody's decision."""
    found = unknown_points(_load(args.data), where.services(args.data).postgres, args.zone)
    write_json(args.json, found)
    if args.json != "-":
        for point in found:
            values = ", ".join(f"{value:.6g}" for value in point["examples"]) or "-"
            guess = point["suggested"][0]["category"] if point["suggested"] else "-"
            print(
                f"{point['sensor']:<10} {point['gateway']:<24} {point['point']:<32} {point['unit'] or '-':<9}"
                f" {guess:<32} {values}"
            )
    return 0


def _line(sensor: Sensor) -> str:
    return (
        f"{sensor.sensor:<10} {sensor.gateway:<24} {sensor.point:<32} {sensor.category or '-':<32}"
        f" {sensor.zone or '-':<16} {sensor.state}"
    )


def _load(data: Path) -> Registry:
    kafka = where.services(data).kafka
    return _talking(kafka, read_registry(kafka))


def _talking(kafka: str, work: Coroutine[Any, Any, _T]) -> _T:
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # what went wrong is said in one line
    try:
        return asyncio.run(work)
    except KafkaError as error:
        raise CannotRun(f"Kafka at {kafka}: {' '.join(str(error).split())}") from error


@contextmanager
def _one_import(data: Path) -> Iterator[None]:
    """Two imports at once could give the same number."""
    with (data / "registry.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _bytes(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CannotRun(f"{file}: {error.strerror}") from error


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise CannotRun(f"{path}: {error.strerror}") from error


def _say(problems: Sequence[Problem]) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} problem{'s' * (len(problems) != 1)}; nothing was imported", file=sys.stderr)
    return 1


def _problem(refusal: Refusal, rows: dict[str, Sequence[Any]], files: dict[str, str]) -> Problem:
    row = rows[refusal.kind][refusal.row].row
    return Problem(files[refusal.kind], row, refusal.column, refusal.expected, repr(refusal.got))
