"""The registry as CSV files: sensors, zones, gateways; read from what people have, written for people.

UTF-8 with or without a byte order mark, and GB18030, as spreadsheets in China save it. Everything that is
wrong with a file is a `Problem` with its row and column, all of them at once. What a row means beside other
rows and the registry is cityvigil/registry_merge.py's.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from schemas.catalogue import catalogue
from schemas.registry import Gateway, Registry, Sensor

IDENTIFIER = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
STATES = ("in-service", "waiting", "commissioning", "maintenance", "retired")
COLUMNS = ("gateway", "point", "sensor", "category", "unit", "zone", "asset", "lon", "lat", "state")
ZONE_COLUMNS = ("zone", "district", "name_zh", "name_en", "lon", "lat")
GATEWAY_COLUMNS = ("gateway", "zone", "interval_s", "silent_after_s")
PARAM = "param."
MAX_NUMBER = 2**31 - 1
ZIP = b"PK\x03\x04"


class Problem(NamedTuple):
    """`row` is the line of the file, the header's is 1; 0 speaks of the whole file."""

    file: str
    row: int
    column: str
    expected: str
    got: str

    def __str__(self) -> str:
        place = ", ".join(
            part
            for part in (f"row {self.row}" if self.row else "", self.column and f"column {self.column}")
            if part
        )
        return f"{self.file}{': ' if place else ''}{place}: expected {self.expected}, got {self.got}"


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


@dataclass(frozen=True, slots=True)
class SensorRow:
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
    params: dict[str, float] = field(default_factory=dict)


_T = TypeVar("_T")


class _Cells:
    """One row's cells; what cannot be read becomes a problem and a harmless value."""

    def __init__(self, file: str, row: int, cells: dict[str, str], problems: list[Problem]) -> None:
        self.row = row
        self._file = file
        self._cells = cells
        self._problems = problems

    def text(self, column: str) -> str:
        return self._cells.get(column, "").strip()

    def wrong(self, column: str, expected: str, got: str | None = None) -> None:
        got = self.text(column) if got is None else got
        self._problems.append(
            Problem(self._file, self.row, column, expected, repr(got) if got else "nothing")
        )

    def identifier(self, column: str, *, needed: bool = True) -> str:
        text = self.text(column)
        if (text or needed) and not IDENTIFIER.fullmatch(text):
            self.wrong(column, "lower case letters, digits and -, at most 64")
        return text

    def number(self, column: str, low: float, high: float) -> float | None:
        text = self.text(column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            within = "a number" if math.isinf(low) else f"a number from {low:g} to {high:g}"
            self.wrong(column, within)
            return None
        return value

    def whole(self, column: str, low: int, high: int) -> int:
        text = self.text(column)
        if not text:
            return 0
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            self.wrong(column, f"a whole number from {low} to {high}, or nothing")
            return 0
        return int(text)

    def place(self) -> tuple[float | None, float | None]:
        lon, lat = self.number("lon", -180, 180), self.number("lat", -90, 90)
        if bool(self.text("lon")) != bool(self.text("lat")):
            self.wrong("lat" if self.text("lon") else "lon", "both lon and lat, or neither")
        return lon, lat


def read_sensors(data: bytes, file: str) -> tuple[list[SensorRow], list[Problem]]:
    return _read(data, file, COLUMNS, ("gateway", "point"), _sensor)


def read_zones(data: bytes, file: str) -> tuple[list[ZoneRow], list[Problem]]:
    return _read(data, file, ZONE_COLUMNS, ("zone", "district"), _zone)


def read_gateways(data: bytes, file: str) -> tuple[list[GatewayRow], list[Problem]]:
    return _read(data, file, GATEWAY_COLUMNS, ("gateway", "zone"), _gateway)


def holds_zones(data: bytes) -> bool:
    """Whether a file's head is that of zones, not of sensors."""
    head = {name.strip() for name in (_text(data) or "").partition("\n")[0].split(",")}
    return "district" in head and "point" not in head


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


def _sensor(cells: _Cells) -> SensorRow:
    point = cells.text("point")
    if not point or len(point) > 256 or not point.isprintable():
        cells.wrong("point", "a name of at most 256 printable characters")
    category = cells.text("category") or None
    unit = cells.text("unit") or None
    if category and category not in catalogue():
        cells.wrong("category", "a key of the catalogue, or nothing for a point that waits")
    elif category and unit and unit != catalogue()[category].unit:
        cells.wrong("unit", f"{catalogue()[category].unit} (the catalogue's), or nothing")
    state = cells.text("state")
    if state and state not in STATES:
        cells.wrong("state", f"one of {', '.join(STATES)}, or nothing")
    lon, lat = cells.place()
    names = [name for name in cells._cells if name.startswith(PARAM)]
    params = {name.removeprefix(PARAM): cells.number(name, -math.inf, math.inf) for name in names}
    return SensorRow(
        row=cells.row,
        gateway=cells.identifier("gateway"),
        point=point,
        sensor=cells.whole("sensor", 1, MAX_NUMBER),
        category=category,
        unit=unit,
        zone=cells.identifier("zone", needed=False) or None,
        asset=cells.text("asset") or None,
        lon=lon,
        lat=lat,
        state=state,
        params={name: value for name, value in params.items() if value is not None},
    )


def _zone(cells: _Cells) -> ZoneRow:
    zone = cells.identifier("zone")
    lon, lat = cells.place()
    return ZoneRow(
        row=cells.row,
        zone=zone,
        district=cells.identifier("district"),
        name_zh=cells.text("name_zh") or zone,
        name_en=cells.text("name_en") or zone,
        lon=lon,
        lat=lat,
    )


def _gateway(cells: _Cells) -> GatewayRow:
    week_s = 7 * 86_400.0
    return GatewayRow(
        row=cells.row,
        gateway=cells.identifier("gateway"),
        zone=cells.identifier("zone"),
        interval_s=cells.number("interval_s", 0.1, week_s) or Gateway("", "").interval_s,
        silent_after_s=cells.number("silent_after_s", 1, week_s),
    )


def _read(
    data: bytes, file: str, columns: Sequence[str], needed: Sequence[str], row_of: Callable[[_Cells], _T]
) -> tuple[list[_T], list[Problem]]:
    text = _text(data)
    if text is None:
        what = "an .xlsx workbook" if data.startswith(ZIP) else "bytes of neither"
        return [], [Problem(file, 0, "", "CSV in UTF-8 or GB18030", what)]
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    problems: list[Problem] = []
    rows: list[_T] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        problems += _header_problems(file, header, columns, needed)
        if problems:
            return [], problems
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                expected = f"{len(header)} cells"
                problems.append(Problem(file, reader.line_num, "", expected, str(len(cells))))
                continue
            named = dict(zip(header, cells, strict=True))
            rows.append(row_of(_Cells(file, reader.line_num, named, problems)))
    except csv.Error as error:
        problems.append(Problem(file, reader.line_num, "", "CSV", str(error)))
    return rows, problems


def _text(data: bytes) -> str | None:
    if b"\0" in data or data.startswith(ZIP):  # never in a text, though GB18030 would let them pass
        return None
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _header_problems(
    file: str, header: list[str], columns: Sequence[str], needed: Sequence[str]
) -> Iterable[Problem]:
    with_params = columns is COLUMNS
    allowed = ", ".join(columns) + (f", {PARAM}NAME" if with_params else "")
    for name in needed:
        if name not in header:
            yield Problem(
                file, 1, name, "this column", f"the columns {', '.join(header) or 'of an empty file'}"
            )
    for name in header:
        is_param = with_params and re.fullmatch(rf"{re.escape(PARAM)}[a-z][a-z0-9_]*", name)
        if name not in columns and not is_param:
            yield Problem(file, 1, name, f"one of the columns {allowed}", repr(name))
    for name in sorted({name for name in header if header.count(name) > 1}):
        yield Problem(file, 1, name, "each column once", f"{header.count(name)} of it")


def write_sensors(registry: Registry) -> str:
    """CSV that an import takes back unchanged, by gateway and point."""
    sensors = sorted(registry.sensors.values(), key=lambda sensor: (sensor.gateway, sensor.point))
    params = sorted({name for sensor in sensors for name in sensor.params})
    rows = [
        [*map(_cell, _plain(sensor)), *(_cell(sensor.params.get(name)) for name in params)]
        for sensor in sensors
    ]
    return _csv([*COLUMNS, *(PARAM + name for name in params)], rows)


def write_zones(registry: Registry) -> str:
    zones = [registry.zones[name] for name in sorted(registry.zones)]
    return _csv(ZONE_COLUMNS, [[_cell(getattr(zone, name)) for name in ZONE_COLUMNS] for zone in zones])


def write_gateways(registry: Registry) -> str:
    gateways = [registry.gateways[name] for name in sorted(registry.gateways)]
    return _csv(
        GATEWAY_COLUMNS, [[_cell(getattr(gateway, name)) for name in GATEWAY_COLUMNS] for gateway in gateways]
    )


def _plain(sensor: Sensor) -> list[Any]:
    return [getattr(sensor, name) for name in COLUMNS]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()
