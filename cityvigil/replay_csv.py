"""A CSV file of measurements as a gateway would know it: times, points, values.

Separators `,` and `;` are told apart, the time column is found by its name, its format by what fits every
row; a naive time is +08:00. Every column of numbers is a point under its header's name; an empty cell is no
reading. What cannot be read is refused with file, row (the header's is 1), column, expected, came.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cityvigil.errors import CannotRun
from schemas.clock import to_us

LOCAL = dt.timezone(dt.timedelta(hours=8))
TIME_NAMES = ("time", "datetime", "timestamp", "date_time", "date")
NOTHING = frozenset({"", "nan", "na", "n/a", "null", "none"})
EPOCH_FROM_S = 2.0**28
FORMATS = (
    "%d/%m/%y %H",
    "%d/%m/%y %H:%M",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y.%m.%d %H:%M:%S",
)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in the file's order; NaN where a cell says nothing. `texts` are columns that are no numbers."""

    file: str
    time_column: str
    times_us: np.ndarray
    points: tuple[str, ...]
    values: np.ndarray  # rows x points
    texts: tuple[str, ...]

    @property
    def step_s(self) -> float:
        """The usual distance of two rows."""
        steps = np.diff(self.times_us)
        steps = steps[steps > 0]
        return float(np.median(steps)) / 1e6 if len(steps) else 60.0

    @property
    def readings(self) -> int:
        return int(np.count_nonzero(~np.isnan(self.values)))


def read(path: Path, time_column: str | None = None, must_be_numbers: Sequence[str] = ()) -> Table:
    """Raises CannotRun: one line that says what is wrong where."""
    header, rows, lines = _cells(path)
    column = _time_column(path, header, time_column)
    for name in must_be_numbers:
        if name not in header:
            raise _wrong(path, 1, name, "a column of this name", f"the columns {', '.join(header)}")
        if name == header[column]:
            raise _wrong(path, 1, name, "a column of numbers", "the time column")
    times = parse_times(path, header[column], [row[column] for row in rows], lines)
    points, columns, texts = [], [], []
    for i, name in enumerate(header):
        if i == column:
            continue
        numbers = _numbers([row[i] for row in rows])
        if isinstance(numbers, int):
            if name in must_be_numbers:
                raise _wrong(path, lines[numbers], name, "a number", repr(rows[numbers][i]))
            texts.append(name)
        elif name and not np.isnan(numbers).all():
            points.append(name)
            columns.append(numbers)
    values = np.array(columns).T if columns else np.empty((len(rows), 0))
    return Table(str(path), header[column], times, tuple(points), values, tuple(texts))


def _cells(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """The header, the rows, and the line on which each row ends."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CannotRun(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CannotRun(f"{path}: byte {error.start}: expected UTF-8") from None
    first = text.partition("\n")[0]
    separator = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        rows: list[list[str]] = []
        lines: list[int] = []
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise _wrong(path, reader.line_num, "", f"{len(header)} cells", str(len(row)))
            rows.append([cell.strip() for cell in row])
            lines.append(reader.line_num)
    except csv.Error as error:
        raise CannotRun(f"{path}: row {reader.line_num}: expected CSV, got {error}") from None
    if not rows:
        raise CannotRun(f"{path}: row 2: expected a row of measurements, got the end of the file")
    for name in header:
        if name and header.count(name) > 1:
            raise _wrong(path, 1, name, "each column once", f"{header.count(name)} of it")
    return header, rows, lines


def _time_column(path: Path, header: Sequence[str], wanted: str | None) -> int:
    if wanted is not None:
        if wanted not in header:
            raise _wrong(path, 1, wanted, "a column of this name", f"the columns {', '.join(header)}")
        return header.index(wanted)
    lower = [name.lower() for name in header]
    for name in TIME_NAMES:
        if name in lower:
            return lower.index(name)
    known = ", ".join(TIME_NAMES)
    raise CannotRun(
        f"{path}: row 1: expected a time column ({known}; or say --time COL), got {', '.join(header)}"
    )


def parse_times(path: Path, column: str, texts: Sequence[str], lines: Sequence[int]) -> np.ndarray:
    """In the first format that fits every row; else the format that gets furthest says which row does not."""
    furthest = -1
    for parse in (_iso, _epoch, *(_by(pattern) for pattern in FORMATS)):
        times = np.empty(len(texts), np.int64)
        for row, text in enumerate(texts):
            found = parse(text)
            if found is None:
                furthest = max(furthest, row)
                break
            times[row] = found
        else:
            return times
    raise _wrong(path, lines[furthest], column, "a time such as 2026-01-31 08:00:00", repr(texts[furthest]))


def _iso(text: str) -> int | None:
    try:
        return _us(dt.datetime.fromisoformat(text))
    except ValueError:
        return None


def _epoch(text: str) -> int | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return round(seconds * 1e6) if EPOCH_FROM_S <= seconds < 1e11 else None


def _by(pattern: str) -> Callable[[str], int | None]:
    def parse(text: str) -> int | None:
        try:
            return _us(dt.datetime.strptime(text, pattern))
        except ValueError:
            return None

    return parse


def _us(moment: dt.datetime) -> int:
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=LOCAL))


def _numbers(texts: Sequence[str]) -> np.ndarray | int:
    """The column as numbers; the first row that holds none if it is not one of numbers."""
    values = np.empty(len(texts))
    for row, text in enumerate(texts):
        if text.lower() in NOTHING:
            values[row] = math.nan
            continue
        try:
            values[row] = float(text)
        except ValueError:
            return row
        if not math.isfinite(values[row]):
            return row
    return values


def _wrong(path: Path, row: int, column: str, expected: str, came: str) -> CannotRun:
    place = f"row {row}, column {column}" if column else f"row {row}"
    return CannotRun(f"{path}: {place}: expected {expected}, got {came}")
