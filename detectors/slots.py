"""What a threshold rule is at one sensor, made of numbers only: slots, the columns they look at, choices.

A slot is an interval that a column must lie in, how long, and the relaxed interval that keeps its level.
A column is the value, a window of it, another sensor's value, what was learned of it, or the hour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from detectors.around import Source


class Kind(IntEnum):
    """What a column holds. `hour` is of the city's day."""

    value = 0
    window = 1
    input = 2
    departs = 3
    falls = 4
    sigmas = 5
    residual = 6
    hour = 7


class Column(NamedTuple):
    kind: Kind
    place: int = 0  # of the window or source


VALUE = Column(Kind.value)


class Window(NamedTuple):
    """A window of the value (channel 0) or of input `channel` - 1; `low` to `high` is what `count` counts."""

    function: int
    span_us: int
    need: int
    channel: int = 0
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True, slots=True)
class Slot:
    text: str
    group: int
    shown: str  # v | abs | freeboard | a window function | dev | resid | ... : how evidence speaks of it
    limit: float  # as people read it
    side: int  # the limit is a floor (1: met above), a ceiling (-1: met below) or one value (0)
    low: float
    high: float
    column: Column = VALUE
    minus: Column | None = None  # what is looked at is (column - minus) / per
    per: Column | None = None
    inside_out: bool = False  # met outside [low, high]
    keep_low: float = 0.0
    keep_high: float = 0.0
    centre: float = 0.0  # of abs(v - centre)
    depth: float = 0.0  # freeboard = depth - v
    hold_us: int = 0
    hold_reports: int = 1
    span_us: int = 0
    grain: float = 0.0
    percent: bool = False  # people read what is looked at as a share

    @property
    def plain(self) -> bool:
        """Whether the value alone decides."""
        return self.column == VALUE and self.minus is None and self.per is None

    @property
    def told(self) -> bool:
        """Whether others decide: a sensor nearby, or the clock."""
        return self.column.kind in (Kind.input, Kind.hour)


@dataclass(frozen=True, slots=True)
class Choice:
    """A group of conditions and the level it stands for."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    slots: tuple[Slot, ...]
    choices: tuple[Choice, ...]  # most severe first
    windows: tuple[Window, ...] = ()
    sources: tuple[Source, ...] = ()
    baseline: bool = False
    line: bool = False
    temperature: int = -1  # the source that the line is drawn on

    @property
    def hour(self) -> bool:
        return any(slot.column.kind == Kind.hour for slot in self.slots)

    @property
    def width(self) -> int:
        """Tracks of different width do not share arrays: a few kinds of work, each done once for all of a
        batch. What a track lacks of its kind stays empty, which costs less than a call of numpy more."""
        if self.line or self.baseline:
            return 5 if self.line else 4
        if not self.windows:
            return 0 if all(slot.plain for slot in self.slots) else 1
        return 2 if len(self.windows) == 1 and not self.sources and not self.hour else 3
