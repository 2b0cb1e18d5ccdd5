"""Which conditions still learn what is usual, and until when: so long they say nothing of their sensor.

Read from what a partition remembers, so it is what folding itself goes by: a rule whose logic changed, or a
state that was lost, learns anew and is found here again. Looks at rules that tell people; `alone` says that
nothing else judges what the sensor measures (rules about devices look after the device, not after the
city).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detectors import learned, modal, night_flow
from detectors.checked import TOLD
from detectors.contract import Arrays, Bound
from detectors.departing import Facts as Departing
from detectors.memory import Memory
from detectors.program import Lane
from detectors.slots import Facts, Kind, Slot
from detectors.verdict import NEVER

COURSE, LINE, NIGHTS = "course", "line", "nights"
OF_COURSE, OF_LINE = frozenset({Kind.departs, Kind.falls}), frozenset({Kind.sigmas, Kind.residual})


class Learning(NamedTuple):
    """`until_us` is None where nothing was heard yet, or too little to say."""

    sensor: int
    rule: str
    what: str
    until_us: int | None
    begun: bool
    alone: bool


class _Asked(NamedTuple):
    """A condition that learns, from what, and how long at the least (nights: how many)."""

    what: str
    source: str
    least: float


class _Part(NamedTuple):
    """Of one condition of a rule: the tracks that still learn, whether each has begun, and until when."""

    lane: Lane
    what: str
    track: np.ndarray
    begun: np.ndarray
    until: np.ndarray

    @property
    def row(self) -> np.ndarray:
        row: np.ndarray = self.lane.row[self.track]
        return row


def learning(memory: Memory) -> list[Learning]:
    """By sensor and rule."""
    parts, judged = _parts(memory)
    sensors = memory.program.sensors
    found = [
        Learning(
            sensors[row].sensor,
            part.lane.rule_of(track).name,
            part.what,
            until if begun and until > 0 else None,
            begun,
            not judged[row],
        )
        for part in parts
        for row, track, begun, until in zip(
            part.row.tolist(), part.track.tolist(), part.begun.tolist(), part.until.tolist(), strict=True
        )
    ]
    return sorted(found, key=lambda one: one[:3])


def count(memory: Memory) -> tuple[int, int]:
    """Sensors with a condition that still learns, and those of them that nothing else judges."""
    parts, judged = _parts(memory)
    if not parts:
        return 0, 0
    rows = np.unique(np.concatenate([part.row for part in parts]))
    return len(rows), int((~judged[rows]).sum())


def _parts(memory: Memory) -> tuple[list[_Part], np.ndarray]:
    """And by row whether some condition of a rule about the city is judged."""
    judged = np.zeros(len(memory.program.sensors), bool)
    found: list[_Part] = []
    for tracks in memory.tracks:
        lane = tracks.lane
        if lane.detector.looks_at not in ("readings", "groups"):
            continue
        told = np.array([rule.mode in TOLD for rule in lane.rules], bool)[lane.rule]
        of_city = np.array([rule.network != "device" for rule in lane.rules], bool)[lane.rule]
        for number, bound in enumerate(lane.bounds):
            track = np.flatnonzero(told & (lane.kind == number))
            asked, others = _asks(lane, bound)
            known = np.full(len(track), others)
            for one in asked if len(track) else ():
                done, begun, until = _progress(tracks.state, track, one)
                known |= done
                if not done.all():
                    found.append(_Part(lane, one.what, track[~done], begun[~done], until[~done]))
            judged[lane.row[track[known & of_city[track]]]] = True
    return found, judged


def _asks(lane: Lane, bound: Bound) -> tuple[list[_Asked], bool]:
    """The conditions of a rule that learn, and whether it has others."""
    match bound.facts:
        case Facts() as facts:
            found = []
            for group, choice in enumerate(facts.choices):
                sources = {_source(slot) for slot in facts.slots if slot.group == group} - {None}
                what = f"level {choice.level}, {choice.text}"
                found += [_Asked(what, source, learned.LEARN_US) for source in sorted(filter(None, sources))]
            return found, len({one.what for one in found}) < len(facts.choices)
        case Departing() as facts:
            return [_Asked(lane.detector.name, COURSE, facts.learn_days * learned.DAY_US)], False
        case modal.Facts():
            return [_Asked(lane.detector.name, LINE, learned.LEARN_US)], False
        case night_flow.Facts() as facts:
            return [_Asked(lane.detector.name, NIGHTS, facts.nights)], False
    return [], True


def _source(slot: Slot) -> str | None:
    kinds = {column.kind for column in (slot.column, slot.minus, slot.per) if column is not None}
    return COURSE if kinds & OF_COURSE else LINE if kinds & OF_LINE else None


def _progress(state: Arrays, track: np.ndarray, asked: _Asked) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each track: whether it knows, whether it has begun, and when it will know (0: nobody can say)."""
    if asked.source == NIGHTS:
        nights, begun = state.known[track], state.hour[track] != NEVER
        lacks = np.maximum(np.ceil(asked.least - nights), 0).astype(np.int64)
        now = np.where(begun, state.hour[track], 0) * learned.HOUR_US - learned.LOCAL_US
        return nights >= asked.least, begun, now + lacks * learned.DAY_US
    of = (state.course if asked.source == COURSE else state.line)[track]
    first, newest = of[:, 0], of[:, 1]
    begun = first != 0
    done = begun & (newest - first >= asked.least)
    until = (first + asked.least).astype(np.int64)
    if asked.source == LINE:
        enough = (of[:, 2] >= learned.LEAST_FIT) & (of[:, 5] >= learned.LEAST_SPREAD_K**2)
        until = np.where(done & ~enough, 0, until)
        done = done & enough
    return done, begun, until
