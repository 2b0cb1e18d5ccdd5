"""Snapshots of partitions by name: written, found again after a kill, the newest first, three kept of each.

A name is (partition, group generation, last offset held, layout, crc of the content); one of changes also has
the crc of the whole snapshot that they build on. What is torn, altered or of another layout is passed over,
and the one before it is found. The newest is the one of the highest generation, whatever its offset, and
nobody writes beside a higher one: a worker that woke up late never overrides its successor. Does not know
what the state means (detectors/snapshot.py), when to take one (streams/held.py) nor what a store is.
"""

from __future__ import annotations

import logging
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from detectors.snapshot import LAYOUT
from streams.places import Part, Place

log = logging.getLogger(__name__)

KEEP = 3
_MAGIC = b"CVSS"
_HEAD = struct.Struct("<4sI")  # magic, bytes of the header that follows
_NAME = re.compile(
    r"partition-(?P<partition>\d+)-generation-(?P<generation>\d+)-offset-(?P<offset>\d+)"
    r"-layout-(?P<layout>\d+)(?:-on-(?P<base>[0-9a-f]{8}))?-(?P<crc>[0-9a-f]{8})\.snapshot"
)


class Superseded(RuntimeError):
    """Somebody of a later generation of the group holds this partition."""


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
    """A whole state, or a whole one and what changed since."""

    header: Header
    whole: bytes
    changes: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Name:
    text: str
    partition: int
    generation: int
    offset: int
    layout: int
    base: str | None
    crc: str


_header_in = msgspec.json.Decoder(Header)


class Snapshots:
    """The snapshots in one place. Any thread may use it, one write a partition at a time."""

    def __init__(self, place: Place, keep: int = KEEP) -> None:
        self._place = place
        self._keep = keep

    def open(self) -> None:
        self._place.open()

    def write(self, header: Header, state: Sequence[Part], base: str | None = None) -> tuple[str, int]:
        """Its crc, by which changes name their `base`, and its bytes. Raises Superseded, OSError."""
        named = self._of(header.partition)
        newest = max((name.generation for name in named), default=0)
        if newest > header.generation:
            raise Superseded(
                f"partition {header.partition}: a snapshot of generation {newest} is there, ours is"
                f" {header.generation}: another worker has taken over"
            )
        head = msgspec.json.encode(header)
        parts = [_HEAD.pack(_MAGIC, len(head)), head, *state]
        value = 0
        for part in parts:
            value = zlib.crc32(part, value)
        crc, on = f"{value:08x}", f"-on-{base}" if base else ""
        text = (
            f"partition-{header.partition:03d}-generation-{header.generation:08d}"
            f"-offset-{header.offset:016d}-layout-{LAYOUT}{on}-{crc}.snapshot"
        )
        self._place.write(text, parts)
        self._prune(header.partition)
        return crc, sum(map(len, parts))

    def usable(self, partition: int) -> Iterator[Snapshot]:
        """Those that are whole and of this layout, the newest first; what is passed over is logged."""
        named = self._of(partition)
        for name in named:
            found = self._read(name)
            if found is None:
                continue
            header, state = found
            if name.base is None:
                yield Snapshot(header, state)
                continue
            bases = (one for one in named if one.crc == name.base and one.base is None)
            base = next((held for one in bases if (held := self._read(one))), None)
            if base is None:
                log.error("%s: the whole snapshot %s is missing: passed over", name.text, name.base)
                continue
            yield Snapshot(header, base[1], state)

    def _prune(self, partition: int) -> None:
        named = self._of(partition)
        kept = named[: self._keep]
        needed = {name.base for name in kept}
        for name in named[self._keep :]:
            if name.base is not None or name.crc not in needed:
                self._place.remove(name.text)

    def _of(self, partition: int) -> list[_Name]:
        """Of this partition, the newest first."""
        found = [
            _Name(text, int(m["partition"]), int(m["generation"]), int(m["offset"]), int(m["layout"]),
                  m["base"], m["crc"])
            for text in self._place.names()
            if (m := _NAME.fullmatch(text)) and int(m["partition"]) == partition
        ]  # fmt: skip
        return sorted(found, key=lambda name: (name.generation, name.offset, name.text), reverse=True)

    def _read(self, name: _Name) -> tuple[Header, bytes] | None:
        if name.layout != LAYOUT:
            log.warning("%s: layout %s, this program writes %d: passed over", name.text, name.layout, LAYOUT)
            return None
        try:
            content = self._place.read(name.text)
        except FileNotFoundError:
            log.warning("%s: another worker has removed it meanwhile: passed over", name.text)
            return None
        if f"{zlib.crc32(content):08x}" != name.crc:
            log.error("%s: its %d bytes have another crc than its name: passed over", name.text, len(content))
            return None
        magic, size = _HEAD.unpack_from(content)
        if magic != _MAGIC:
            log.error("%s: expected magic %r, got %r: passed over", name.text, _MAGIC, magic)
            return None
        start = _HEAD.size + size
        return _header_in.decode(content[_HEAD.size : start]), content[start:]
