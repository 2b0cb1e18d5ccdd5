"""What a decoder gives: columns of readings with what was refused among them, or a whole frame refused.

Points are still the gateway's own names and values in the gateway's units; ingest/resolve.py turns them into
records of the registry's sensors. Bad data is a value here, never an exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.reading import Reason


@dataclass(frozen=True, slots=True)
class Rejected:
    """A frame of which nothing can be used. `records` says how many readings it seems to have held."""

    reason: Reason
    raw: bytes
    detail: str = ""
    at: int = 0
    records: int = 1


@dataclass(frozen=True, slots=True)
class Refused:
    """One record of an otherwise usable frame: its place in the frame, why, what was expected and came."""

    index: int
    reason: Reason
    detail: str
    point: str | None = None


@dataclass(slots=True)
class Decoded:
    """Readings as columns of equal length, in the frame's order; `index` is each one's place in the frame.

    `value` of a text reading is its index in `texts`. `relative` are those whose time counts from receipt.
    `is_shared`: other frames have these very lists of points and units; what follows from them can be kept.
    """

    points: list[str]
    units: Sequence[str | None]
    time: np.ndarray  # int64, microseconds UTC
    value: np.ndarray  # float64
    quality: np.ndarray  # u1
    flags: np.ndarray  # u1, schemas.reading.Flag
    index: np.ndarray  # int64
    relative: np.ndarray  # bool
    texts: list[str] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    is_shared: bool = False
