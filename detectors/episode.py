"""Scores to episodes: raise, upgrade, downgrade, update, clear, for many tracks at once.

An episode is raised when a level is met and has held, upgraded as soon as a more severe one is. It leaves
a level only after that level's relaxed limit was not kept for as long as raising took; it then goes to the
most severe level kept in that time, or clears. An update is due when the excess over the limit has doubled
since the last message. Every decision belongs to one event of the log, a reading or a tick, never to a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from detectors.contract import NO_SLOT, Bound, Scores

NOTHING, RAISE, UPGRADE, DOWNGRADE, UPDATE, CLEAR = range(6)
Word = Literal["raise", "upgrade", "downgrade", "update", "clear"]
CHANGES: tuple[Word, ...] = ("raise", "raise", "upgrade", "downgrade", "update", "clear")  # 0 is never shown
_NONE = np.uint8(9)  # milder than any level


class Falls(NamedTuple):
    """[kinds, 4] how long a level must not be kept before it is left."""

    reports: np.ndarray
    us: np.ndarray


class Episodes(NamedTuple):
    level: np.ndarray  # u1, 0 while nothing is active
    worst: np.ndarray  # u1
    seq: np.ndarray  # i4, of the last message
    since: np.ndarray  # i8
    slot: np.ndarray  # u1, the condition the level stands on
    mark: np.ndarray  # f8, excess at the last message
    falling: np.ndarray  # i4, reports in a row that did not keep the level
    falling_start: np.ndarray  # i8, where that hold counts from
    falling_to: np.ndarray  # u1, the most severe level kept meanwhile


def fresh(n: int) -> Episodes:
    return Episodes(
        level=np.zeros(n, np.uint8),
        worst=np.zeros(n, np.uint8),
        seq=np.zeros(n, np.int32),
        since=np.full(n, np.iinfo(np.int64).min),
        slot=np.full(n, NO_SLOT, np.uint8),
        mark=np.zeros(n),
        falling=np.zeros(n, np.int32),
        falling_start=np.zeros(n, np.int64),
        falling_to=np.zeros(n, np.uint8),
    )


def falls(bounds: Sequence[Bound]) -> Falls:
    return Falls(
        np.array([[f.reports for f in b.falls] for b in bounds], np.int32).reshape(-1, 4),
        np.array([[f.us for f in b.falls] for b in bounds], np.int64).reshape(-1, 4),
    )


def step(
    table: Falls,
    kind: np.ndarray,
    state: Episodes,
    scores: Scores,
    at: np.ndarray,
    paused_us: np.ndarray,
    *,
    reading: bool = True,
) -> tuple[Episodes, np.ndarray, np.ndarray]:
    """One event for each track: new episodes, what changed (CHANGES), and what still waits for time.

    Without a `reading` only time has passed: nothing is counted, holds may mature.
    """
    active = state.level > 0
    met = scores.meets > 0
    raised = ~active & met
    upgraded = active & met & (scores.meets < state.level)
    if reading:
        kept = (scores.keeps > 0) & (scores.keeps <= state.level)
        falls_now = active & ~kept
        first = falls_now & (state.falling == 0)
        falling = np.where(falls_now, state.falling + 1, 0).astype(np.int32)
        start = np.where(first, at, state.falling_start + paused_us)
        to = np.where(first, scores.keeps, _severer(state.falling_to, scores.keeps))
    else:
        falling, start, to = state.falling, state.falling_start, state.falling_to
    column = np.maximum(state.level, 1) - 1
    enough = active & (falling > 0) & (falling >= table.reports[kind, column])
    left = enough & ~upgraded & (at - start >= table.us[kind, column])
    cleared = left & (to == 0)
    downgraded = left & (to > 0)
    stays = active & ~upgraded & ~left
    updated = stays & (scores.meets == state.level) & (scores.excess >= 2 * state.mark) & reading
    change = np.select(
        [raised, upgraded, downgraded, updated, cleared], [RAISE, UPGRADE, DOWNGRADE, UPDATE, CLEAR], NOTHING
    )
    again = raised & (scores.since == state.since)  # the same episode, so its numbers go on
    moved = raised | upgraded | downgraded
    level = np.where(raised | upgraded, scores.meets, np.where(left, to, state.level)).astype(np.uint8)
    marked = moved | updated
    settled = moved | cleared
    episodes = Episodes(
        level=level,
        worst=np.where(raised, level, np.where(upgraded, _severer(state.worst, level), state.worst)),
        seq=np.where(raised & ~again, 1, state.seq + (change != NOTHING)).astype(np.int32),
        since=np.where(raised, scores.since, state.since),
        slot=np.where(moved, scores.slot, state.slot),
        mark=np.where(marked, np.maximum(scores.excess, scores.grain), state.mark),
        falling=np.where(settled, 0, falling).astype(np.int32),
        falling_start=start,
        falling_to=np.where(settled, 0, to).astype(np.uint8),
    )
    waits = (level > 0) & enough & ~left & ~settled
    return episodes, change.astype(np.uint8), waits


def _severer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The more severe of two levels, none being the mildest."""
    worst = np.minimum(np.where(a == 0, _NONE, a), np.where(b == 0, _NONE, b))
    return np.where(worst == _NONE, 0, worst).astype(np.uint8)
