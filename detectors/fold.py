"""Fold the log of one partition into alerts.

The same log gives the same alerts, bodies included, however it is cut into batches. First slice: it keeps
the marks against duplicates and the generations of ticks; detectors are plugged in next.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from detectors.program import Program
from schemas.alert import Alert
from schemas.control import Control, Tick
from schemas.frame import Frame, SegmentFlag
from schemas.sequence import Mark, observe

LAYOUT = 0


class SnapshotError(ValueError):
    """Bytes that are no snapshot of this layout, with what is wrong."""


class Partition:
    def __init__(self, program: Program) -> None:
        self.program = program
        self._marks: dict[tuple[str, int], Mark] = {}
        self._generations: dict[str, int] = {}

    def fold(self, entries: Sequence[Frame | Control]) -> list[Alert]:
        """The alerts of these entries of the log, in log order."""
        for entry in entries:
            if isinstance(entry, Frame):
                for number, segment in enumerate(entry.segments):
                    if int(segment["flags"]) & SegmentFlag.sequenced:
                        key = entry.gateway_of(number), int(segment["epoch"])
                        self._marks[key], _ = observe(self._marks.get(key), int(segment["sequence"]))
            elif isinstance(entry, Tick):
                known = self._generations.get(entry.ingest, entry.generation)
                self._generations[entry.ingest] = max(known, entry.generation)
        return []

    def adopt(self, program: Program) -> list[Alert]:
        """Go on with another program; the clears of episodes that have no home in it."""
        self.program = program
        return []

    def open_episodes(self) -> list[Alert]:
        """The last message of every episode that is active."""
        return []

    def snapshot(self) -> bytes:
        marks = [[*key, mark.contiguous, list(mark.ahead)] for key, mark in self._marks.items()]
        return msgspec.msgpack.encode([LAYOUT, marks, self._generations])

    @classmethod
    def restore(cls, program: Program, data: bytes) -> Partition:
        """Raises SnapshotError."""
        try:
            layout, marks, generations = msgspec.msgpack.decode(data)
        except (msgspec.DecodeError, ValueError) as error:
            raise SnapshotError(f"no snapshot: {error}") from None
        if layout != LAYOUT:
            raise SnapshotError(f"expected layout {LAYOUT}, got {layout}")
        partition = cls(program)
        partition._marks = {(g, e): Mark(c, tuple(a)) for g, e, c, a in marks}
        partition._generations = generations
        return partition
