"""Rows of a registry file read cell by cell; everything that is wrong is a `Problem` with its row and column.

Reads what the columns of a table say, one row at a time, and collects all problems at once. What a row means
beside other rows and the registry is not known here.
"""

from __future__ import annotations

import datetime as dt
import gc
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from cityvigil import coordinates, sheet
from cityvigil.column_names import PARAM, english, key_of
from cityvigil.sheet import Unreadable
from schemas.clock import to_us

IDENTIFIER = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
CITY_OFFSET = dt.timezone(dt.timedelta(hours=8))
PLACE_DIGITS = 7  # 1 cm
EARLIEST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LATEST = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)
_LONGEST_SHOWN = 80
_ONE_DIGIT = re.compile(r"(?<![\d.])(\d)(?=[-: T]|$)")


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


def shown(text: str) -> str:
    """What came, as a problem says it: a cell may hold a whole file when a quote stays open.

    >>> shown("GW 1"), shown(""), shown("x" * 5000)[58:]
    ("'GW 1'", 'nothing', "xxx'... (5000 characters)")
    """
    if len(text) > _LONGEST_SHOWN:
        return f"{text[:60]!r}... ({len(text)} characters)"
    return repr(text) if text else "nothing"


def _number(text: str) -> float:
    """Raises ValueError; what Python alone takes for a number ("1_0", "inf", "nan") is none."""
    value = float(text)
    if "_" in text or not math.isfinite(value):
        raise ValueError(f"{text!r} is no number")
    return value


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Table:
    """What the rows of a file have in common; `places` are those of its datum, by their texts, in WGS-84."""

    file: str
    header: Sequence[str]
    datum: str
    params: Sequence[str]
    places: Mapping[tuple[str, str], tuple[float, float]]
    problems: list[Problem]


class Cells:
    """One row's cells; what cannot be read becomes a problem and a harmless value."""

    __slots__ = ("_cells", "_table", "row")

    def __init__(self, table: _Table, row: int, cells: Sequence[str]) -> None:
        self._table = table
        self.row = row
        self._cells = dict(zip(table.header, map(str.strip, cells), strict=True))

    def text(self, column: str) -> str:
        return self._cells.get(column, "")

    def wrong(self, column: str, expected: str, got: str | None = None) -> None:
        got = self.text(column) if got is None else got
        self._table.problems.append(Problem(self._table.file, self.row, column, expected, shown(got)))

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
            value = _number(text)
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
        digits = text.isascii() and text.isdigit() and len(text) <= 18
        if not digits or not low <= int(text) <= high:
            self.wrong(column, f"a whole number from {low} to {high}, or nothing")
            return 0
        return int(text)

    def word(self, column: str, words: Mapping[str, str]) -> str:
        """One of the words, in either language, as its key; "" for nothing."""
        text = self.text(column)
        key = text if text in words else key_of(text, words)
        if key and key not in words:
            self.wrong(column, f"one of {', '.join(words)} (or {', '.join(words.values())}), or nothing")
        return key

    def moment(self, column: str) -> int | None:
        """Microseconds since 1970; a time without a zone is the city's, +08:00. Spreadsheets in China write
        2026/3/1 8:00."""
        text = self.text(column)
        if not text:
            return None
        try:
            found = dt.datetime.fromisoformat(_ONE_DIGIT.sub(r"0\1", text.replace("/", "-")))
        except ValueError:
            self.wrong(column, "a time like 2026-03-01 08:00 or 2026-03-01T00:00:00Z")
            return None
        found = found if found.tzinfo else found.replace(tzinfo=CITY_OFFSET)
        if not EARLIEST <= found < LATEST:
            self.wrong(column, f"a time from {EARLIEST.year} to {LATEST.year - 1}")
            return None
        return to_us(found)

    def params(self) -> dict[str, float]:
        found = {}
        for name in self._table.params:
            if (value := self.number(name, -math.inf, math.inf)) is not None:
                found[name.removeprefix(PARAM)] = value
        return found

    def place(self) -> tuple[float | None, float | None]:
        texts = self.text("lon"), self.text("lat")
        if found := self._table.places.get(texts):
            return found
        lon, lat = self._angle("lon", 180), self._angle("lat", 90)
        if bool(texts[0]) != bool(texts[1]):
            self.wrong("lat" if texts[0] else "lon", "both lon and lat, or neither")
        if lon is None or lat is None:
            return lon, lat
        if self._table.datum in coordinates.SHIFTED:
            if not coordinates.in_china(lon, lat):
                self.wrong("lon", f"a place in China, where {self._table.datum} is used")
                return lon, lat
            return _rounded(coordinates.to_wgs84(lon, lat, self._table.datum))
        return lon, lat

    def _angle(self, column: str, most: float) -> float | None:
        text = self.text(column)
        if not text:
            return None
        try:
            value = _number(text)
        except ValueError:
            try:
                value = round(coordinates.degrees(text), PLACE_DIGITS)
            except ValueError:
                value = math.nan
        if not -most <= value <= most:
            self.wrong(column, f"degrees from {-most:g} to {most:g}, or degrees, minutes and seconds")
            return None
        return value


def read(
    data: bytes,
    file: str,
    names: Mapping[str, str],
    needed: Sequence[str],
    row_of: Callable[[Cells], _T],
    *,
    datum: str = "EPSG:4326",
    params: bool = False,
) -> tuple[list[_T], list[Problem]]:
    """`names` are the columns with their Chinese heads; `params`: whether param.NAME is one too."""
    with uncollected():
        return _read(data, file, names, needed, row_of, datum, params)


@contextmanager
def uncollected() -> Iterator[None]:
    """A city's rows refer to nothing in circles, and looking for circles among them takes its time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _read(
    data: bytes,
    file: str,
    names: Mapping[str, str],
    needed: Sequence[str],
    row_of: Callable[[Cells], _T],
    datum: str,
    params: bool,
) -> tuple[list[_T], list[Problem]]:
    problems: list[Problem] = []
    header: list[str] = []
    lines: list[tuple[int, list[str]]] = []
    end: list[Problem] = []
    try:
        found = sheet.rows_of(data)
        at, heads = next(found, (1, []))
        header = [english(name, names) for name in heads]
        problems += _header_problems(file, at, header, names, needed, params)
        if problems:
            return [], problems
        for line, cells in found:
            if len(cells) == len(header):
                lines.append((line, cells))
            else:
                problems.append(Problem(file, line, "", f"{len(header)} cells", str(len(cells))))
    except Unreadable as error:
        end.append(Problem(file, error.row, "", error.expected, error.got))
    own = [name for name in header if name.startswith(PARAM)]
    table = _Table(file, header, datum, own, _places(header, lines, datum), problems)
    rows = [row_of(Cells(table, line, cells)) for line, cells in lines]
    problems.sort(key=lambda problem: problem.row)
    return rows, problems + end


def _places(
    header: Sequence[str], lines: Iterable[tuple[int, Sequence[str]]], datum: str
) -> dict[tuple[str, str], tuple[float, float]]:
    """Those in plain degrees, taken out of a shifted datum all at once; any other is looked at by itself."""
    plain: dict[tuple[str, str], tuple[float, float]] = {}
    if datum in coordinates.SHIFTED and "lon" in header and "lat" in header:
        lon_at, lat_at = header.index("lon"), header.index("lat")
        for _, cells in lines:
            texts = cells[lon_at].strip(), cells[lat_at].strip()
            try:
                place = _number(texts[0]), _number(texts[1])
            except ValueError:
                continue
            if coordinates.in_china(*place):
                plain[texts] = place
    found = coordinates.all_to_wgs84(list(plain.values()), datum)
    return dict(zip(plain, map(_rounded, found), strict=True))


def _rounded(place: tuple[float, float]) -> tuple[float, float]:
    return round(place[0], PLACE_DIGITS), round(place[1], PLACE_DIGITS)


def _header_problems(
    file: str, at: int, header: list[str], names: Mapping[str, str], needed: Sequence[str], params: bool
) -> Iterable[Problem]:
    allowed = ", ".join(names) + (f", {PARAM}NAME" if params else "")
    came = f"the columns {shown(', '.join(filter(None, header)))}" if header else "an empty file"
    for name in needed:
        if name not in header:
            yield Problem(file, at, name, "this column", came)
    for name in filter(None, header):
        is_param = params and re.fullmatch(rf"{re.escape(PARAM)}[a-z][a-z0-9_]{{0,63}}", name)
        if name not in names and not is_param:
            column = name if len(name) <= _LONGEST_SHOWN else ""
            yield Problem(file, at, column, f"one of the columns {allowed}", shown(name))
    if nameless := [str(number) for number, name in enumerate(header, 1) if not name]:
        cells = ", ".join(nameless[:5]) + (f" and {len(nameless) - 5} more" if len(nameless) > 5 else "")
        yield Problem(file, at, "", "a name in every cell of the head", f"none in cell {cells}")
    for name, count in sorted(Counter(filter(None, header)).items()):
        if count > 1:
            yield Problem(file, at, name, "each column once", f"{count} of it")
