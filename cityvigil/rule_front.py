"""`cityvigil rules front`: the pipes of a district as a model file for detector `front`.

Two tables that a network's map gives: pipes with their ends, lengths and wave speeds, and the node at which
each logger stands. From them follow the seconds that a wave takes from each end of each pipe to each logger,
by the shortest way (Dijkstra 1959).
"""

from __future__ import annotations

import csv
import heapq
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cityvigil.errors import CannotRun
from detectors.wavefront import loaded
from schemas.model import LARGEST, Model, encode, packed

NODES = ("from", "to")
NUMBERS = ("length_m", "wave_m_s", "from_lon", "from_lat", "to_lon", "to_lat")
Ways = dict[str, list[tuple[str, float]]]


def front_file(pipes: Path, loggers: Path, out: Path) -> Model:
    """Raises CannotRun: one line that says what is wrong in which row and column."""
    rows = _rows(pipes, ("pipe", *NODES, *NUMBERS))
    numbers = {name: np.array([_number(pipes, i, name, row) for i, row in rows]) for name in NUMBERS}
    for name in ("length_m", "wave_m_s"):
        for (i, row), value in zip(rows, numbers[name], strict=True):
            if value <= 0:
                raise CannotRun(f"{pipes}: row {i}, column {name}: expected more than 0, got {row[name]!r}")
    ways: Ways = {}
    for (_, row), takes in zip(rows, numbers["length_m"] / numbers["wave_m_s"], strict=True):
        ways.setdefault(row["from"], []).append((row["to"], float(takes)))
        ways.setdefault(row["to"], []).append((row["from"], float(takes)))
    names: list[str] = []
    travel: list[dict[str, float]] = []
    for i, row in _rows(loggers, ("arrival", "node")):
        if not all(row["arrival"].partition("/")):
            raise CannotRun(f"{loggers}: row {i}, column arrival: expected GATEWAY/POINT")
        if row["node"] not in ways:
            raise CannotRun(f"{loggers}: row {i}, column node: {row['node']!r} is at no pipe of {pipes}")
        names.append(row["arrival"])
        travel.append(_seconds(ways, row["node"]))
    for i, row in rows:
        if any(row["from"] not in seconds for seconds in travel):
            raise CannotRun(f"{pipes}: row {i}: no way leads from pipe {row['pipe']!r} to every logger")
    arrays = {**numbers} | {
        f"{end}_s": np.array([[seconds[row[end]] for seconds in travel] for _, row in rows]) for end in NODES
    }
    model = Model(
        detector="front",
        names=tuple(names),
        interval_s=0.0,
        rows=len(rows),
        first="",
        last="",
        arrays=packed(arrays),
        places=tuple(row[name] for _, row in rows for name in ("pipe", *NODES)),
    )
    loaded(model)
    data = encode(model)
    if len(data) > LARGEST:
        raise CannotRun(f"{pipes}: the model has {len(data)} bytes, more than {LARGEST}: split the district")
    try:
        out.write_bytes(data)
    except OSError as error:
        raise CannotRun(f"{out}: {error.strerror}") from None
    return model


def _seconds(ways: Ways, start: str) -> dict[str, float]:
    """From every node that is reached."""
    found: dict[str, float] = {}
    left = [(0.0, start)]
    while left:
        seconds, node = heapq.heappop(left)
        if node in found:
            continue
        found[node] = seconds
        for there, takes in ways[node]:
            if there not in found:
                heapq.heappush(left, (seconds + takes, there))
    return found


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """With their numbers in the file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            read = csv.DictReader(file)
            for name in columns:
                if name not in (read.fieldnames or ()):
                    raise CannotRun(f"{path}: row 1: expected a column {name}")
            rows = [(i, {name: row[name] or "" for name in columns}) for i, row in enumerate(read, 2)]
    except (OSError, UnicodeDecodeError) as error:
        raise CannotRun(f"{path}: {error}") from None
    if not rows:
        raise CannotRun(f"{path}: row 2: expected a row, got the end of the file")
    return rows


def _number(path: Path, i: int, name: str, row: Mapping[str, str]) -> float:
    try:
        value = float(row[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CannotRun(f"{path}: row {i}, column {name}: expected a number, got {row[name]!r}")
    return value
