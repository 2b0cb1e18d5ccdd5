"""Snapshots of a partition's detector state: whole files in a local folder, so that a killed worker goes on.

A file is named by (partition, group generation, last offset held, layout of the file, crc of its content)
and appears under that name only once it is on disk whole: written aside, fsync, rename, fsync of the
folder. What is torn, altered or of another layout is passed over, and the one before it is found. The
newest is the one of the highest generation, whatever its offset: a worker that woke up late never overrides
its successor. Does not know what the state means (detectors/fold.py does) nor when to take one
(streams/detect.py does).
"""

from __future__ import annotations

import logging
import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)

LAYOUT = 1
"""Of the file and of the state in it; raise it when a detector's state changes its shape."""

KEEP = 3
_MAGIC = b"CVSS"
_HEAD = struct.Struct("<4sI")  # magic, bytes of the header that follows
_NAME = re.compile(r"partition-(\d+)-generation-(\d+)-offset-(\d+)-layout-(\d+)-([0-9a-f]{8})\.snapshot")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the state holds: everything up to `offset`, judged by this registry and these rules.

    `registry` and `rules` are (version, offset on their topic) as the log's control records named them, so
    that the same program can be compiled again; None where no such record has come yet.
    """

    partition: int
    generation: int
    offset: int
    registry: tuple[int, int] | None
    rules: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    header: Header
    state: bytes


_header_in = msgspec.json.Decoder(Header)


class SnapshotFolder:
    """The snapshots of one worker's partitions. Any thread may use it, one write a partition at a time."""

    def __init__(self, folder: Path, keep: int = KEEP) -> None:
        self._folder = folder
        self._keep = keep

    def open(self) -> None:
        """Makes the folder and sweeps out what a killed worker left half written."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob(".*.writing"):
            leftover.unlink(missing_ok=True)

    def write(self, snapshot: Snapshot) -> int:
        """Bytes written, when they are on disk for good. Raises OSError."""
        header = msgspec.json.encode(snapshot.header)
        parts = (_HEAD.pack(_MAGIC, len(header)), header, snapshot.state)
        crc = 0
        for part in parts:
            crc = zlib.crc32(part, crc)
        name = (
            f"partition-{snapshot.header.partition:03d}-generation-{snapshot.header.generation:08d}"
            f"-offset-{snapshot.header.offset:016d}-layout-{LAYOUT}-{crc:08x}.snapshot"
        )
        aside = self._folder / f".{name}.writing"
        with aside.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._folder / name)
        self._sync_folder()
        for old in self._newest_first(snapshot.header.partition)[self._keep :]:
            old.unlink(missing_ok=True)
        return sum(map(len, parts))

    def usable(self, partition: int) -> Iterator[Snapshot]:
        """Whole snapshots of this layout, the newest first; what is passed over is logged."""
        for path in self._newest_first(partition):
            snapshot = _read(path)
            if snapshot is not None:
                yield snapshot

    def _newest_first(self, partition: int) -> list[Path]:
        found: list[tuple[int, int, float, Path]] = []
        for path in self._folder.glob(f"partition-{partition:03d}-*.snapshot"):
            if name := _NAME.fullmatch(path.name):
                found.append((int(name[2]), int(name[3]), path.stat().st_mtime, path))
        return [path for *_, path in sorted(found, reverse=True)]

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read(path: Path) -> Snapshot | None:
    name = _NAME.fullmatch(path.name)
    if name is None:
        return None
    if int(name[4]) != LAYOUT:
        log.warning("%s: layout %s, this program writes %d: passed over", path.name, name[4], LAYOUT)
        return None
    content = path.read_bytes()
    if zlib.crc32(content) != int(name[5], 16):
        log.error("%s: its %d bytes have another crc than its name: passed over", path.name, len(content))
        return None
    magic, size = _HEAD.unpack_from(content)
    if magic != _MAGIC:
        log.error("%s: expected magic %r, got %r: passed over", path.name, _MAGIC, magic)
        return None
    start = _HEAD.size + size
    return Snapshot(_header_in.decode(content[_HEAD.size : start]), content[start:])
