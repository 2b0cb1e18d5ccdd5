"""A recorded file for `cityvigil score`: every row, whatever its numbers are like.

Unlike for replay, rows keep their place (repeated and backward times are data), an empty cell, NaN or inf is
a value that did not come, a file of a header only is a file. Which columns are numbers is settled by each
column's first cell that says something, so more rows never change what was chosen; a later cell that is no
number is refused with file, row and column.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cityvigil.errors import CannotRun
from cityvigil.replay_csv import NOTHING, TIME_NAMES, parse_times

NOT_VALUES = ("label", "anomaly", "changepoint", "is_anomaly")
CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class Recording:
    separator: str
    times: list[str]  # as written
    at: np.ndarray  # i8, microseconds
    names: tuple[str, ...]
    values: np.ndarray  # f8 [rows, columns], NaN where nothing came


def read(path: Path, time_column: str | None = None, wanted: Sequence[str] = ()) -> Recording:
    """Raises CannotRun: one line that says what is wrong in which file, row and column."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(path, file, time_column, wanted)
    except OSError as error:
        raise CannotRun(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CannotRun(f"{path}: byte {error.start}: expected UTF-8") from None


def _read(path: Path, file: Iterator[str], time_column: str | None, wanted: Sequence[str]) -> Recording:
    first = next(file, "")
    separator = ";" if first.count(";") > first.count(",") else ","
    header = [cell.strip() for cell in next(csv.reader([first], delimiter=separator), [])]
    if not any(header):
        raise CannotRun(f"{path}: row 1: expected a header, got nothing")
    for name in header:
        if name and header.count(name) > 1:
            raise CannotRun(f"{path}: row 1, column {name}: expected each column once")
    time = _time(path, header, time_column)
    for name in wanted:
        if name not in header or header.index(name) == time:
            raise CannotRun(f"{path}: row 1, column {name}: expected a column of numbers of this name")
    chosen = [header.index(name) for name in wanted] or [
        i for i, name in enumerate(header) if i != time and name and name.lower() not in NOT_VALUES
    ]
    columns = {i: _Column(path, header[i], bool(wanted)) for i in chosen}
    times: list[str] = []
    lines: list[int] = []
    reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
    chunk: list[list[str]] = []
    try:
        for row in reader:
            if not row or not any(row):
                continue
            if len(row) != len(header):
                line = reader.line_num + 1
                raise CannotRun(f"{path}: row {line}: expected {len(header)} cells, got {len(row)}")
            times.append(row[time].strip())
            lines.append(reader.line_num + 1)
            chunk.append(row)
            if len(chunk) == CHUNK:
                _take(columns, chunk, lines)
                chunk = []
    except csv.Error as error:
        raise CannotRun(f"{path}: row {reader.line_num + 1}: expected CSV, got {error}") from None
    _take(columns, chunk, lines)
    kept = [i for i in chosen if columns[i].is_number]
    if not kept:
        raise CannotRun(f"{path}: row 1: expected a column of numbers beside {header[time]}")
    at = parse_times(path, header[time], times, lines) if times else np.zeros(0, np.int64)
    values = np.stack([columns[i].values() for i in kept], axis=1)
    return Recording(separator, times, at, tuple(header[i] for i in kept), values)


def _time(path: Path, header: Sequence[str], wanted: str | None) -> int:
    if wanted is not None:
        if wanted not in header:
            raise CannotRun(f"{path}: row 1, column {wanted}: expected a column of this name")
        return header.index(wanted)
    lower = [name.lower() for name in header]
    for name in TIME_NAMES:
        if name in lower:
            return lower.index(name)
    known = ", ".join(TIME_NAMES)
    raise CannotRun(f"{path}: row 1: expected a time column ({known}; or say --time COL)")


def _take(columns: dict[int, _Column], chunk: list[list[str]], lines: list[int]) -> None:
    for i, column in columns.items():
        column.take([row[i] for row in chunk], lines[len(lines) - len(chunk) :])


class _Column:
    """A column as it grows. One that nobody asked for and that begins with a word is text, and left out."""

    def __init__(self, path: Path, name: str, asked: bool) -> None:
        self._path, self._name, self._asked = path, name, asked
        self._begun = False
        self.is_number = True
        self._parts: list[np.ndarray] = []

    def take(self, cells: list[str], lines: Sequence[int]) -> None:
        if not self.is_number:
            return
        try:
            numbers = np.array(cells, dtype=float)  # the quick way, where every cell is a number
            self._begun = self._begun or len(cells) > 0
        except ValueError:
            numbers = np.array([self._number(cell, line) for cell, line in zip(cells, lines, strict=True)])
        numbers[~np.isfinite(numbers)] = math.nan
        self._parts.append(numbers)

    def values(self) -> np.ndarray:
        return np.concatenate(self._parts) if self._parts else np.zeros(0)

    def _number(self, cell: str, line: int) -> float:
        text = cell.strip()
        if not self.is_number or text.lower() in NOTHING:
            return math.nan
        try:
            number = float(text)
        except ValueError:
            if not self._begun and not self._asked:
                self.is_number = False
                return math.nan
            place = f"{self._path}: row {line}, column {self._name}"
            hint = "" if self._asked else " (or say --value COL)"
            raise CannotRun(f"{place}: expected a number, got {cell!r}{hint}") from None
        self._begun = True
        return number
