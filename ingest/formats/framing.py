"""Frames in a stream of bytes that is cut anywhere, damaged anywhere, or mixed with noise.

Pure, and total: every byte ends up in a frame, in filler that the protocol allows between frames, or behind a
`Bad` with its offset. After a bad frame it goes on at the next plausible start. A frame whose end has not
come yet is held; what is held is never longer than the longest frame of the protocol. Whether a frame is
sound inside (its checksum above all) is for the format to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ingest.formats.result import Bad
from schemas.reading import Reason


class Broken(NamedTuple):
    """Not a frame: why."""

    reason: Reason
    detail: str


Measure = Callable[[bytes, int], int | Broken | None]
"""(bytes, start) to the frame's end; None if more bytes are needed to say."""


class Shape(NamedTuple):
    """How frames of one protocol are found."""

    mark: re.Pattern[bytes]
    """What a frame begins with; whatever begins so where a frame is due is a frame, good or bad."""
    plausible: re.Pattern[bytes]
    """What is taken for a start among noise; its beginnings at the very end (`\\Z`) count too."""
    measure: Measure
    filler: bytes = b""
    """Bytes that may stand between frames."""
    is_weak: bool = False
    """The start is so short that noise often looks like it: among noise only what has an end counts."""


class Frame(NamedTuple):
    at: int
    data: bytes


class Splitter:
    """The unread rest of one stream. Owned by whoever reads the stream; no two streams share one."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._held = b""
        self._at = 0
        self._is_lost = False

    @property
    def held(self) -> int:
        """Bytes of a frame whose end has not come yet."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Frame | Bad]:
        """What these further bytes complete."""
        self._held += data
        return list(self._take(is_end=False))

    def finish(self) -> list[Frame | Bad]:
        """What is left when no more bytes will come."""
        return list(self._take(is_end=True))

    def _take(self, is_end: bool) -> Iterator[Frame | Bad]:
        held, shape, at = self._held, self._shape, 0
        while True:
            if not self._is_lost:
                while at < len(held) and held[at] in shape.filler:
                    at += 1
            if at >= len(held):
                break
            start = at
            was_lost = self._is_lost
            if was_lost or not shape.mark.match(held, at):
                found = shape.plausible.search(held, at)
                start = found.start() if found else len(held)
                if start > at and not was_lost:
                    yield Bad(Reason.syntax, "expected the start of a frame", self._at + at)
                    was_lost = self._is_lost = True
                if found is None:
                    at = start
                    break
            end = shape.measure(held, start)
            if end is None and not is_end:
                at = start
                break
            if isinstance(end, int):
                yield Frame(self._at + start, held[start:end])
                at, self._is_lost = end, False
                continue
            if not (was_lost and shape.is_weak):
                if end is None:
                    end = Broken(Reason.truncated, "the input ends before the frame does")
                yield Bad(end.reason, end.detail, self._at + start)
            at, self._is_lost = start + 1, True
        self._held = held[at:]
        self._at += at
