"""Gateway frames into packed frames: what a partition's queue holds becomes one message of its log.

Pure. A gateway frame is never split, and the order is kept. A frame of which nothing was usable still becomes
a segment, without records: readers of the log then do not take its sequence for missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.frame import SEGMENT, Frame, SegmentFlag, encode
from schemas.reading import RECORD, Flag

READINGS = 2_000
MESSAGE_READINGS = 40_000
"""A message stays about 1 MB unless one gateway frame alone is larger."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One gateway frame, resolved. `epoch` and `sequence` are 0 without the flag `sequenced`."""

    gateway: str
    epoch: int
    sequence: int
    received_at: int
    received_wall: int
    published_wall: int
    flags: SegmentFlag
    records: np.ndarray = field(default_factory=lambda: np.zeros(0, RECORD))
    texts: Sequence[str] = ()


def fits(readings: int, segment: Segment) -> bool:
    """Whether a segment still goes into a message of so many readings."""
    return readings == 0 or readings + len(segment.records) <= MESSAGE_READINGS


def pack(segments: Sequence[Segment]) -> bytes:
    """One packed frame of these segments, at least one."""
    gateways: dict[str, int] = {}
    texts: list[str] = []
    table = np.zeros(len(segments), SEGMENT)
    records = []
    first = 0
    for at, segment in enumerate(segments):
        count = len(segment.records)
        table[at] = (
            segment.epoch,
            segment.sequence,
            segment.received_at,
            segment.received_wall,
            segment.published_wall,
            first,
            count,
            gateways.setdefault(segment.gateway, len(gateways)),
            int(segment.flags),
        )
        records.append(_shifted(segment.records, len(texts)) if segment.texts else segment.records)
        texts += segment.texts
        first += count
    return encode(Frame(table, _together(records), tuple(gateways), tuple(texts)))


def _together(records: list[np.ndarray]) -> np.ndarray:
    if len(records) == 1:
        return records[0]
    # As words: numpy copies records field by field, ten times slower.
    return np.concatenate([np.ascontiguousarray(one).view(np.int64) for one in records]).view(RECORD)


def _shifted(records: np.ndarray, texts_before: int) -> np.ndarray:
    """Records whose texts stand behind those of other segments."""
    if not texts_before:
        return records
    moved = records.copy()
    moved["value"][moved["flags"] == Flag.text] += texts_before
    return moved
