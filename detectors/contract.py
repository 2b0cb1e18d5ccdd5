"""What a detector is: pure functions over arrays, one element a track (a sensor or gateway under one rule).

`bind` turns a rule and a sensor into facts (limits, holds), `tabulate` makes arrays of them, `fresh` the
state before the first reading, `step` takes one reading of each of several tracks, `ripen` says what
holds have matured by the clock alone, `screen` which readings `step` need not see when nothing is running
(None: it must see all), `sweep` takes many readings of calm tracks at once and says which of them `step`
has to see one by one, in a `room` that is made once. Scoring ends here: raising and clearing is
detectors/episode.py.
`sweep` writes into the state of the tracks that do not speak; no other function changes its arguments. NaN
and any finite value are fine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from detectors.around import Key, Source, Sources
from detectors.members import Member
from detectors.newest import Newest
from schemas.catalogue import Category
from schemas.registry import Sensor
from schemas.rule import Rule

NO_SLOT = 255
ONE_TRACK = np.zeros(1, np.int32)
"""The kind of the only track of a room."""


class Batch(NamedTuple):
    """One reading each of different tracks, beside what their episodes stand at."""

    kind: np.ndarray  # i4, row of the parameter table
    at: np.ndarray  # i8, event time, microseconds
    value: np.ndarray  # f8
    paused_us: np.ndarray  # i8, blind time since the reading before: holds do not count it
    level: np.ndarray  # u1, level of the open episode, 0 none
    slot: np.ndarray  # u1, the condition it stands on, NO_SLOT none
    inputs: np.ndarray | None = None  # f8 [n, sources], what others tell; NaN unknown
    inputs_at: np.ndarray | None = None  # i8, and when they were measured


class Block(NamedTuple):
    """Several readings each of different tracks without an episode. A column of the series has a sensor's,
    its oldest first; one that has fewer than others ends with its last place and time, and the value NaN."""

    track: np.ndarray  # i8 [n]
    kind: np.ndarray  # i4 [n]
    columns: np.ndarray  # i8 [n], which column of the following is the track's
    readings: np.ndarray  # i8 [m]
    place: np.ndarray  # i8 [T, m], positions in the run
    at: np.ndarray  # i8 [T, m]
    value: np.ndarray  # f8 [T, m]
    paused_us: np.ndarray  # i8 [m], blind time before the first
    newest: Newest  # of other sensors
    sources: Sources  # whom the tracks look at


class Swept(NamedTuple):
    """What a block said of each track; all but `speaks` holds only where it does not speak."""

    speaks: np.ndarray  # bool, a level is met and has held: to be taken step by step
    pending: np.ndarray  # bool, as in Scores, after the last reading
    running: np.ndarray  # bool
    agrees: np.ndarray  # bool [T, n], as in Scores, of each reading


class Scores(NamedTuple):
    """What one reading says. Levels are 1-4, 0 for none."""

    meets: np.ndarray  # u1, most severe level that is met and has held
    keeps: np.ndarray  # u1, most severe level whose relaxed limit is met by this reading
    agrees: np.ndarray  # bool, this reading meets some level, held or not
    since: np.ndarray  # i8, first reading of `meets`
    slot: np.ndarray  # u1, the condition that decided
    score: np.ndarray  # f8, what that condition looked at
    excess: np.ndarray  # f8, how far beyond its limit
    grain: np.ndarray  # f8, an excess below which a change is not worth a message
    pending: np.ndarray  # bool, time alone may bring more
    running: np.ndarray  # bool, there is state to carry on


@dataclass(frozen=True, slots=True)
class Fall:
    """How long a level must not be kept before an episode leaves it."""

    reports: int = 1
    us: int = 0


@dataclass(frozen=True, slots=True)
class Bound:
    """A rule made definite for a sensor. Equal ones share a row of the parameter table."""

    facts: Any  # the detector's own
    levels: frozenset[int]
    falls: tuple[Fall, Fall, Fall, Fall]  # for levels 1-4
    shape: tuple[str, ...]  # state fits where this is equal
    reasons: tuple[str, ...] = ()  # what is unguarded, and why
    width: int = 0  # tracks of different width do not share arrays (threshold: windows, sources, ...)
    sources: tuple[Source, ...] = ()  # other sensors that it looks at
    looked_around: bool = False  # another place with the same parameters may be bound otherwise


Arrays = Any  # a NamedTuple of numpy arrays


@dataclass(frozen=True)
class Detector:
    name: str
    bind: Callable[[Rule, Sensor | None, Category | None, float], Bound]
    tabulate: Callable[[Sequence[Bound]], Arrays]
    fresh: Callable[[Arrays, np.ndarray], Arrays]
    step: Callable[[Arrays, Arrays, Batch], tuple[Arrays, Scores]]
    ripen: Callable[[Arrays, Arrays, Batch], tuple[Arrays, Scores]] | None = None
    screen: Callable[[Arrays, np.ndarray, np.ndarray], np.ndarray | None] | None = None
    sweep: Callable[[Arrays, Arrays, Block, Arrays], Swept] | None = None
    room: Callable[[Arrays], Arrays] | None = None  # of a table: where `sweep` puts a track aside
    looks_at: str = field(default="readings")  # readings | gaps (a sensor's silence) | gateways | groups
    compares: bool = False  # whether neighbours say something about the same cause
    bind_among: Callable[[Rule, Sensor, Category, float, Key], Bound] | None = None  # in place of `bind`
    bind_group: Callable[[Rule, Category, tuple[Member, ...]], Bound] | None = None
    """In place of `bind` where sensors are judged together, at ticks: see `Told` and detectors/members.py."""
    each: bool = False  # a track for every selected sensor of a group, not one for the group
    asks: str = "silence"  # of gateways: silence | clock
    checks: Callable[[Arrays], tuple[np.ndarray, np.ndarray]] | None = None
    """Of a check before all judgement: by kind, between which values a reading is one at all. What lies
    outside is shown to this detector alone (detectors/checked.py), where a rule of it tells people."""


class Told(NamedTuple):
    """The first fields of the state of a detector of groups: what its newest judgement was made of."""

    turn: np.ndarray  # i8 [n], the newest; kept by tracks.py: `every_us` of its table passes between two
    figures: np.ndarray  # f8 [n, 4], for the sentence; each detector says which
    shown: np.ndarray  # f8 [n, members], their values
    share: np.ndarray  # f8 [n, members], how much of the amount each explains; NaN where that has no meaning


def no_scores(n: int) -> Scores:
    """Scores of readings that mean nothing."""
    return Scores(
        meets=np.zeros(n, np.uint8),
        keeps=np.zeros(n, np.uint8),
        agrees=np.zeros(n, bool),
        since=np.zeros(n, np.int64),
        slot=np.full(n, NO_SLOT, np.uint8),
        score=np.full(n, np.nan),
        excess=np.zeros(n),
        grain=np.full(n, np.inf),
        pending=np.zeros(n, bool),
        running=np.zeros(n, bool),
    )


def nothing_swept(block: Block) -> Swept:
    """Of a block that says nothing, to be written into."""
    n = len(block.track)
    nothing = np.zeros((3, n), bool)
    return Swept(nothing[0], nothing[1], nothing[2], np.zeros((len(block.at), n), bool))
