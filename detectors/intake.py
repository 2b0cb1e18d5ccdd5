"""From frames to the readings that detectors see, and what is known of each gateway.

Duplicated frames are dropped by the shared rule (schemas/sequence.py); historical lanes, texts, distrusted
qualities, values that are no number or that the quantity cannot have (detectors/checked.py) and clocks that
run ahead are passed on as "heard" but not scored. A
gateway's working time advances with the event times of its frames, at most one reporting interval a step, so
that it measures reporting and not the calendar. Blind time is what holds must not count: from the last frame
heard to the first one after, and stretches in which nobody wrote ticks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.checked import Checks
from detectors.clocks import Clocks
from detectors.program import Program
from schemas.control import Gap, Marks, Ownership, Tick
from schemas.frame import Frame, SegmentFlag
from schemas.reading import EARLIEST_US, FUTURE_SUSPECT_US, SCORED, Flag
from schemas.sequence import Mark, Seen, observe, skip_to

NEVER = np.iinfo(np.int64).min
OWN_OUTAGE_US = 5 * 60 * 1_000_000
"""City time between two ticks beyond which it was we who did not look."""
EPOCHS_KEPT = 8
_SCORED = np.isin(np.arange(256), [int(quality) for quality in SCORED])


@dataclass(frozen=True, eq=False)
class Run:
    """The records of several frames in log order, and of each the segment it came in."""

    row: np.ndarray  # -1: no sensor of this program
    at: np.ndarray
    value: np.ndarray
    segment: np.ndarray
    live: np.ndarray  # bool: counts as heard
    in_time: np.ndarray  # bool: its clock does not run ahead
    scored: np.ndarray  # bool
    strange: np.ndarray  # i8, positions of values that the quantity cannot have, scored or withheld
    received: np.ndarray  # i8 by record
    work: np.ndarray  # i8 by record: the gateway's working time after this segment
    segments: np.ndarray  # schemas.frame.SEGMENT
    gateways: tuple[str, ...]  # by segment

    def correlation(self, position: int) -> str:
        segment = int(self.segment[position])
        row = self.segments[segment]
        return f"{self.gateways[segment]}/{int(row['epoch'])}/{int(row['sequence'])}"

    def published_us(self, position: int) -> int:
        row = self.segments[int(self.segment[position])]
        return int(row["published_wall"]) or int(row["received_wall"])


class Intake:
    """What must be remembered of gateways and ingests; arrays are by gateway of the program."""

    def __init__(self, program: Program, checks: Checks) -> None:
        n = len(program.gateways)
        self.program, self.checks = program, checks
        self.index = {gateway.gateway: i for i, gateway in enumerate(program.gateways)}
        self.step_us = [max(1, round(gateway.interval_s * 1e6)) for gateway in program.gateways]
        self.marks: dict[str, dict[int, Mark]] = {}
        self.generations: dict[str, int] = {}
        self.owners: dict[str, tuple[int, tuple[str, ...]]] = {}
        self.city_us = NEVER  # of the newest tick that counted
        self.wall_us = NEVER
        self.work = np.zeros(n, np.int64)
        self.newest = np.full(n, NEVER)  # event time
        self.received = np.full(n, NEVER)  # when last heard
        self.blind = np.zeros(n, bool)
        self.blind_since = np.full(n, NEVER)
        self.blind_total = np.zeros(n, np.int64)
        self.blind_seen = np.full(n, NEVER)  # blind time is counted up to here
        self.city = np.full(n, NEVER)  # newest tick in whose scope the gateway was
        self.clocks = Clocks(n)
        # The same arrays, by the names that a snapshot keeps them under.
        self.clock_since, self.clock_last = self.clocks.since, self.clocks.last
        self.clock_off, self.clock_lag = self.clocks.off, self.clocks.lag
        self.scopes: dict[str, np.ndarray] = {}

    def take(self, frames: Sequence[Frame]) -> Run:
        one = frames[0] if len(frames) == 1 else None
        segments = one.segments if one else np.concatenate([frame.segments for frame in frames])
        records = one.records if one else np.concatenate([frame.records for frame in frames])
        gateways = tuple(frame.gateway_of(i) for frame in frames for i in range(len(frame.segments)))
        counts = segments["count"].astype(np.int64)
        segment = np.repeat(np.arange(len(segments)), counts)
        received = segments["received_at"][segment]
        at, value = np.array(records["time"]), np.array(records["value"])
        in_time = (at <= received + FUTURE_SUSPECT_US) & (at >= EARLIEST_US)
        newest, ahead = np.full(len(segments), NEVER), np.zeros(len(segments), np.int64)
        filled = np.flatnonzero(counts)
        if len(filled):
            firsts = (np.cumsum(counts) - counts)[filled]
            newest[filled] = np.maximum.reduceat(np.where(in_time, at, NEVER), firsts)
            if not in_time.all():
                off = np.maximum.reduceat(at, firsts) - segments["received_at"][filled]
                ahead[filled] = np.where(off > FUTURE_SUSPECT_US, off, 0)
        live, work = self._hear(segments, gateways, newest.tolist(), ahead.tolist())
        row = self.program.rows_of(records["sensor"])
        heard = live[segment] & (row >= 0)
        scored = heard & in_time & _SCORED[records["quality"]] & np.isfinite(value)
        scored &= (records["flags"] & int(Flag.text)) == 0
        value, scored, strange = self.checks.sift(row, value, records["quality"], scored)
        return Run(
            row,
            at,
            value,
            segment,
            heard,
            in_time,
            scored,
            strange,
            received,
            work[segment],
            segments,
            gateways,
        )

    def _hear(
        self, segments: np.ndarray, gateways: tuple[str, ...], newest: list[int], ahead: list[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """By segment, whether its readings count, and its gateway's working time after it."""
        live = np.zeros(len(segments), bool)
        works = np.zeros(len(segments), np.int64)
        epochs, sequences = segments["epoch"].tolist(), segments["sequence"].tolist()
        flags, received = segments["flags"].tolist(), segments["received_at"].tolist()
        for i, name in enumerate(gateways):
            sequenced = bool(flags[i] & SegmentFlag.sequenced)
            fresh = not sequenced or self._is_new(name, epochs[i], sequences[i])
            g = self.index.get(name)
            if g is None:
                continue
            if received[i] > self.received[g]:
                self.received[g] = received[i]
            if fresh and not flags[i] & SegmentFlag.backfill:
                live[i] = True
                if newest[i] != NEVER or ahead[i]:
                    self.clocks.heard(g, received[i], newest[i], ahead[i], int(self.newest[g]))
                if sequenced and newest[i] > self.newest[g]:
                    if self.newest[g] != NEVER:
                        self.work[g] += min(newest[i] - int(self.newest[g]), self.step_us[g])
                    self.newest[g] = newest[i]
            works[i] = self.work[g]
        return live, works

    def _is_new(self, gateway: str, epoch: int, sequence: int) -> bool:
        marks = self.marks.setdefault(gateway, {})
        marks[epoch], seen = observe(marks.get(epoch), sequence)
        while len(marks) > EPOCHS_KEPT:
            del marks[next(iter(marks))]
        return seen is not Seen.duplicate

    def gap(self, gap: Gap) -> None:
        mark = self.marks.get(gap.gateway, {}).get(gap.epoch)
        if mark is not None:
            self.marks[gap.gateway][gap.epoch] = skip_to(mark, gap.last)

    def generation(self, record: Tick | Ownership | Marks) -> bool:
        """Whether this ingest may speak in this generation."""
        known = self.generations.get(record.ingest, record.generation)
        self.generations[record.ingest] = max(known, record.generation)
        return record.generation >= known

    def own(self, record: Ownership) -> None:
        self.owners.pop(record.ingest, None)
        self.owners[record.ingest] = record.generation, record.gateways
        self.scopes.clear()

    def scope(self, ingest: str) -> np.ndarray:
        """The gateways that this ingest speaks for: it owns them, or nobody does."""
        if ingest not in self.scopes:
            owner: dict[int, tuple[int, str]] = {}
            for name, (generation, owned) in self.owners.items():
                for g in range(len(self.index)) if "*" in owned else (self.index.get(o) for o in owned):
                    if g is not None and owner.get(g, (generation, ""))[0] <= generation:
                        owner[g] = generation, name
            mine = [owner.get(g, (0, ingest))[1] == ingest for g in range(len(self.index))]
            self.scopes[ingest] = np.array(mine, bool)
        return self.scopes[ingest]

    def tick(self, tick: Tick) -> np.ndarray:
        """Time passes for the gateways in the tick's scope; which they are."""
        scope = self.scope(tick.ingest)
        at = tick.city_us
        set_back = scope & (self.city != NEVER) & (self.city - at > OWN_OUTAGE_US)
        if set_back.any():
            self._forget_the_future(set_back, at)
        before = self.city
        outage = scope & (before != NEVER) & (at - before > OWN_OUTAGE_US)
        listed = np.zeros(len(scope), bool)
        listed[[self.index[name] for name in tick.silent if name in self.index]] = True
        starts = scope & listed & ~self.blind & (self.received != NEVER)
        self.blind_since[starts] = self.received[starts]
        self.blind_seen[starts] = self.received[starts]
        ends = scope & ~listed & self.blind & (self.received > self.blind_since)
        until = np.where(ends, np.minimum(self.received, at), at)
        lost = np.where(scope & (self.blind | starts), np.maximum(until - self.blind_seen, 0), 0)
        self.blind_total += np.where(outage & ~self.blind & ~starts, at - before, lost)
        self.blind_seen = np.where(
            scope & (self.blind | starts), np.maximum(at, self.blind_seen), self.blind_seen
        )
        self.blind = (self.blind | starts) & ~ends
        self.city = np.where(scope, np.maximum(before, at), before)
        if at > self.city_us:
            self.city_us, self.wall_us = at, tick.wall_us
        return scope

    def _forget_the_future(self, scope: np.ndarray, at: int) -> None:
        """The clock of their ingest ran ahead and was set back: what it dated later was at the latest now.
        Else every hold would mature at once, and a blind area could not end, until it is that late again."""
        ours = self.city, self.received, self.blind_since, self.blind_seen, self.clock_since, self.clock_last
        for moments in ours:
            moments[scope] = np.minimum(moments[scope], at)
        self.city_us = min(self.city_us, at)
