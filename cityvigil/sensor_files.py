"""The registry as files: sensors, zones, gateways; read from what people have, written for people.

CSV or .xlsx, heads in English or Chinese, places in the datum that the caller names. Everything that is
wrong with a file is a `Problem` with its row and column, all of them at once. What a row means beside other
rows and the registry is cityvigil/registry_merge.py's.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from cityvigil import cells, column_names, sheet
from cityvigil.cells import CITY_OFFSET, Cells, Problem
from cityvigil.column_names import PARAM
from schemas import credential
from schemas.catalogue import catalogue
from schemas.clock import to_datetime
from schemas.registry import Gateway, Registry, Sensor

STATES = tuple(column_names.STATES)
COLUMNS = ("gateway", "point", "sensor", "category", "unit", "zone", "asset", "lon", "lat", "state")
WINDOW_COLUMNS = ("maintenance_from", "maintenance_to")
ZONE_COLUMNS = tuple(column_names.ZONES)
GATEWAY_COLUMNS = tuple(column_names.GATEWAYS)
MAX_NUMBER = 2**31 - 1
_TAG = re.compile(r"[^\s;,]{1,64}")


@dataclass(frozen=True, slots=True)
class ZoneRow:
    row: int
    zone: str
    district: str
    name_zh: str
    name_en: str
    lon: float | None
    lat: float | None


@dataclass(frozen=True, slots=True)
class GatewayRow:
    row: int
    gateway: str
    zone: str
    interval_s: float
    silent_after_s: float | None = None
    identity: str | None = None
    password: str | None = None
    """As agreed, or its hash as an export has it; `-` takes it away."""


class SensorRow(msgspec.Struct, frozen=True, gc=False):  # refers to no other; a city has 234,000
    """`sensor` 0 means that the registry gives the number."""

    row: int
    gateway: str
    point: str
    sensor: int = 0
    category: str | None = None
    unit: str | None = None
    zone: str | None = None
    asset: str | None = None
    lon: float | None = None
    lat: float | None = None
    state: str = ""
    params: dict[str, float] = {}
    maintenance_from: int | None = None
    maintenance_to: int | None = None
    tags: tuple[str, ...] | None = None  # None: as they were


def read_sensors(data: bytes, file: str, datum: str = "EPSG:4326") -> tuple[list[SensorRow], list[Problem]]:
    needed = ("gateway", "point")
    return cells.read(data, file, column_names.SENSORS, needed, _sensor, datum=datum, params=True)


def read_zones(data: bytes, file: str, datum: str = "EPSG:4326") -> tuple[list[ZoneRow], list[Problem]]:
    return cells.read(data, file, column_names.ZONES, ("zone", "district"), _zone, datum=datum)


def read_gateways(data: bytes, file: str) -> tuple[list[GatewayRow], list[Problem]]:
    return cells.read(data, file, column_names.GATEWAYS, ("gateway", "zone"), _gateway)


def holds_zones(data: bytes) -> bool:
    """Whether a file's head is that of zones, not of sensors."""
    try:
        head = next(sheet.rows_of(data), (0, []))[1]
    except sheet.Unreadable:
        return False
    names = {column_names.english(name, column_names.ZONES) for name in head}
    return "district" in names and "point" not in {
        column_names.english(name, column_names.SENSORS) for name in head
    }


def gateways_of(
    sensors: Sequence[SensorRow], given: Sequence[GatewayRow], registry: Registry
) -> list[GatewayRow]:
    """Those given, and those that only a sensor's row names: they publish at least every minute."""
    named = {row.gateway for row in given} | registry.gateways.keys()
    found = list(given)
    for row in sensors:
        if row.zone and row.gateway not in named:
            named.add(row.gateway)
            found.append(GatewayRow(row.row, row.gateway, row.zone, Gateway("", "").interval_s))
    return found


def zones_of(
    gateways: Sequence[GatewayRow], given: Sequence[ZoneRow], registry: Registry
) -> tuple[list[ZoneRow], list[str]]:
    """Those given, and those that only a gateway stands in, with what to tell of each: its district is
    taken from its name ("shinan-01" lies in "shinan") until a file of zones says better."""
    named = {row.zone for row in given} | registry.zones.keys()
    found, told = list(given), []
    for row in gateways:
        if row.zone not in named:
            named.add(row.zone)
            zone = guessed_zone(row.zone)
            found.append(zone)
            told.append(f"zone {zone.zone} is in no file of zones: entered in district {zone.district}")
    return found, told


def guessed_zone(zone: str) -> ZoneRow:
    """A zone of which nothing but the name is known."""
    district, dash, number = zone.rpartition("-")
    return ZoneRow(0, zone, district if dash and number.isdigit() else zone, zone, zone, None, None)


@functools.cache
def _categories() -> dict[str, str]:
    """Keys and Chinese names, each to its key."""
    return {row.name_zh: key for key, row in catalogue().items()} | {key: key for key in catalogue()}


_SIGNS = {"℃": "Cel", "°C": "Cel", "m³": "m3", "m³/h": "m3/h", "με": "um/m", "%VOL": "%vol", "%LEL": "%lel"}


def same_unit(text: str, ucum: str) -> bool:
    """Whether a unit as people write it is the catalogue's: no conversion, only other signs for the same.

    >>> same_unit("℃", "Cel"), same_unit("%VOL", "%{vol}"), same_unit("mPa", "MPa"), same_unit("kPa", "kPa")
    (True, True, False, True)
    """
    plain = ucum.replace("{", "").replace("}", "")
    return text == ucum or _SIGNS.get(text, text) in (ucum, plain, plain.lower() if "%" in plain else plain)


def _sensor(row: Cells) -> SensorRow:
    point = row.text("point")
    if not point or len(point) > 256 or not point.isprintable():
        row.wrong("point", "a name of at most 256 printable characters")
    if len(row.text("asset")) > 256:
        row.wrong("asset", "a name of at most 256 characters")
    named, unit = row.text("category"), row.text("unit") or None
    category = _categories().get(named) if named else None
    if named and category is None:
        row.wrong("category", "a key of the catalogue or its Chinese name, or nothing for a point that waits")
    elif category and unit:
        own = catalogue()[category].unit
        if same_unit(unit, own):
            unit = own
        else:
            row.wrong("unit", f"{own} (the catalogue's), or nothing")
    lon, lat = row.place()
    begin, end = row.moment("maintenance_from"), row.moment("maintenance_to")
    if (begin is None) != (end is None):
        row.wrong(
            "maintenance_to" if end is None else "maintenance_from", "both ends of a window, or neither"
        )
    elif begin is not None and end is not None and end <= begin:
        row.wrong("maintenance_to", "a time after maintenance_from")
    return SensorRow(
        row=row.row,
        gateway=row.identifier("gateway"),
        point=point,
        sensor=row.whole("sensor", 1, MAX_NUMBER),
        category=category,
        unit=unit,
        zone=row.identifier("zone", needed=False) or None,
        asset=row.text("asset") or None,
        lon=lon,
        lat=lat,
        state=row.word("state", column_names.STATES),
        params=row.params(),
        maintenance_from=begin,
        maintenance_to=end,
        tags=_tags(row),
    )


def _tags(row: Cells) -> tuple[str, ...] | None:
    text = row.text("tags")
    if not text:
        return None
    tags = [] if text == "-" else [tag.strip() for tag in text.replace("；", ";").split(";")]
    if any(not _TAG.fullmatch(tag) for tag in tags):
        row.wrong("tags", "names without spaces, parted by ; as in dma:7;inlet, or - for none")
        return None
    return tuple(dict.fromkeys(tags))


def _zone(row: Cells) -> ZoneRow:
    zone = row.identifier("zone")
    lon, lat = row.place()
    return ZoneRow(
        row=row.row,
        zone=zone,
        district=row.identifier("district"),
        name_zh=row.text("name_zh") or zone,
        name_en=row.text("name_en") or zone,
        lon=lon,
        lat=lat,
    )


def _gateway(row: Cells) -> GatewayRow:
    week_s = 7 * 86_400.0
    if len(row.text("password")) > credential.LONGEST:
        row.wrong("password", f"at most {credential.LONGEST} characters", "more")
    return GatewayRow(
        row=row.row,
        gateway=row.identifier("gateway"),
        zone=row.identifier("zone"),
        interval_s=row.number("interval_s", 0.1, week_s) or Gateway("", "").interval_s,
        silent_after_s=row.number("silent_after_s", 1, week_s),
        identity=row.text("identity") or None,
        password=row.text("password") or None,
    )


def sensor_rows(registry: Registry) -> Iterator[list[str]]:
    """A head and the sensors by gateway and point, as an import takes them back unchanged."""
    sensors = sorted(registry.sensors.values(), key=lambda sensor: (sensor.gateway, sensor.point))
    params = sorted({name for sensor in sensors for name in sensor.params})
    window = WINDOW_COLUMNS if any(sensor.maintenance_to is not None for sensor in sensors) else ()
    tags = ("tags",) if any(sensor.tags for sensor in sensors) else ()
    yield [*COLUMNS, *tags, *window, *(PARAM + name for name in params)]
    for sensor in sensors:
        yield [
            *(cell(value) for value in _plain(sensor)),
            *(";".join(sensor.tags) or "-" for _ in tags),
            *(_moment(getattr(sensor, name)) for name in window),
            *(cell(sensor.params.get(name)) for name in params),
        ]


def zone_rows(registry: Registry) -> Iterator[list[str]]:
    yield list(ZONE_COLUMNS)
    for name in sorted(registry.zones):
        yield [cell(getattr(registry.zones[name], column)) for column in ZONE_COLUMNS]


def gateway_rows(registry: Registry) -> Iterator[list[str]]:
    yield list(GATEWAY_COLUMNS)
    for name in sorted(registry.gateways):
        yield [cell(getattr(registry.gateways[name], column)) for column in GATEWAY_COLUMNS]


def file_of(rows: Iterable[Sequence[str]], target: str) -> bytes:
    """The rows as the file's name wants them: .xlsx, else CSV in UTF-8."""
    if target.endswith(".xlsx"):
        return sheet.workbook([("sensors", rows)])
    head, *rest = rows
    return sheet.written(head, rest).encode()


def _plain(sensor: Sensor) -> list[Any]:
    return [getattr(sensor, name) for name in COLUMNS]


def cell(value: Any) -> str:
    """A value as a file has it; numbers come back the same."""
    if value is None:
        return ""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _moment(at_us: int | None) -> str:
    return "" if at_us is None else to_datetime(at_us).astimezone(CITY_OFFSET).isoformat()
