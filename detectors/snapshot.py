"""The memory of a partition as bytes, and back: whole, or only the rows that changed since a whole one.

`take` copies, so that folding can go on; `pack` may run in another thread, and copies nothing more: it gives
buffers to be written one behind the other. Layout: "CVDS", version, size of the directory, the directory
(msgpack: what is small, and of each array its type, shape and place), the arrays; no pickle. Damage inside
an array is not noticed here: whoever keeps the bytes keeps their checksum (streams/state.py).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec
import numpy as np

from detectors.memory import Memory
from detectors.program import Lane, Program
from detectors.registry import DETECTORS
from schemas import alert as alerts
from schemas.alert import Alert
from schemas.sequence import Mark

MAGIC = b"CVDS"
LAYOUT = 4
"""Of these bytes; raise it when a detector's state changes its meaning. Its shape describes itself."""

ROWS = ("last_at", "last_value", "last_received", "checked_at", "blind_at", "heard_at", "heard_work")
GATEWAYS = (
    *("work", "newest", "received", "blind", "blind_since", "blind_total", "blind_seen", "city"),
    *("clock_since", "clock_last", "clock_off", "clock_lag"),
)
FLAGS = ("running", "waiting", "agrees")
_HEAD = struct.Struct("<4sIQ")
_ALIGNED = 8

Marks = dict[str, list[tuple[int, int, tuple[int, ...]]]]
Arrays = dict[str, np.ndarray]
A = TypeVar("A")
B = TypeVar("B")


class SnapshotError(ValueError):
    """Bytes that are no snapshot of this layout, with what is wrong."""


class Label(msgspec.Struct, array_like=True, frozen=True):
    """What identifies tracks beside their rows; state fits where version and shape are the same."""

    rule: str
    mode: str
    version: str
    shape: int


@dataclass(frozen=True)
class SavedLane:
    """`row`, `labels` and `label` are empty in changes: the whole one has them."""

    detector: str
    row: np.ndarray
    labels: tuple[Label, ...]
    label: np.ndarray  # by track
    state: Arrays
    episodes: Arrays
    flags: Arrays


@dataclass(frozen=True)
class Saved:
    """Arrays are by row of `numbers`, by gateway and by track; in changes only those of the rows `only`."""

    only: np.ndarray | None
    numbers: np.ndarray
    gateways: tuple[str, ...]
    rows: Arrays
    by_gateway: Arrays
    lanes: tuple[SavedLane, ...]
    marks: Marks
    generations: dict[str, int]
    owners: list[tuple[str, int, tuple[str, ...]]]
    city_us: int
    wall_us: int
    open: Sequence[Alert]
    owed: Sequence[Alert]


@dataclass(frozen=True)
class Copy:
    """A memory as it stood at one moment. What is computed of the program waits for `saved`."""

    program: Program
    arrays: Saved
    copied_bytes: int

    @property
    def whole(self) -> bool:
        return self.arrays.only is None

    def saved(self) -> Saved:
        if not self.whole:
            return self.arrays
        lanes = []
        for lane, kept in zip(self.program.lanes, self.arrays.lanes, strict=True):
            labels, label = labels_of(lane)
            lanes.append(replace(kept, row=lane.row, labels=labels, label=label))
        return replace(self.arrays, numbers=self.program.numbers, lanes=tuple(lanes))


def take(memory: Memory, only: np.ndarray | None = None) -> Copy:
    """All of it, or the rows `only` (ascending) and what is not kept by row."""
    intake, size = memory.intake, 0
    none = np.empty(0, np.int32)

    def copy(array: np.ndarray, at: np.ndarray | None) -> np.ndarray:
        nonlocal size
        copied = array.copy() if at is None else array[at]
        size += copied.nbytes
        return copied

    lanes = []
    for tracks in memory.tracks:
        lane, at = tracks.lane, only
        if only is not None:
            at = None if lane.detector.looks_at == "gateways" else lane.track_of[only]
            at = at if at is None else at[at >= 0]
        state = {name: copy(array, at) for name, array in tracks.state._asdict().items()}
        episodes = {name: copy(array, at) for name, array in tracks.episodes._asdict().items()}
        flags = {name: copy(getattr(tracks, name), at) for name in FLAGS}
        lanes.append(SavedLane(lane.detector.name, none, (), none, state, episodes, flags))
    arrays = Saved(
        only=only,
        numbers=none,
        gateways=tuple(gateway.gateway for gateway in memory.program.gateways),
        rows={name: copy(getattr(memory, name), only) for name in ROWS},
        by_gateway={name: copy(getattr(intake, name), None) for name in GATEWAYS},
        lanes=tuple(lanes),
        marks={
            gateway: [(epoch, mark.contiguous, mark.ahead) for epoch, mark in marks.items()]
            for gateway, marks in intake.marks.items()
        },
        generations=dict(intake.generations),
        owners=[(name, generation, owned) for name, (generation, owned) in intake.owners.items()],
        city_us=intake.city_us,
        wall_us=intake.wall_us,
        open=tuple(memory.open.values()),
        owed=tuple(memory.owed),
    )
    return Copy(memory.program, arrays, size)


def marks_of(saved: Saved) -> dict[str, dict[int, Mark]]:
    return {
        gateway: {epoch: Mark(contiguous, ahead) for epoch, contiguous, ahead in marks}
        for gateway, marks in saved.marks.items()
    }


def labels_of(lane: Lane) -> tuple[tuple[Label, ...], np.ndarray]:
    """Each distinct label once, and which of them by track."""
    pairs, label = np.unique(lane.rule.astype(np.int64) << 32 | lane.kind, return_inverse=True)
    labels = []
    for pair in pairs.tolist():
        rule, bound = lane.rules[pair >> 32], lane.bounds[pair & 0xFFFF_FFFF]
        shape = zlib.crc32("\x1f".join(bound.shape).encode())
        labels.append(Label(rule.name, rule.mode, rule.logic, shape))
    return tuple(labels), label.astype(np.int32)


def joined(base: Saved, changes: Saved) -> Saved:
    """The whole that stood when the changes were taken. Raises SnapshotError if they are not of this base."""
    only = changes.only
    if only is None or base.only is not None:
        raise SnapshotError("expected a whole snapshot and changes to it")
    if [lane.detector for lane in base.lanes] != [lane.detector for lane in changes.lanes]:
        raise SnapshotError("the changes have other lanes than the whole snapshot")
    row_changed = np.zeros(len(base.numbers), bool)
    row_changed[only] = True
    lanes = []
    for old, new in zip(base.lanes, changes.lanes, strict=True):
        at_gateway = DETECTORS[old.detector].looks_at == "gateways"
        at = slice(None) if at_gateway else np.flatnonzero(row_changed[old.row])
        lanes.append(
            replace(
                old,
                state=_over(old.state, new.state, at),
                episodes=_over(old.episodes, new.episodes, at),
                flags=_over(old.flags, new.flags, at),
            )
        )
    rows = _over(base.rows, changes.rows, only)
    return replace(changes, only=None, numbers=base.numbers, rows=rows, lanes=tuple(lanes))


def _over(old: Arrays, new: Arrays, at: np.ndarray | slice) -> Arrays:
    found = {}
    for name, array in old.items():
        found[name] = array.copy()
        found[name][at] = new[name]
    return found


# Bytes


class _Array(msgspec.Struct, array_like=True, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    at: int  # in the body


class _Lane(msgspec.Struct, frozen=True):
    detector: str
    row: _Array
    labels: tuple[Label, ...]
    label: _Array
    state: dict[str, _Array]
    episodes: dict[str, _Array]
    flags: dict[str, _Array]


class _Directory(msgspec.Struct, frozen=True):
    only: _Array | None
    numbers: _Array
    gateways: tuple[str, ...]
    rows: dict[str, _Array]
    by_gateway: dict[str, _Array]
    lanes: tuple[_Lane, ...]
    marks: Marks
    generations: dict[str, int]
    owners: list[tuple[str, int, tuple[str, ...]]]
    city_us: int
    wall_us: int
    open: list[bytes]
    owed: list[bytes]
    body: int


_decoder = msgspec.msgpack.Decoder(_Directory)


def pack(copy: Copy) -> list[bytes | memoryview]:
    """Buffers, to be written one behind the other."""
    saved = copy.saved()
    parts: list[bytes | memoryview] = []
    size = 0

    def entry(array: np.ndarray) -> _Array:
        nonlocal size
        kept = _Array(array.dtype.str, array.shape, size)
        if array.nbytes:
            parts.append(np.ascontiguousarray(array).data.cast("B"))
            parts.append(bytes(-array.nbytes % _ALIGNED))
            size += array.nbytes + -array.nbytes % _ALIGNED
        return kept

    facts = _Directory(
        only=None if saved.only is None else entry(saved.only),
        numbers=entry(saved.numbers),
        gateways=saved.gateways,
        rows=_each(saved.rows, entry),
        by_gateway=_each(saved.by_gateway, entry),
        lanes=tuple(
            _Lane(
                detector=lane.detector,
                row=entry(lane.row),
                labels=lane.labels,
                label=entry(lane.label),
                state=_each(lane.state, entry),
                episodes=_each(lane.episodes, entry),
                flags=_each(lane.flags, entry),
            )
            for lane in saved.lanes
        ),
        marks=saved.marks,
        generations=saved.generations,
        owners=saved.owners,
        city_us=saved.city_us,
        wall_us=saved.wall_us,
        open=[alerts.encode(message) for message in saved.open],
        owed=[alerts.encode(message) for message in saved.owed],
        body=0,
    )
    directory = msgspec.msgpack.encode(msgspec.structs.replace(facts, body=size))
    padding = bytes(-(_HEAD.size + len(directory)) % _ALIGNED)
    return [_HEAD.pack(MAGIC, LAYOUT, len(directory)), directory, padding, *parts]


def unpack(data: bytes) -> Saved:
    """Its arrays are views of `data`. Raises SnapshotError."""
    try:
        return _unpacked(data)
    except (msgspec.DecodeError, ValueError, TypeError, KeyError) as error:
        raise error if isinstance(error, SnapshotError) else SnapshotError(f"no snapshot: {error}") from error


def _unpacked(data: bytes) -> Saved:
    if len(data) < _HEAD.size:
        raise SnapshotError(f"a snapshot has at least {_HEAD.size} bytes, this has {len(data)}")
    magic, layout, size = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise SnapshotError(f"expected magic {MAGIC!r}, got {magic!r}")
    if layout != LAYOUT:
        raise SnapshotError(f"expected layout {LAYOUT}, got {layout}")
    end = _HEAD.size + size
    found = _decoder.decode(memoryview(data)[_HEAD.size : end])
    body = end + -end % _ALIGNED
    if len(data) != body + found.body:
        raise SnapshotError(f"expected {body + found.body} bytes, got {len(data)}")

    def array(entry: _Array) -> np.ndarray:
        count = int(np.prod(entry.shape, dtype=np.int64))
        return np.frombuffer(data, np.dtype(entry.dtype), count, body + entry.at).reshape(entry.shape)

    return Saved(
        only=None if found.only is None else array(found.only),
        numbers=array(found.numbers),
        gateways=found.gateways,
        rows=_each(found.rows, array),
        by_gateway=_each(found.by_gateway, array),
        lanes=tuple(
            SavedLane(
                detector=lane.detector,
                row=array(lane.row),
                labels=lane.labels,
                label=array(lane.label),
                state=_each(lane.state, array),
                episodes=_each(lane.episodes, array),
                flags=_each(lane.flags, array),
            )
            for lane in found.lanes
        ),
        marks=found.marks,
        generations=found.generations,
        owners=found.owners,
        city_us=found.city_us,
        wall_us=found.wall_us,
        open=[alerts.decode(message) for message in found.open],
        owed=[alerts.decode(message) for message in found.owed],
    )


def _each(named: Mapping[str, A], change: Callable[[A], B]) -> dict[str, B]:
    return {name: change(one) for name, one in named.items()}
