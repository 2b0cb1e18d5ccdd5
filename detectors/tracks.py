"""The mutable state of one lane: what its detector remembers, and its episodes.

Readings, ticks and silences come in as arrays; changes of episodes go out as plain records, one for each
message to be written. Nothing here knows about alerts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from detectors import episode
from detectors.around import NEVER, NO_SOURCES
from detectors.contract import Arrays, Batch, Block, Scores, Swept
from detectors.newest import Newest, gather
from detectors.program import Lane
from detectors.schedule import open_at


@dataclass(frozen=True, slots=True)
class Change:
    """One message of an episode: what changed and what the numbers were."""

    position: int  # of the record in its run; -1 for a tick
    track: int
    change: episode.Word
    at: int  # event time of the reading, city time of the tick
    level: int  # after; on clear the level it had
    worst: int
    seq: int
    since: int
    slot: int
    score: float
    value: float
    told: Explained | None = None


@dataclass(frozen=True, slots=True)
class Explained:
    """Of a group: the numbers of its newest judgement, and each member's row, value and share of it."""

    figures: tuple[float, ...]
    rows: np.ndarray
    shown: np.ndarray
    share: np.ndarray


@dataclass(frozen=True, slots=True)
class Series:
    """Readings of different sensors: a column a sensor, its oldest first. A column that has fewer than others
    ends with its last place and time, and the value NaN."""

    row: np.ndarray  # [n]
    readings: np.ndarray  # i8 [n]
    place: np.ndarray  # i8 [T, n], position in the run
    at: np.ndarray  # i8 [T, n]
    value: np.ndarray  # f8 [T, n]
    paused_us: np.ndarray  # i8 [n], blind time before the first

    @property
    def there(self) -> np.ndarray:
        return np.arange(len(self.at))[:, None] < self.readings

    def of(self, columns: np.ndarray) -> Series:
        readings = self.readings[columns]
        rows = slice(int(readings.max(initial=0)))
        return Series(
            self.row[columns],
            readings,
            self.place[rows, columns],
            self.at[rows, columns],
            self.value[rows, columns],
            self.paused_us[columns],
        )


class Tracks:
    def __init__(self, lane: Lane) -> None:
        n = len(lane.row)
        self.lane = lane
        self.state: Arrays = _apart(lane.detector.fresh(lane.table, lane.kind))
        self.room = None if lane.detector.room is None else lane.detector.room(lane.table)
        self.episodes = episode.fresh(n)
        self.running = np.zeros(n, bool)  # the detector or an episode has something going
        self.waiting = np.zeros(n, bool)  # a tick may change something
        self.agrees = np.zeros(n, bool)  # the newest reading meets some level

    def agreeing(self, rows: np.ndarray) -> np.ndarray:
        """Whether the newest reading of each row meets some level."""
        track = self.lane.track_of[rows]
        agrees: np.ndarray = (track >= 0) & self.agrees[track]
        return agrees

    def read(self, series: Series, agreed: np.ndarray, newest: Newest) -> list[Change]:
        """Readings of different rows, in order; notes in `agreed` which positions meet a level. `newest`
        knows other sensors as they stood before each position."""
        lane = self.lane
        track = lane.track_of[series.row].astype(np.int64)
        columns = (track >= 0).nonzero()[0]
        if not len(columns):
            return []
        screen, sweep = lane.detector.screen, lane.detector.sweep
        value = series.value if len(columns) == len(track) else series.value[:, columns]
        may = None if screen is None else screen(lane.table, lane.kind[track[columns]], value)
        if may is not None:
            once = may[0] if len(may) == 1 else (may & series.there[:, columns]).any(axis=0)
            columns = columns[once | self.running[track[columns]]]
            if not len(columns):
                return []
        if sweep is not None:
            columns = self._sweep(sweep, series, columns, track[columns], agreed, newest)
            if not len(columns):
                return []
        if len(columns) < len(track):
            series, track = series.of(columns), track[columns]
        changes = []
        for nth, place in enumerate(series.place):
            of = np.flatnonzero(series.readings > nth)
            at, value = series.at[nth, of], series.value[nth, of]
            paused_us = series.paused_us[of] if nth == 0 else np.zeros(len(of), np.int64)
            changes += self._read(place[of], track[of], at, value, paused_us, agreed, newest)
        return changes

    def _sweep(
        self,
        sweep: Callable[[Arrays, Arrays, Block, Arrays], Swept],
        series: Series,
        columns: np.ndarray,
        track: np.ndarray,
        agreed: np.ndarray,
        newest: Newest,
    ) -> np.ndarray:
        """Takes what is calm at once; the columns that are not."""
        calm = self.episodes.level[track] == 0
        left = columns[:0]
        if not calm.all():
            left, columns, track = columns[~calm], columns[calm], track[calm]
        if not len(columns):
            return left
        block = Block(
            track, self.lane.kind[track], columns,
            series.readings, series.place, series.at, series.value, series.paused_us,
            newest, NO_SOURCES if self.lane.sources is None else self.lane.sources,
        )  # fmt: skip
        swept = sweep(self.lane.table, self.state, block, self.room)
        speaks = swept.speaks.any()
        done = (~swept.speaks).nonzero()[0] if speaks else slice(None)
        self.running[track[done]], self.waiting[track[done]] = swept.running[done], swept.pending[done]
        if self.lane.detector.compares:
            last = series.readings[columns] - 1, np.arange(len(columns))
            self.agrees[track[done]] = swept.agrees[last][done]
            for nth, i in np.argwhere(swept.agrees).tolist() if swept.agrees.any() else ():
                agreed[series.place[nth, columns[i]]] |= not swept.speaks[i]
        return np.sort(np.concatenate((left, columns[swept.speaks]))) if speaks else left

    def _read(
        self,
        position: np.ndarray,
        track: np.ndarray,
        at: np.ndarray,
        value: np.ndarray,
        paused_us: np.ndarray,
        agreed: np.ndarray,
        newest: Newest,
    ) -> list[Change]:
        """One reading each of different tracks."""
        lane = self.lane
        if lane.detector.screen is not None:
            may = lane.detector.screen(lane.table, lane.kind[track], value)
            if may is not None and not (busy := may | self.running[track]).all():
                chosen = np.flatnonzero(busy)
                if not len(chosen):
                    return []
                position, track, at, value = position[chosen], track[chosen], at[chosen], value[chosen]
                paused_us = paused_us[chosen]
        level, slot = self.episodes.level[track], self.episodes.slot[track]
        batch = Batch(lane.kind[track], at, value, paused_us, level, slot)
        if lane.sources is not None:
            inputs, when = gather(lane.sources, track, at, newest, position)
            batch = batch._replace(inputs=inputs, inputs_at=when)
        taken = _take(self.state, track)
        state, scores = lane.detector.step(lane.table, taken, batch)
        _put(self.state, track, state, taken)
        self.agrees[track] = scores.agrees
        agreed[position] = scores.agrees
        return self._decide(position, track, at, value, paused_us, level, scores, reading=True)

    def ripe(
        self, track: np.ndarray, clock: np.ndarray, value: np.ndarray, city_us: int, newest: Newest
    ) -> list[Change]:
        """Time has passed for these tracks; `clock` is what their sensors' clocks show."""
        lane = self.lane
        if lane.detector.ripen is None:
            return []
        zero = np.zeros(len(track), np.int64)
        level, slot = self.episodes.level[track], self.episodes.slot[track]
        batch = Batch(lane.kind[track], clock, value, zero, level, slot)
        position = np.full(len(track), -1)
        if lane.sources is not None:
            inputs, when = gather(lane.sources, track, clock, newest, position)
            batch = batch._replace(inputs=inputs, inputs_at=when)
        state, scores = lane.detector.ripen(lane.table, _take(self.state, track), batch)
        _put(self.state, track, state)
        return self._decide(
            position, track, clock, value, zero, level, scores, reading=False, shown_at=city_us
        )

    def judge(self, track: np.ndarray, since: np.ndarray, value: np.ndarray, city_us: int) -> list[Change]:
        """Of a tick, for detectors that look at gaps or gateways: `value` now, `since` the last reading."""
        lane = self.lane
        zero = np.zeros(len(track), np.int64)
        level, slot = self.episodes.level[track], self.episodes.slot[track]
        batch = Batch(lane.kind[track], since, value, zero, level, slot)
        _, scores = lane.detector.step(lane.table, _take(self.state, track), batch)
        at = np.full(len(track), city_us)
        position = np.full(len(track), -1)
        return self._decide(position, track, at, value, zero, level, scores, reading=True)

    def together(
        self, track: np.ndarray, turn: np.ndarray, clock: np.ndarray, newest: Newest, city_us: int
    ) -> list[Change]:
        """Of a tick, for groups: `clock` is what their first members' clocks show; the times of `newest`
        are as seen from there, 0 now."""
        lane = self.lane
        assert lane.sources is not None
        zero = np.zeros(len(track), np.int64)
        inputs, age = gather(lane.sources, track, zero, newest, zero)
        when = np.where(age == NEVER, NEVER, age + clock[:, None])
        level, slot = self.episodes.level[track], self.episodes.slot[track]
        batch = Batch(lane.kind[track], clock, inputs[:, 0], zero, level, slot, inputs, when)
        state, scores = lane.detector.step(lane.table, _take(self.state, track), batch)
        _put(self.state, track, state)
        self.state.turn[track] = turn
        position = np.full(len(track), -1)
        changes = self._decide(
            position, track, clock, batch.value, zero, level, scores, reading=True, shown_at=city_us
        )
        return [replace(change, told=self._explained(change.track)) for change in changes]

    def _explained(self, track: int) -> Explained:
        sources = self.lane.sources
        assert sources is not None
        rows = sources.told_by(track)
        width = len(rows)
        return Explained(
            tuple(self.state.figures[track].tolist()),
            rows,
            self.state.shown[track, :width].copy(),
            self.state.share[track, :width].copy(),
        )

    def _decide(
        self,
        position: np.ndarray,
        track: np.ndarray,
        at: np.ndarray,
        value: np.ndarray,
        paused_us: np.ndarray,
        level: np.ndarray,
        scores: Scores,
        *,
        reading: bool,
        shown_at: int | None = None,
    ) -> list[Change]:
        if self.lane.schedule is not None:
            mask, which = self.lane.schedule
            looks = open_at(mask, which[track], at)
            scores = scores._replace(
                meets=np.where(looks, scores.meets, 0).astype(np.uint8),
                keeps=np.where(looks, scores.keeps, 0).astype(np.uint8),
            )
        self.running[track] = scores.running
        self.waiting[track] = scores.pending
        of = np.flatnonzero((level > 0) | (scores.meets > 0))
        if not len(of):
            return []
        track, before = track[of], level[of]
        episodes = self.episodes
        change, waits = episode.step(
            self.lane.falls,
            self.lane.kind[track],
            episodes,
            track,
            Scores(*(a[of] for a in scores)),
            at[of],
            paused_us[of],
            reading=reading,
        )
        self.running[track] |= episodes.level[track] > 0
        self.waiting[track] |= waits
        return [
            Change(
                position=int(position[of[i]]),
                track=int(track[i]),
                change=episode.CHANGES[change[i]],
                at=int(at[of[i]]) if shown_at is None else shown_at,
                level=int(episodes.level[track[i]] or before[i]),
                worst=int(episodes.worst[track[i]]),
                seq=int(episodes.seq[track[i]]),
                since=int(episodes.since[track[i]]),
                slot=int(scores.slot[of[i]]),
                score=float(scores.score[of[i]]),
                value=float(value[of[i]]),
            )
            for i in np.flatnonzero(change)
        ]


def _apart(fresh: Arrays) -> Arrays:
    """A detector may begin with one array of zeros in several places; each is written by itself here."""
    seen: set[int] = set()
    found = []
    for array in fresh:
        memory = id(array if array.base is None else array.base)
        found.append(array.copy() if memory in seen else array)
        seen.add(memory)
    return type(fresh)(*found)


def _take(arrays: Arrays, at: np.ndarray) -> Arrays:
    return type(arrays)(*(array[at] for array in arrays))


def _put(arrays: Arrays, at: np.ndarray, new: Arrays, taken: Arrays | None = None) -> None:
    """What is still the array that was `taken` from there has not changed."""
    for i, (array, fresh) in enumerate(zip(arrays, new, strict=True)):
        if taken is None or fresh is not taken[i]:
            array[at] = fresh
