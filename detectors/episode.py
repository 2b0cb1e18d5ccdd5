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

from detectors.compiled import compiled
from detectors.contract import NO_SLOT, Bound, Scores

NOTHING, RAISE, UPGRADE, DOWNGRADE, UPDATE, CLEAR = range(6)
Word = Literal["raise", "upgrade", "downgrade", "update", "clear"]
CHANGES: tuple[Word, ...] = ("raise", "raise", "upgrade", "downgrade", "update", "clear")  # 0 is never shown


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
    episodes: Episodes,
    track: np.ndarray,
    scores: Scores,
    at: np.ndarray,
    paused_us: np.ndarray,
    *,
    reading: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """One event for each of different tracks, whose episodes change in place: what changed (CHANGES), and
    what still waits for time. The other arrays have an element a track.

    Without a `reading` only time has passed: nothing is counted, holds may mature.
    """
    change, waits = np.zeros(len(track), np.uint8), np.zeros(len(track), bool)
    _step(table, episodes, scores, kind, track, at, paused_us, reading, change, waits)
    return change, waits


@compiled
def _step(
    table: Falls, episodes: Episodes, scores: Scores,
    kind: np.ndarray, track: np.ndarray, at: np.ndarray, paused_us: np.ndarray, reading: bool,
    change: np.ndarray, waits: np.ndarray,
) -> None:  # fmt: skip
    for i in range(len(track)):
        of, level, meets = track[i], episodes.level[track[i]], scores.meets[i]
        if level == 0:
            if meets > 0:
                change[i] = RAISE
                _raised(episodes, of, scores, i)
            continue
        if reading:
            _falls(episodes, of, scores.keeps[i], at[i], paused_us[i])
        fall = level - 1
        enough = episodes.falling[of] > 0 and episodes.falling[of] >= table.reports[kind[i], fall]
        if 0 < meets < level:
            change[i] = UPGRADE
            episodes.worst[of] = _severer(episodes.worst[of], meets)
            _moved(episodes, of, meets, scores, i)
        elif enough and at[i] - episodes.falling_start[of] >= table.us[kind[i], fall]:
            if episodes.falling_to[of] > 0:
                change[i] = DOWNGRADE
                _moved(episodes, of, episodes.falling_to[of], scores, i)
            else:
                change[i] = CLEAR
                episodes.level[of], episodes.falling[of] = 0, 0
        else:
            waits[i] = enough
            if reading and meets == level and scores.excess[i] >= 2 * episodes.mark[of]:
                change[i] = UPDATE
                episodes.mark[of] = max(scores.excess[i], scores.grain[i])
        if change[i] != NOTHING:
            episodes.seq[of] += 1


@compiled
def _raised(episodes: Episodes, of: int, scores: Scores, i: int) -> None:
    """An episode that began when the last one did is the same one, so its numbers go on."""
    same = scores.since[i] == episodes.since[of]
    episodes.seq[of] = episodes.seq[of] + 1 if same else 1
    episodes.since[of] = scores.since[i]
    episodes.worst[of] = scores.meets[i]
    _moved(episodes, of, scores.meets[i], scores, i)


@compiled
def _moved(episodes: Episodes, of: int, level: int, scores: Scores, i: int) -> None:
    episodes.level[of], episodes.slot[of] = level, scores.slot[i]
    episodes.mark[of] = max(scores.excess[i], scores.grain[i])
    episodes.falling[of], episodes.falling_to[of] = 0, 0


@compiled
def _falls(episodes: Episodes, of: int, keeps: int, at: int, paused_us: int) -> None:
    """Counts the reports in a row that do not keep the level."""
    if 0 < keeps <= episodes.level[of]:
        episodes.falling[of] = 0
        return
    if episodes.falling[of] == 0:
        episodes.falling_start[of], episodes.falling_to[of] = at, keeps
    else:
        episodes.falling_start[of] += paused_us
        episodes.falling_to[of] = _severer(episodes.falling_to[of], keeps)
    episodes.falling[of] += 1


@compiled
def _severer(a: int, b: int) -> int:
    """The more severe of two levels, none being the mildest."""
    return max(a, b) if a == 0 or b == 0 else min(a, b)
