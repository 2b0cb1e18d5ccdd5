"""Which frames of a gateway have been seen: the one pure rule against duplicates.

Per (gateway, epoch) a contiguous mark and the sequences ahead of it. A bare high-water mark would
call a late frame a duplicate and lose it. Used three times: by ingest, by detect, by the historian.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

AHEAD_LIMIT = 4_096
"""Sequences kept ahead of the mark; beyond it the oldest hole is given up (and is a recorded gap)."""


class Mark(NamedTuple):
    """Everything up to `contiguous` was seen, and so were those in `ahead` (sorted)."""

    contiguous: int
    ahead: tuple[int, ...] = ()


class Seen(enum.Enum):
    new = "new"
    ahead = "ahead"  # new, but something before it is missing
    duplicate = "duplicate"


def observe(mark: Mark | None, sequence: int) -> tuple[Mark, Seen]:
    """The mark after `sequence`, and what `sequence` was.

    The first sequence of an epoch starts its mark wherever it stands.

    >>> mark, _ = observe(None, 7)
    >>> mark, seen = observe(mark, 9)
    >>> mark, seen
    (Mark(contiguous=7, ahead=(9,)), <Seen.ahead: 'ahead'>)
    >>> observe(mark, 8)
    (Mark(contiguous=9, ahead=()), <Seen.new: 'new'>)
    """
    if mark is None:
        return Mark(sequence), Seen.new
    if sequence <= mark.contiguous or sequence in mark.ahead:
        return mark, Seen.duplicate
    if sequence == mark.contiguous + 1:
        return _closed(Mark(sequence, mark.ahead)), Seen.new
    ahead = tuple(sorted((*mark.ahead, sequence)))
    if len(ahead) > AHEAD_LIMIT:
        return _closed(Mark(ahead[0], ahead[1:])), Seen.ahead
    return Mark(mark.contiguous, ahead), Seen.ahead


def skip_to(mark: Mark, sequence: int) -> Mark:
    """The mark after everything up to `sequence` was given up as a gap."""
    if sequence <= mark.contiguous:
        return mark
    return _closed(Mark(sequence, tuple(s for s in mark.ahead if s > sequence)))


def _closed(mark: Mark) -> Mark:
    contiguous, ahead = mark
    taken = 0
    while taken < len(ahead) and ahead[taken] <= contiguous + 1:
        contiguous = max(contiguous, ahead[taken])
        taken += 1
    return Mark(contiguous, ahead[taken:])
