"""What was saved, into the memory of a program that may have changed meanwhile.

State moves over by name: rows by sensor number, gateways by id, episodes by (detector, subject, rule, mode),
what a detector remembers only where what decides (Rule.logic) and shape of the conditions are the same. What
has no home in the new program is left out.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from detectors.contract import NO_SLOT
from detectors.memory import Memory
from detectors.program import Program
from detectors.registry import DETECTORS
from detectors.snapshot import (
    FLAGS,
    GATEWAYS,
    ROWS,
    Label,
    Saved,
    SavedLane,
    SnapshotError,
    labels_of,
    marks_of,
)
from detectors.tracks import Tracks

STRETCH = 64
"""Tracks in a stretch on average, from which on copying by stretches is cheaper."""


def fill(memory: Memory, saved: Saved) -> None:
    """Into a new memory. Raises SnapshotError and then leaves it undefined."""
    if saved.only is not None:
        raise SnapshotError("changes alone are no state: the whole snapshot before them is missing")
    try:
        _fill(memory, saved)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise SnapshotError(f"the snapshot does not fit: {error!r}") from error


def _fill(memory: Memory, saved: Saved) -> None:
    intake, program = memory.intake, memory.program
    _, new, old = np.intersect1d(program.numbers, saved.numbers, return_indices=True)
    for name in ROWS:
        getattr(memory, name)[new] = saved.rows[name][old]
    memory.checked_ahead = np.flatnonzero(memory.checked_at > memory.last_at)
    was = {gateway: i for i, gateway in enumerate(saved.gateways)}
    pairs = [(i, was[g.gateway]) for i, g in enumerate(program.gateways) if g.gateway in was]
    here, there = np.array(pairs, np.int64).reshape(-1, 2).T
    for name in GATEWAYS:
        getattr(intake, name)[here] = saved.by_gateway[name][there]
    intake.marks = marks_of(saved)
    intake.generations = dict(saved.generations)
    intake.owners = {name: (generation, owned) for name, generation, owned in saved.owners}
    intake.city_us, intake.wall_us = saved.city_us, saved.wall_us
    for message in saved.open:
        memory.open[message.rule, message.mode, message.subject] = message
    memory.owed = list(saved.owed)
    _move(memory.tracks, program, saved)


class _Homes(NamedTuple):
    """Where the tracks of one detector are kept: parallel arrays, by key and then as they stand there."""

    key: np.ndarray
    lane: np.ndarray  # of those of the detector
    track: np.ndarray
    logic: np.ndarray


class _Names:
    """Numbers for what tracks of one detector are known by."""

    def __init__(self, lanes: list[SavedLane], low: int, high: int) -> None:
        self._low, self._span = low, high - low + 1
        self._rules: dict[tuple[str, str | None], int] = {}  # under mode None any one mode of the rule
        self._logics: dict[tuple[str, int], int] = {}
        for lane in lanes:
            for label in lane.labels:
                number = self._rules.setdefault((label.rule, label.mode), len(self._rules))
                self._rules.setdefault((label.rule, None), number)
                self._logics.setdefault((label.version, label.shape), len(self._logics))

    def key(self, rule: np.ndarray, subject: np.ndarray) -> np.ndarray:
        """Below zero for rules that nothing is kept of."""
        return np.where(rule < 0, -1, rule * self._span + (subject - self._low))

    def rule(self, label: Label, mode: str | None) -> int:
        return self._rules.get((label.rule, mode), -1)

    def logic(self, label: Label) -> int:
        return self._logics.get((label.version, label.shape), -1)


def _move(all_tracks: list[Tracks], program: Program, saved: Saved) -> None:
    """Each track's state from the saved track of the same name, if there is one."""
    index = {gateway.gateway: i for i, gateway in enumerate(program.gateways)}
    gateways = np.array([index.get(name, -1 - i) for i, name in enumerate(saved.gateways)], np.int64)
    for name in dict.fromkeys(tracks.lane.detector.name for tracks in all_tracks):
        mine = [tracks for tracks in all_tracks if tracks.lane.detector.name == name]
        kept = [lane for lane in saved.lanes if lane.detector == name]
        if not kept:
            continue
        at_gateway = DETECTORS[name].looks_at == "gateways"
        numbers, known = (np.arange(len(index)), gateways) if at_gateway else (program.numbers, saved.numbers)
        new = [numbers[tracks.lane.row] for tracks in mine]
        old = [known[lane.row] for lane in kept]
        every = np.concatenate((*new, *old))
        if len(every):
            names = _Names(kept, int(every.min()), int(every.max()))
            _settle(mine, new, kept, _homes(kept, old, names), names)


def _homes(kept: list[SavedLane], subjects: list[np.ndarray], names: _Names) -> _Homes:
    key, lane_of, track, logic = [], [], [], []
    for i, (lane, subject) in enumerate(zip(kept, subjects, strict=True)):
        rules = np.array([names.rule(label, label.mode) for label in lane.labels], np.int64)
        logics = np.array([names.logic(label) for label in lane.labels], np.int64)
        key.append(names.key(rules[lane.label], subject))
        lane_of.append(np.full(len(subject), i))
        track.append(np.arange(len(subject)))
        logic.append(logics[lane.label])
    homes = _Homes(*map(np.concatenate, (key, lane_of, track, logic)))
    order = np.argsort(homes.key, kind="stable")
    return _Homes(*(array[order] for array in homes))


def _settle(
    mine: list[Tracks], subjects: list[np.ndarray], kept: list[SavedLane], homes: _Homes, names: _Names
) -> None:
    keys, wholes, logics = [], [], []
    for tracks, subject in zip(mine, subjects, strict=True):
        labels, label = labels_of(tracks.lane)
        same = np.array([names.rule(one, one.mode) for one in labels], np.int64)
        rules = np.where(same >= 0, same, [names.rule(one, None) for one in labels])
        keys.append(names.key(rules[label], subject))
        wholes.append((same >= 0)[label])
        logics.append(np.array([names.logic(one) for one in labels], np.int64)[label])
    key = np.concatenate(keys)
    # Groups of two tags may be about the same sensor: the n-th track of a name from the n-th that is kept.
    at = np.searchsorted(homes.key, key) + _nth(key)
    there = at < len(homes.key)
    at = np.where(there, at, 0)
    there &= homes.key[at] == key
    first = 0
    for tracks, whole, logic in zip(mine, wholes, logics, strict=True):
        found, home = there[first : first + len(whole)], at[first : first + len(whole)]
        first += len(whole)
        fits = logic == homes.logic[home]
        for i, lane in enumerate(kept):
            here = found & (homes.lane[home] == i)
            if here.any():
                _copy(tracks, lane, here, homes.track[home], whole, fits)


def _nth(key: np.ndarray) -> np.ndarray:
    """How many equal ones stand before each."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    place = np.arange(len(key))
    begins = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    nth = np.empty(len(key), np.int64)
    nth[order] = place - np.maximum.accumulate(np.where(begins, place, 0))
    return nth


def _copy(
    tracks: Tracks,
    lane: SavedLane,
    here: np.ndarray,
    home: np.ndarray,
    whole: np.ndarray,
    fits: np.ndarray,
) -> None:
    """Of the tracks `here` each from track `home` of a lane."""
    for new, old in _pieces(here & fits, home):
        for name, array in tracks.state._asdict().items():
            source = lane.state[name]
            if array.ndim == 1:
                array[new] = source[old]
            else:
                width = min(array.shape[1], source.shape[1])
                array[new, :width] = source[old, :width]
        for name in FLAGS:
            getattr(tracks, name)[new] = lane.flags[name][old]
    for new, old in _pieces(here & whole, home):
        for name, array in tracks.episodes._asdict().items():
            array[new] = lane.episodes[name][old]
    new = np.flatnonzero(here & whole & ~fits)
    tracks.episodes.slot[new] = NO_SLOT
    tracks.running[new] = tracks.episodes.level[new] > 0


Piece = tuple[slice, slice] | tuple[np.ndarray, np.ndarray]


def _pieces(here: np.ndarray, home: np.ndarray) -> list[Piece]:
    """New places and where they come from: stretches, as most stand as they stood, else one by one."""
    new = np.flatnonzero(here)
    old = home[new]
    ends = np.flatnonzero((np.diff(new) != 1) | (np.diff(old) != 1)) + 1
    if len(ends) > len(new) // STRETCH:
        return [(new, old)]
    bounds = [0, *ends.tolist(), len(new)]
    return [
        (slice(int(new[a]), int(new[a]) + b - a), slice(int(old[a]), int(old[a]) + b - a))
        for a, b in pairwise(bounds)
        if b > a
    ]
