"""Cameras and assets as files: CSV or .xlsx, and for cameras the catalogue that GB/T 28181 platforms give.

Of a catalogue only cameras are taken (types 131 and 132 in digits 11-13 of the 20-digit id): platforms,
groups and districts are passed over. It knows eight directions and no range.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from xml.etree import ElementTree
from xml.parsers import expat

from cityvigil import cells, column_names
from cityvigil.cells import PLACE_DIGITS, Cells, Problem, shown
from cityvigil.coordinates import SHIFTED, in_china, to_wgs84
from cityvigil.sensor_files import cell

CAMERA_STATES = ("in-service", "maintenance", "retired")
_CAMERA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_GB28181_ID = re.compile(r"[0-9]{10}(131|132)[0-9]{7}")
_OTHER_ID = re.compile(r"[0-9]{20}|([0-9]{2}){1,4}")
"""Of what is no camera: a platform, a group; the civil code of a district."""
_ROOTS = ("Response", "Notify")
_LONGEST_NAME = 256
_DIRECTIONS = {"1": 90.0, "2": 270.0, "3": 180.0, "4": 0.0, "5": 135.0, "6": 45.0, "7": 225.0, "8": 315.0}
_DECLARED = re.compile(r"^\s*<\?xml[^>]*\?>")


@dataclass(frozen=True, slots=True)
class CameraRow:
    """`bearing` None: it turns; `angle` and `range_m` None: as they were, else what cityvigil/camera_store.py
    assumes. In the order of the file's columns, after the row."""

    row: int
    camera: str
    name: str
    lon: float | None
    lat: float | None
    bearing: float | None
    angle: float | None
    range_m: float | None
    owner: str | None
    zone: str | None
    stream: str | None
    snapshot: str | None
    state: str


@dataclass(frozen=True, slots=True)
class AssetRow:
    row: int
    asset: str
    kind: str
    name_zh: str
    name_en: str
    owner: str | None
    zone: str | None
    lon: float | None
    lat: float | None


def read_cameras(data: bytes, file: str, datum: str = "EPSG:4326") -> tuple[list[CameraRow], list[Problem]]:
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return _catalogue(data, file, datum)
    rows, problems = cells.read(data, file, column_names.CAMERAS, ("camera",), _camera, datum=datum)
    return rows, problems + _twice(file, [(row.row, row.camera) for row in rows], "camera")


def read_assets(data: bytes, file: str, datum: str = "EPSG:4326") -> tuple[list[AssetRow], list[Problem]]:
    rows, problems = cells.read(data, file, column_names.ASSETS, ("asset", "kind"), _asset, datum=datum)
    return rows, problems + _twice(file, [(row.row, row.asset) for row in rows], "asset")


def table(head: Iterable[str], rows: Iterable[tuple[object, ...]]) -> Iterator[list[str]]:
    """A head and rows as an import takes them back."""
    yield list(head)
    for row in rows:
        yield [cell(value) for value in row]


def columns_of(kind: type[CameraRow] | type[AssetRow]) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind))[1:]


def _twice(file: str, keys: Iterable[tuple[int, str]], column: str) -> list[Problem]:
    seen: set[str] = set()
    problems = []
    for row, key in keys:
        if key in seen:
            problems.append(Problem(file, row, column, "each once", f"{shown(key)} again"))
        seen.add(key)
    return problems


def _camera(row: Cells) -> CameraRow:
    camera = row.text("camera")
    if not _CAMERA.fullmatch(camera):
        row.wrong("camera", "letters, digits, -, _ and ., at most 64")
    lon, lat = row.place()
    bearing = row.number("bearing", 0, 360)
    state = row.word("state", column_names.STATES)
    if state and state not in CAMERA_STATES:
        row.wrong("state", f"one of {', '.join(CAMERA_STATES)}, or nothing")
    return CameraRow(
        row=row.row,
        camera=camera,
        name=_name(row, "name") or camera,
        lon=lon,
        lat=lat,
        bearing=bearing,
        angle=row.number("angle", 1, 360),
        range_m=row.number("range_m", 1, 20_000),
        owner=_name(row, "owner") or None,
        zone=row.identifier("zone", needed=False) or None,
        stream=_address(row, "stream", ("rtsp://", "rtmp://", "https://", "http://")),
        snapshot=_address(row, "snapshot", ("https://", "http://")),
        state=state or "in-service",
    )


def _address(row: Cells, column: str, schemes: tuple[str, ...]) -> str | None:
    text = row.text(column)
    if text and (not text.startswith(schemes) or not text.isprintable() or " " in text):
        row.wrong(column, f"an address that begins with {' or '.join(schemes)}")
    return text or None


def _name(row: Cells, column: str) -> str:
    if len(row.text(column)) > _LONGEST_NAME:
        row.wrong(column, f"at most {_LONGEST_NAME} characters")
    return row.text(column)


def _asset(row: Cells) -> AssetRow:
    asset, kind = row.text("asset"), row.word("kind", column_names.KINDS)
    if not asset or len(asset) > 256:
        row.wrong("asset", "a name of at most 256 characters")
    if not row.text("kind"):
        row.wrong("kind", f"one of {', '.join(column_names.KINDS)}")
    lon, lat = row.place()
    return AssetRow(
        row=row.row,
        asset=asset,
        kind=kind,
        name_zh=_name(row, "name_zh") or asset,
        name_en=_name(row, "name_en") or asset,
        owner=_name(row, "owner") or None,
        zone=row.identifier("zone", needed=False) or None,
        lon=lon,
        lat=lat,
    )


def _catalogue(data: bytes, file: str, datum: str) -> tuple[list[CameraRow], list[Problem]]:
    """`row` is the line. The declared encoding is not believed: GB2312 is what everybody writes."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("gb18030", errors="replace")
    text = _DECLARED.sub(lambda found: "\n" * found[0].count("\n"), text)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return [], [Problem(file, 0, "", "a catalogue without a document type", "one with entities")]
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        return [], [Problem(file, error.position[0], "", "XML", str(error))]
    if root.tag not in _ROOTS:
        return [], [Problem(file, 0, "", f"a catalogue, {' or '.join(_ROOTS)}", shown(f"<{root.tag}>"))]
    if (command := root.findtext("CmdType") or "") != "Catalog":
        return [], [Problem(file, 0, "CmdType", "Catalog", shown(command))]
    rows: list[CameraRow] = []
    problems: list[Problem] = []
    for at, item in zip(_lines_of_items(text), root.iter("Item"), strict=True):
        if row := _item(item, at, file, datum, problems):
            rows.append(row)
    if not rows and not problems:
        problems.append(Problem(file, 0, "DeviceID", "a camera, type 131 or 132", "none"))
    return rows, problems + _twice(file, [(row.row, row.camera) for row in rows], "DeviceID")


def _lines_of_items(text: str) -> list[int]:
    """Where each begins; ElementTree does not keep it."""
    lines: list[int] = []
    parser = expat.ParserCreate()

    def begin(name: str, _: object) -> None:
        if name == "Item":
            lines.append(parser.CurrentLineNumber)

    parser.StartElementHandler = begin
    parser.Parse(text, True)
    return lines


def _item(
    item: ElementTree.Element, at: int, file: str, datum: str, problems: list[Problem]
) -> CameraRow | None:
    def said(name: str) -> str:
        return (item.findtext(name) or item.findtext(f"Info/{name}") or "").strip()

    def wrong(name: str, expected: str) -> None:
        problems.append(Problem(file, at, name, expected, shown(said(name))))

    def degrees(name: str, most: float) -> float | None:
        """Platforms write 0 or nothing where they do not know."""
        try:
            value = float(said(name) or 0)
        except ValueError:
            value = math.nan
        if not -most <= value <= most:
            wrong(name, f"degrees from {-most:g} to {most:g}, or 0 or nothing where they are not known")
            return None
        return value or None

    if not _GB28181_ID.fullmatch(said("DeviceID")):
        if not _OTHER_ID.fullmatch(said("DeviceID")):
            wrong("DeviceID", "20 digits, or the 2 to 8 of a district")
        return None
    if len(said("Name")) > _LONGEST_NAME:
        wrong("Name", f"at most {_LONGEST_NAME} characters")
    right = len(problems)
    lon, lat = degrees("Longitude", 180), degrees("Latitude", 90)
    if (lon is None) != (lat is None) and len(problems) == right:
        wrong("Longitude" if lon is None else "Latitude", "both Longitude and Latitude, or neither")
    if lon is not None and lat is not None and datum in SHIFTED:
        if in_china(lon, lat):
            lon, lat = (round(part, PLACE_DIGITS) for part in to_wgs84(lon, lat, datum))
        else:
            wrong("Longitude", f"a place in China, where {datum} is used")
    turns = said("PTZType") in ("1", "2")
    return CameraRow(
        row=at,
        camera=said("DeviceID"),
        name=said("Name") or said("DeviceID"),
        lon=lon if lat is not None else None,
        lat=lat if lon is not None else None,
        bearing=None if turns else _DIRECTIONS.get(said("DirectionType")),
        angle=None,
        range_m=None,
        owner=said("Owner") or None,
        zone=None,
        stream=None,
        snapshot=None,
        state="maintenance" if said("Status") == "OFF" else "in-service",
    )
