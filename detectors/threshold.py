"""Limits: is a value, or what it did over a window, or is to others, beyond one, and for how long.

Each track has a row of slots (detectors/slots.py), each slot an interval that a column must lie in. Slots of
a group must hold together; the level is the most severe group's. What other sensors tell (inputs) is looked
at when the sensor itself reports, and at ticks while only it lacks. `_reading` is what one reading does to
one track: windows and what is learned move, then slots begin, hold or end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detectors import learned, windows
from detectors.binding import bind, bind_among
from detectors.compiled import compiled
from detectors.contract import (
    NO_SLOT,
    ONE_TRACK,
    Batch,
    Block,
    Detector,
    Scores,
    Swept,
    no_scores,
    nothing_swept,
)
from detectors.learned import Learned
from detectors.limits import NO_SPAN, Limits, tabulate
from detectors.newest import gather_one
from detectors.windows import Ring

NEVER = np.iinfo(np.int64).min


class Holds(NamedTuple):
    """[tracks, slots] since when and how often in a row each slot was met; windows; what was learned."""

    start: np.ndarray  # i8, where the hold counts from (moved by blind time); NEVER: not met
    since: np.ndarray  # i8, the first reading that met it
    times: np.ndarray  # i4, readings in a row
    head: np.ndarray  # [tracks, windows], these five as in detectors/windows.py
    amount: np.ndarray  # [tracks, windows, RING]
    filled: np.ndarray
    last: np.ndarray
    newest: np.ndarray
    usual: np.ndarray  # these five as in detectors/learned.py
    size: np.ndarray
    bins: np.ndarray
    course: np.ndarray
    line: np.ndarray
    shown: np.ndarray  # [tracks, learned columns] as of the newest reading


def fresh(table: Limits, kind: np.ndarray) -> Holds:
    n, k, w = len(kind), table.low.shape[1], table.function.shape[1]
    _, baseline, line = table.parts[:3].tolist()
    return Holds(
        np.full((n, k), NEVER),
        np.full((n, k), NEVER),
        np.zeros((n, k), np.int32),
        *windows.fresh(n, w),
        *learned.fresh(n, baseline=bool(baseline), line=bool(line)),
        np.full((n, 2 * baseline + 2 * line), np.nan),
    )


def screen(table: Limits, kind: np.ndarray, value: np.ndarray) -> np.ndarray | None:
    """Readings that may meet something; None if windows or what is learned must see all."""
    if table.function.shape[1] or table.parts[1] or table.parts[2]:
        return None
    calm: np.ndarray = (value > table.calm_low[kind]) & (value < table.calm_high[kind])
    if not table.parts[4]:
        calm &= ~table.always[kind]
    return ~calm


def step(table: Limits, state: Holds, batch: Batch) -> tuple[Holds, Scores]:
    after, scores = Holds(*(array.copy() for array in state)), no_scores(len(batch.kind))
    inputs, _ = _inputs(table, batch)
    _step(table, after, scores, *batch[:6], inputs, _desk(table))
    return after, scores


def sweep(table: Limits, state: Holds, block: Block, room: Room) -> Swept:
    swept = nothing_swept(block)
    _sweep(table, state, room.spare, swept, block, room.desk)
    return swept


def ripen(table: Limits, state: Holds, batch: Batch) -> tuple[Holds, Scores]:
    """What has held long enough by the clock alone; `batch` has the newest values, at the clock's time. What
    others tell, and the hour, are looked at again."""
    after, scores = Holds(*(array.copy() for array in state)), no_scores(len(batch.kind))
    _ripen(table, after, scores, *batch[:6], *_inputs(table, batch), _desk(table))
    return after, scores


def _inputs(table: Limits, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    if batch.inputs is None or batch.inputs_at is None:
        shape = len(batch.kind), int(table.parts[0])
        return np.full(shape, np.nan), np.full(shape, NEVER)
    return batch.inputs, batch.inputs_at


class Desk(NamedTuple):
    """Room to work in, for one track at a time."""

    columns: np.ndarray  # f8, in the order of detectors/limits.py
    x: np.ndarray  # f8 [slots], what each looks at
    met: np.ndarray  # bool [slots]
    kept: np.ndarray
    inputs: np.ndarray  # f8 [sources], a part of `columns`
    inputs_at: np.ndarray  # i8


class Room(NamedTuple):
    spare: Holds
    desk: Desk


def room(table: Limits) -> Room:
    return Room(fresh(table, ONE_TRACK), _desk(table))


def _desk(table: Limits) -> Desk:
    slots, first = table.low.shape[1], 1 + table.function.shape[1]
    sources, baseline, line = table.parts[:3].tolist()
    columns = np.full(first + sources + 2 * baseline + 2 * line + 1, np.nan)
    flags = np.zeros((2, slots), bool)
    inputs = columns[first : first + sources]
    return Desk(columns, np.zeros(slots), flags[0], flags[1], inputs, np.full(sources, NEVER))


class Said(NamedTuple):
    """`Scores` of one reading."""

    meets: int
    keeps: int
    agrees: bool
    since: int
    slot: int
    score: float
    excess: float
    grain: float
    pending: bool
    running: bool


@compiled
def _write(scores: Scores, i: int, said: Said) -> None:
    scores.meets[i], scores.keeps[i], scores.agrees[i] = said.meets, said.keeps, said.agrees
    scores.since[i], scores.slot[i], scores.score[i] = said.since, said.slot, said.score
    scores.excess[i], scores.grain[i] = said.excess, said.grain
    scores.pending[i], scores.running[i] = said.pending, said.running


@compiled
def _step(
    table: Limits, state: Holds, scores: Scores,
    kind: np.ndarray, at: np.ndarray, value: np.ndarray, paused_us: np.ndarray, level: np.ndarray,
    slot: np.ndarray, inputs: np.ndarray, desk: Desk,
) -> None:  # fmt: skip
    for i in range(len(kind)):
        for j in range(len(desk.inputs)):
            desk.inputs[j] = inputs[i, j]
        _reading(table, kind[i], state, i, at[i], value[i], paused_us[i], level[i] == 0, desk)
        _write(scores, i, _judged(table, kind[i], state, i, at[i], int(level[i]), int(slot[i]), desk))


@compiled
def _sweep(table: Limits, state: Holds, spare: Holds, swept: Swept, block: Block, desk: Desk) -> None:
    """A track that speaks is left as it was."""
    for i in range(len(block.track)):
        track, kind, column = block.track[i], block.kind[i], block.columns[i]
        _copy(table, kind, state, track, spare, 0)
        for nth in range(block.readings[column]):
            at = block.at[nth, column]
            if len(desk.inputs):
                place = block.place[nth, column]
                gather_one(block.sources, track, at, block.newest, place, desk.inputs, desk.inputs_at)
            paused_us = block.paused_us[column] if nth == 0 else 0
            swept.pending[i], swept.running[i] = table.waits[kind], False
            if not _reading(table, kind, state, track, at, block.value[nth, column], paused_us, True, desk):
                continue
            said = _judged(table, kind, state, track, at, 0, NO_SLOT, desk)
            if said.meets > 0:
                swept.speaks[i] = True
                _copy(table, kind, spare, 0, state, track)
                break
            swept.agrees[nth, i] = said.agrees
            swept.pending[i], swept.running[i] = said.pending, said.running


@compiled
def _copy(table: Limits, kind: int, state: Holds, track: int, to: Holds, place: int) -> None:
    for j in range(table.slots[kind]):
        to.start[place, j], to.since[place, j] = state.start[track, j], state.since[track, j]
        to.times[place, j] = state.times[track, j]
    for j in range(state.head.shape[1]):
        if table.span_us[kind, j] <= NO_SPAN:
            continue
        to.head[place, j], to.last[place, j] = state.head[track, j], state.last[track, j]
        to.newest[place, j] = state.newest[track, j]
        for bucket in range(windows.RING):
            to.amount[place, j, bucket] = state.amount[track, j, bucket]
            to.filled[place, j, bucket] = state.filled[track, j, bucket]
    for j in range(state.usual.shape[1]):
        to.usual[place, j], to.size[place, j] = state.usual[track, j], state.size[track, j]
        to.bins[place, j] = state.bins[track, j]
    for j in range(state.course.shape[1]):
        to.course[place, j] = state.course[track, j]
    for j in range(state.line.shape[1]):
        to.line[place, j] = state.line[track, j]
    for j in range(state.shown.shape[1]):
        to.shown[place, j] = state.shown[track, j]


@compiled
def _reading(
    table: Limits, kind: int, state: Holds, track: int, at: int, value: float, paused_us: int,
    calm: bool, desk: Desk,
) -> bool:  # fmt: skip
    """What one reading does to one track, in place; whether it meets anything. `desk` has the inputs, and
    then what each slot looks at and whether that meets and keeps it."""
    _move(table, kind, state, track, at, value, calm, desk)
    slots = table.slots[kind]
    own_held = bool(table.always[kind])
    for j in range(slots):
        own_held |= state.start[track, j] != NEVER and not table.told[kind, j]
    any_met = False
    for j in range(slots):
        x = desk.x[j] = _look(desk.columns, table.column[kind, j], table.minus[kind, j], table.per[kind, j])
        inside_out = table.inside_out[kind, j]
        met = _within(x, table.low[kind, j], table.high[kind, j], inside_out)
        desk.met[j] = met
        desk.kept[j] = _within(x, table.keep_low[kind, j], table.keep_high[kind, j], inside_out)
        if not met:
            state.start[track, j], state.since[track, j], state.times[track, j] = NEVER, NEVER, 0
            continue
        any_met = True
        if state.start[track, j] == NEVER or (table.told[kind, j] and not own_held):
            # Nobody looked at what others tell while the sensor itself was calm.
            state.start[track, j], state.since[track, j], state.times[track, j] = at, at, 1
        else:
            state.start[track, j] += paused_us
            state.times[track, j] += 1
    return any_met


@compiled
def _ripen(
    table: Limits, state: Holds, scores: Scores,
    kind: np.ndarray, at: np.ndarray, value: np.ndarray, paused_us: np.ndarray, level: np.ndarray,
    slot: np.ndarray, inputs: np.ndarray, inputs_at: np.ndarray, desk: Desk,
) -> None:  # fmt: skip
    first = 1 + table.function.shape[1]
    for i in range(len(kind)):
        of = kind[i]
        for j in range(len(desk.inputs)):
            desk.inputs[j] = inputs[i, j]
        _lay_out(state, i, at[i], value[i], len(desk.inputs), desk.columns)
        for j in range(table.slots[of]):
            x = desk.x[j] = _look(desk.columns, table.column[of, j], table.minus[of, j], table.per[of, j])
            was = state.start[i, j] != NEVER
            met = was
            if table.told[of, j]:
                met = _within(x, table.low[of, j], table.high[of, j], table.inside_out[of, j])
                if not met:
                    state.start[i, j], state.since[i, j], state.times[i, j] = NEVER, NEVER, 0
                elif not was:
                    state.start[i, j], state.since[i, j], state.times[i, j] = at[i], at[i], 1
                    by = table.column[of, j] - first
                    if 0 <= by < inputs.shape[1] and inputs_at[i, by] != NEVER:
                        state.since[i, j] = inputs_at[i, by]
            desk.met[j] = desk.kept[j] = met
        _write(scores, i, _judged(table, of, state, i, at[i], int(level[i]), int(slot[i]), desk))


@compiled
def _move(
    table: Limits, kind: int, state: Holds, track: int, at: int, value: float, calm: bool, desk: Desk
) -> None:
    """Windows, and what is learned."""
    inputs = desk.inputs
    if state.head.shape[1]:
        ring = Ring(state.head, state.amount, state.filled, state.last, state.newest)
        for j in range(state.head.shape[1]):
            span_us = table.span_us[kind, j]
            if span_us <= NO_SPAN:
                continue
            channel = int(table.channel[kind, j])
            windows.turn(
                int(table.function[kind, j]), span_us, table.need[kind, j], table.count_low[kind, j],
                table.count_high[kind, j], ring, track, j, at, inputs[channel - 1] if channel else value,
            )  # fmt: skip
    own = Learned(state.usual, state.size, state.bins, state.course, state.line)
    column = 0
    if state.usual.shape[1]:
        state.shown[track, 0], state.shown[track, 1] = learned.depart(own, track, at, value, calm)
        column = 2
    if state.line.shape[1]:
        temperature = inputs[max(table.temperature[kind], 0)]
        sigmas, residual = learned.leave_line(own, track, at, value, temperature, calm)
        state.shown[track, column], state.shown[track, column + 1] = sigmas, residual
    _lay_out(state, track, at, value, len(inputs), desk.columns)


@compiled
def _lay_out(state: Holds, track: int, at: int, value: float, inputs: int, columns: np.ndarray) -> None:
    """The columns, but for the inputs, which are there."""
    columns[0] = value
    windows = state.last.shape[1]
    for j in range(windows):
        columns[1 + j] = state.last[track, j]
    first = 1 + windows + inputs
    for j in range(state.shown.shape[1]):
        columns[first + j] = state.shown[track, j]
    columns[-1] = (at + learned.LOCAL_US) % learned.DAY_US / learned.HOUR_US


@compiled
def _look(columns: np.ndarray, column: int, minus: int, per: int) -> float:
    """What a slot looks at."""
    x = columns[column]
    if minus >= 0:
        x -= columns[minus]
    if per >= 0:
        below = columns[per]
        x = x / below if below != 0 else np.nan
    return float(x)


@compiled
def _within(x: float, low: float, high: float, inside_out: bool) -> bool:
    if np.isnan(x):
        return False
    return (low <= x <= high) != inside_out


@compiled
def _judged(
    table: Limits, kind: int, state: Holds, track: int, at: int, level: int, slot: int, desk: Desk
) -> Said:
    met, held, kept, told = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    pending, running = False, False
    for j in range(table.slots[kind]):
        bit = np.uint64(1) << np.uint64(j)
        if table.told[kind, j]:
            told |= bit
        if desk.kept[j]:
            kept |= bit
        if desk.met[j]:
            met |= bit
            running |= not table.told[kind, j]
            if state.times[track, j] >= table.hold_reports[kind, j]:
                if at - state.start[track, j] >= table.hold_us[kind, j]:
                    held |= bit
                else:
                    pending = True
    slots, levels = table.group_slots[kind], table.group_level[kind]
    meets, by = _most_severe(slots, levels, held)
    keeps, by_kept = _most_severe(slots, levels, kept)
    raw, _ = _most_severe(slots, levels, met)
    since = NEVER
    if meets > 0:
        slot = int(table.group_lead[kind, by])
        for j in range(table.slots[kind]):
            if slots[by] >> np.uint64(j) & np.uint64(1):
                since = max(since, state.since[track, j])
    elif keeps > 0:
        slot = int(table.group_lead[kind, by_kept])
    elif slot == NO_SLOT:
        slot = 0
    score = desk.x[slot]
    distance = abs(score - table.centre[kind, slot]) if table.inside_out[kind, slot] else score
    excess = table.side[kind, slot] * (distance - table.edge[kind, slot])
    pending = pending or _listening(slots, table.group_told[kind], met | told)
    grain = table.grain[kind, slot]
    return Said(meets, keeps, raw > 0, since, slot, score, excess, grain, pending, running)


@compiled
def _listening(slots: np.ndarray, told: np.ndarray, bits: np.uint64) -> bool:
    """Whether some group wants only what others tell."""
    level, _ = _most_severe(slots * told, told, bits)
    return level > 0


@compiled
def _most_severe(slots: np.ndarray, level: np.ndarray, bits: np.uint64) -> tuple[int, int]:
    """Level and index of the first group whose slots are all set; groups stand most severe first."""
    for g in range(len(slots)):
        if slots[g] and bits & slots[g] == slots[g]:
            return int(level[g]), g
    return 0, 0


DETECTOR = Detector(
    "threshold",
    bind,
    tabulate,
    fresh,
    step,
    ripen=ripen,
    screen=screen,
    sweep=sweep,
    room=room,
    compares=True,
    bind_among=bind_among,
)
