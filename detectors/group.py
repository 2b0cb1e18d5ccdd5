"""What a detector of a group is: columns that belong together, judged as one vector.

`learn` makes a model of a clean history, once; a model holds arrays only, so it can be written without
pickle. `fresh` is the state before the first row, `scan` judges a block of rows [T, c] and never looks
ahead. No function changes its arguments; NaN stands for a value that did not come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors.marks import GroupMarks

Arrays = Any  # a NamedTuple of numpy arrays
BLOCK = 512


@dataclass(frozen=True)
class GroupDetector:
    name: str
    settings: Any  # a frozen dataclass, the defaults
    learn: Callable[[Any, tuple[str, ...], np.ndarray, np.ndarray], Arrays]  # settings, names, at, values
    fresh: Callable[[Arrays], Arrays]
    scan: Callable[[Arrays, Arrays, np.ndarray, np.ndarray], tuple[Arrays, GroupMarks]]


class TooLittle(ValueError):
    """A history that is too short, or says too little, to learn from."""


class LibraryMissing(RuntimeError):
    """Fitting needs a library that is not installed; the message says which."""


def product(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """rows @ matrix in blocks of one shape, so that a row's bits do not depend on how many follow it."""
    out = np.empty((len(rows), matrix.shape[1]))
    block = np.zeros((BLOCK, rows.shape[1]))
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        block[: len(part)] = part
        out[start : start + BLOCK] = (block @ matrix)[: len(part)]
    return out


def resolution(column: np.ndarray) -> float:
    """One digit of the display that wrote these values: the largest power of ten they are multiples of.

    >>> resolution(np.array([6.5, 6.4, 7.0])), resolution(np.array([750.0, 749.0]))
    (0.1, 1.0)
    """
    finite = column[np.isfinite(column)]
    for digits in range(9):
        scaled = finite * 10.0**digits
        if (np.abs(scaled - np.round(scaled)) <= 1e-6 * np.maximum(1.0, np.abs(scaled) * 1e-6)).all():
            return float(10.0**-digits)
    return 0.0
