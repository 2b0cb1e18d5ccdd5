"""What was saved, into the memory of a program that may have changed meanwhile.

State moves over by name: rows by sensor number, gateways by id, episodes by (detector, subject, rule, mode),
what a detector remembers only where what decides (Rule.logic) and shape of the conditions are the same. What
has no home in the new program is left out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detectors.contract import NO_SLOT
from detectors.memory import Memory
from detectors.program import Program
from detectors.registry import DETECTORS
from detectors.snapshot import FLAGS, GATEWAYS, ROWS, Saved, SavedLane, SnapshotError, labels_of, marks_of
from detectors.tracks import Tracks


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
    """Where the tracks of one rule are kept: parallel arrays."""

    subject: np.ndarray
    lane: np.ndarray
    track: np.ndarray
    label: np.ndarray


def _move(all_tracks: list[Tracks], program: Program, saved: Saved) -> None:
    """Each track's state from the saved track of the same name, if there is one."""
    homes = _homes(program, saved)
    for tracks in all_tracks:
        name = tracks.lane.detector.name
        labels, label_of = labels_of(tracks.lane)
        at_gateway = tracks.lane.detector.looks_at == "gateways"
        subject = tracks.lane.row if at_gateway else program.numbers[tracks.lane.row]
        for number, label in enumerate(labels):
            same = homes.get((name, label.rule, label.mode))
            found = same or homes.get((name, label.rule, None))
            if found is None:
                continue
            mine = np.flatnonzero(label_of == number)
            _, here, there = np.intersect1d(
                subject[mine], found.subject, assume_unique=True, return_indices=True
            )
            source = found.lane[there] << 32 | found.label[there]
            for pair in np.unique(source).tolist():
                kept, pick = saved.lanes[pair >> 32], source == pair
                old = kept.labels[pair & 0xFFFF_FFFF]
                fits = (old.version, old.shape) == (label.version, label.shape)
                new, track = mine[here[pick]], found.track[there[pick]]
                _copy(tracks, kept, new, track, whole=same is not None, fits=fits)


def _homes(program: Program, saved: Saved) -> dict[tuple[str, str, str | None], _Homes]:
    """(detector, rule, mode) -> its tracks; under mode None those of any one mode of the rule."""
    index = {gateway.gateway: i for i, gateway in enumerate(program.gateways)}
    gateways = np.array([index.get(name, -1 - i) for i, name in enumerate(saved.gateways)], np.int64)
    pieces: dict[tuple[str, str, str | None], list[_Homes]] = {}
    for i, kept in enumerate(saved.lanes):
        at_gateway = DETECTORS[kept.detector].looks_at == "gateways"
        subject = (gateways if at_gateway else saved.numbers)[kept.row]
        label = kept.label
        for j, mark in enumerate(kept.labels):
            track = np.flatnonzero(label == j)
            home = _Homes(subject[track], np.full(len(track), i), track, np.full(len(track), j))
            pieces.setdefault((kept.detector, mark.rule, mark.mode), []).append(home)
    homes = {key: _Homes(*map(np.concatenate, zip(*parts, strict=True))) for key, parts in pieces.items()}
    for (detector, rule, _), home in list(homes.items()):
        homes.setdefault((detector, rule, None), home)
    return homes


def _copy(
    tracks: Tracks, lane: SavedLane, new: np.ndarray, old: np.ndarray, *, whole: bool, fits: bool
) -> None:
    if fits:
        for name, array in tracks.state._asdict().items():
            source = lane.state[name]
            if array.ndim == 1:
                array[new] = source[old]
            else:
                width = min(array.shape[1], source.shape[1])
                array[new, :width] = source[old, :width]
        for name in FLAGS:
            getattr(tracks, name)[new] = lane.flags[name][old]
    if whole:
        for name, array in tracks.episodes._asdict().items():
            array[new] = lane.episodes[name][old]
        if not fits:
            tracks.episodes.slot[new] = NO_SLOT
            tracks.running[new] = tracks.episodes.level[new] > 0
