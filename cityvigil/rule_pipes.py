"""`cityvigil rules pipes`: what a hydraulic model says of breaks, as a model file for detector `locate`.

A CSV with a row for each place where a main can break: `place`, `lon`, `lat`, and a column GATEWAY/POINT for
each gauge with the share of the break's fall that it feels there. Any hydraulic program can write it; none is
run here.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from cityvigil.errors import CannotRun
from detectors.locate import loaded
from schemas.model import LARGEST, Model, encode, packed

OWN = ("place", "lon", "lat")


def pipes_file(path: Path, out: Path) -> Model:
    """Raises CannotRun: one line that says what is wrong in which row and column."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise CannotRun(f"{path}: {error}") from None
    if not rows:
        raise CannotRun(f"{path}: row 2: expected a place, got the end of the file")
    names = tuple(name for name in rows[0] if name not in OWN)
    for name in OWN:
        if name not in rows[0]:
            raise CannotRun(f"{path}: row 1: expected a column {name}")
    for name in names:
        if not all(str(name).partition("/")):
            raise CannotRun(f"{path}: row 1, column {name}: expected a gauge's GATEWAY/POINT")
    numbers = np.array(
        [
            [_number(path, i, name, row[name]) for name in ("lon", "lat", *names)]
            for i, row in enumerate(rows, 2)
        ]
    )
    model = Model(
        detector="locate",
        names=names,
        interval_s=60.0,
        rows=len(rows),
        first="",
        last="",
        arrays=packed({"lon": numbers[:, 0], "lat": numbers[:, 1], "influence": numbers[:, 2:]}),
        places=tuple(row["place"] for row in rows),
    )
    loaded(model)
    data = encode(model)
    if len(data) > LARGEST:
        raise CannotRun(
            f"{path}: the model has {len(data)} bytes, more than {LARGEST}: fewer places or gauges"
        )
    try:
        out.write_bytes(data)
    except OSError as error:
        raise CannotRun(f"{out}: {error.strerror}") from None
    return model


def _number(path: Path, row: int, column: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CannotRun(f"{path}: row {row}, column {column}: expected a number, got {text!r}")
    return value
