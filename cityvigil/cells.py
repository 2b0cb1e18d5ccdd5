"""Rows of a registry file read cell by cell; everything that is wrong is a `Problem` with its row and column.

Reads what the columns of a table say, one row at a time, and collects all problems at once. What a row means
beside other rows and the registry is not known here.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from cityvigil import coordinates, sheet
from cityvigil.column_names import PARAM, english, key_of
from cityvigil.sheet import Unreadable
from schemas.clock import to_us

IDENTIFIER = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
CITY_OFFSET = dt.timezone(dt.timedelta(hours=8))
PLACE_DIGITS = 7  # 1 cm


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


_T = TypeVar("_T")


class Cells:
    """One row's cells; what cannot be read becomes a problem and a harmless value."""

    def __init__(
        self, file: str, row: int, cells: Mapping[str, str], problems: list[Problem], datum: str
    ) -> None:
        self.row = row
        self._file = file
        self._cells = cells
        self._problems = problems
        self._datum = datum

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

    def word(self, column: str, words: Mapping[str, str]) -> str:
        """One of the words, in either language, as its key; "" for nothing."""
        key = key_of(self.text(column), words)
        if key and key not in words:
            self.wrong(column, f"one of {', '.join(words)} (or {', '.join(words.values())}), or nothing")
        return key

    def moment(self, column: str) -> int | None:
        """Microseconds since 1970; a time without a zone is the city's, +08:00."""
        text = self.text(column).replace("/", "-")
        if not text:
            return None
        try:
            found = dt.datetime.fromisoformat(text)
        except ValueError:
            self.wrong(column, "a time like 2026-03-01 08:00 or 2026-03-01T00:00:00Z")
            return None
        return to_us(found if found.tzinfo else found.replace(tzinfo=CITY_OFFSET))

    def params(self) -> dict[str, float]:
        names = [name for name in self._cells if name.startswith(PARAM)]
        params = {name.removeprefix(PARAM): self.number(name, -math.inf, math.inf) for name in names}
        return {name: value for name, value in params.items() if value is not None}

    def place(self) -> tuple[float | None, float | None]:
        lon, lat = self._angle("lon", 180), self._angle("lat", 90)
        if bool(self.text("lon")) != bool(self.text("lat")):
            self.wrong("lat" if self.text("lon") else "lon", "both lon and lat, or neither")
        if lon is None or lat is None:
            return lon, lat
        if self._datum in coordinates.SHIFTED:
            if not coordinates.in_china(lon, lat):
                self.wrong("lon", f"a place in China, where {self._datum} is used")
                return lon, lat
            lon, lat = coordinates.to_wgs84(lon, lat, self._datum)
            return round(lon, PLACE_DIGITS), round(lat, PLACE_DIGITS)
        return lon, lat

    def _angle(self, column: str, most: float) -> float | None:
        text = self.text(column)
        if not text:
            return None
        try:
            value = float(text)
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
    problems: list[Problem] = []
    rows: list[_T] = []
    try:
        lines = sheet.rows_of(data)
        header = [english(name, names) for name in next(lines, (1, []))[1]]
        problems += _header_problems(file, header, names, needed, params)
        if problems:
            return [], problems
        for line, cells in lines:
            if len(cells) != len(header):
                problems.append(Problem(file, line, "", f"{len(header)} cells", str(len(cells))))
                continue
            named = dict(zip(header, cells, strict=True))
            rows.append(row_of(Cells(file, line, named, problems, datum)))
    except Unreadable as error:
        problems.append(Problem(file, error.row, "", error.expected, error.got))
    return rows, problems


def _header_problems(
    file: str, header: list[str], names: Mapping[str, str], needed: Sequence[str], params: bool
) -> Iterable[Problem]:
    allowed = ", ".join(names) + (f", {PARAM}NAME" if params else "")
    for name in needed:
        if name not in header:
            yield Problem(
                file, 1, name, "this column", f"the columns {', '.join(header) or 'of an empty file'}"
            )
    for name in header:
        is_param = params and re.fullmatch(rf"{re.escape(PARAM)}[a-z][a-z0-9_]*", name)
        if name not in names and not is_param:
            yield Problem(file, 1, name, f"one of the columns {allowed}", repr(name))
    for name in sorted({name for name in header if header.count(name) > 1}):
        yield Problem(file, 1, name, "each column once", f"{header.count(name)} of it")
