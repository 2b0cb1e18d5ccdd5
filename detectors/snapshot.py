"""The state of a partition as bytes, and back, into a program that may have changed meanwhile.

Layout: "CVDS", version, crc32, then msgpack of plain arrays by name; no pickle. State moves over by name:
rows by sensor number, gateways by id, episodes by (detector, subject, rule, mode), what a detector remembers
only where rule version and shape of the conditions are the same. What has no home in the new program is left
out.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import msgspec
import numpy as np

from detectors.contract import NO_SLOT
from detectors.memory import Memory
from detectors.program import Lane, Program
from detectors.registry import DETECTORS
from detectors.tracks import Tracks
from schemas import alert as alerts
from schemas.sequence import Mark

MAGIC = b"CVDS"
LAYOUT = 1
_HEAD = struct.Struct("<4sII")
_ROWS = ("last_at", "last_value", "last_received", "blind_at", "heard_at", "heard_work")
_GATEWAYS = ("work", "newest", "received", "blind", "blind_since", "blind_total", "blind_seen", "city")
_TRACKS = ("running", "waiting", "agrees")


class SnapshotError(ValueError):
    """Bytes that are no snapshot of this layout, with what is wrong."""


class _Array(msgspec.Struct, array_like=True, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, array: np.ndarray) -> _Array:
        return cls(array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes())

    def array(self) -> np.ndarray:
        return np.frombuffer(self.data, np.dtype(self.dtype)).reshape(self.shape)


class _Label(msgspec.Struct, array_like=True, frozen=True):
    rule: str
    mode: str
    version: str
    shape: int


class _Lane(msgspec.Struct, frozen=True):
    detector: str
    row: _Array
    labels: tuple[_Label, ...]
    label: _Array  # by track
    state: dict[str, _Array]
    episodes: dict[str, _Array]
    flags: dict[str, _Array]


class _Snapshot(msgspec.Struct, frozen=True):
    numbers: _Array
    gateways: tuple[str, ...]
    rows: dict[str, _Array]
    by_gateway: dict[str, _Array]
    lanes: tuple[_Lane, ...]
    marks: dict[str, list[tuple[int, int, tuple[int, ...]]]]
    generations: dict[str, int]
    owners: list[tuple[str, int, tuple[str, ...]]]
    city_us: int
    wall_us: int
    open: list[bytes]
    owed: list[bytes]


_decoder = msgspec.msgpack.Decoder(_Snapshot)


def pack(memory: Memory) -> bytes:
    intake, program = memory.intake, memory.program
    snapshot = _Snapshot(
        numbers=_Array.of(program.numbers),
        gateways=tuple(gateway.gateway for gateway in program.gateways),
        rows={name: _Array.of(getattr(memory, name)) for name in _ROWS},
        by_gateway={name: _Array.of(getattr(intake, name)) for name in _GATEWAYS},
        lanes=tuple(_lane(tracks) for tracks in memory.tracks),
        marks={
            gateway: [(epoch, mark.contiguous, mark.ahead) for epoch, mark in marks.items()]
            for gateway, marks in intake.marks.items()
        },
        generations=intake.generations,
        owners=[(name, generation, owned) for name, (generation, owned) in intake.owners.items()],
        city_us=intake.city_us,
        wall_us=intake.wall_us,
        open=[alerts.encode(message) for message in memory.open.values()],
        owed=[alerts.encode(message) for message in memory.owed],
    )
    body = msgspec.msgpack.encode(snapshot)
    return _HEAD.pack(MAGIC, LAYOUT, zlib.crc32(body)) + body


def unpack(memory: Memory, data: bytes) -> None:
    """Into a new memory. Raises SnapshotError and then leaves it undefined."""
    try:
        _fill(memory, _open(data))
    except SnapshotError:
        raise
    except (msgspec.DecodeError, ValueError, TypeError, KeyError, IndexError) as error:
        raise SnapshotError(f"the snapshot does not fit: {error}") from error


def _open(data: bytes) -> _Snapshot:
    if len(data) < _HEAD.size:
        raise SnapshotError(f"a snapshot has at least {_HEAD.size} bytes, this has {len(data)}")
    magic, layout, crc = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise SnapshotError(f"expected magic {MAGIC!r}, got {magic!r}")
    if layout != LAYOUT:
        raise SnapshotError(f"expected layout {LAYOUT}, got {layout}")
    body = memoryview(data)[_HEAD.size :]
    if zlib.crc32(body) != crc:
        raise SnapshotError("crc32 does not match: the file is cut or damaged")
    return _decoder.decode(body)


def _lane(tracks: Tracks) -> _Lane:
    labels, label = labels_of(tracks.lane)
    return _Lane(
        detector=tracks.lane.detector.name,
        row=_Array.of(tracks.lane.row),
        labels=labels,
        label=_Array.of(label),
        state={name: _Array.of(array) for name, array in tracks.state._asdict().items()},
        episodes={name: _Array.of(array) for name, array in tracks.episodes._asdict().items()},
        flags={name: _Array.of(getattr(tracks, name)) for name in _TRACKS},
    )


def labels_of(lane: Lane) -> tuple[tuple[_Label, ...], np.ndarray]:
    """What identifies tracks beside their rows: each distinct label once, and which of them by track."""
    pairs, label = np.unique(lane.rule.astype(np.int64) << 32 | lane.kind, return_inverse=True)
    labels = []
    for pair in pairs.tolist():
        rule, bound = lane.rules[pair >> 32], lane.bounds[pair & 0xFFFF_FFFF]
        shape = zlib.crc32("\x1f".join(bound.shape).encode())
        labels.append(_Label(rule.name, rule.mode, rule.version, shape))
    return tuple(labels), label.astype(np.int32)


def _fill(memory: Memory, saved: _Snapshot) -> None:
    intake, program = memory.intake, memory.program
    old_numbers = saved.numbers.array()
    _, new, old = np.intersect1d(program.numbers, old_numbers, return_indices=True)
    for name in _ROWS:
        getattr(memory, name)[new] = saved.rows[name].array()[old]
    was = {gateway: i for i, gateway in enumerate(saved.gateways)}
    pairs = [(i, was[g.gateway]) for i, g in enumerate(program.gateways) if g.gateway in was]
    here, there = np.array(pairs, np.int64).reshape(-1, 2).T
    for name in _GATEWAYS:
        getattr(intake, name)[here] = saved.by_gateway[name].array()[there]
    intake.marks = {
        gateway: {epoch: Mark(contiguous, ahead) for epoch, contiguous, ahead in marks}
        for gateway, marks in saved.marks.items()
    }
    intake.generations = dict(saved.generations)
    intake.owners = {name: (generation, owned) for name, generation, owned in saved.owners}
    intake.city_us, intake.wall_us = saved.city_us, saved.wall_us
    for data in saved.open:
        message = alerts.decode(data)
        memory.open[message.rule, message.mode, message.subject] = message
    memory.owed = [alerts.decode(data) for data in saved.owed]
    _move(memory.tracks, program, saved)


class _Homes(NamedTuple):
    """Where the tracks of one rule are kept: parallel arrays."""

    subject: np.ndarray
    lane: np.ndarray
    track: np.ndarray
    label: np.ndarray


def _move(all_tracks: list[Tracks], program: Program, saved: _Snapshot) -> None:
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


def _homes(program: Program, saved: _Snapshot) -> dict[tuple[str, str, str | None], _Homes]:
    """(detector, rule, mode) -> its tracks; under mode None those of any one mode of the rule."""
    numbers = saved.numbers.array()
    index = {gateway.gateway: i for i, gateway in enumerate(program.gateways)}
    gateways = np.array([index.get(name, -1 - i) for i, name in enumerate(saved.gateways)], np.int64)
    pieces: dict[tuple[str, str, str | None], list[_Homes]] = {}
    for i, kept in enumerate(saved.lanes):
        at_gateway = DETECTORS[kept.detector].looks_at == "gateways"
        subject = (gateways if at_gateway else numbers)[kept.row.array()]
        label = kept.label.array()
        for j, mark in enumerate(kept.labels):
            track = np.flatnonzero(label == j)
            home = _Homes(subject[track], np.full(len(track), i), track, np.full(len(track), j))
            pieces.setdefault((kept.detector, mark.rule, mark.mode), []).append(home)
    homes = {key: _Homes(*map(np.concatenate, zip(*parts, strict=True))) for key, parts in pieces.items()}
    for (detector, rule, _), home in list(homes.items()):
        homes.setdefault((detector, rule, None), home)
    return homes


def _copy(tracks: Tracks, lane: _Lane, new: np.ndarray, old: np.ndarray, *, whole: bool, fits: bool) -> None:
    if fits:
        for name, array in tracks.state._asdict().items():
            source = lane.state[name].array()
            if array.ndim == 1:
                array[new] = source[old]
            else:
                width = min(array.shape[1], source.shape[1])
                array[new, :width] = source[old, :width]
        for name in _TRACKS:
            getattr(tracks, name)[new] = lane.flags[name].array()[old]
    if whole:
        for name, array in tracks.episodes._asdict().items():
            array[new] = lane.episodes[name].array()[old]
        if not fits:
            tracks.episodes.slot[new] = NO_SLOT
            tracks.running[new] = tracks.episodes.level[new] > 0
