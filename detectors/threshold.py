"""Limits: is a value, or what it did over a window, or is to others, beyond one, and for how long.

All categories run in one pass: each track has a row of slots (detectors/slots.py), each slot an interval
that a column must lie in. Slots of a group must hold together; the level is the most severe group's. What
other sensors tell (inputs) is looked at when the sensor itself reports, and at ticks while only it lacks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detectors import learned, windows
from detectors.binding import bind, bind_among
from detectors.contract import NO_SLOT, Batch, Block, Detector, Scores, Swept, no_scores
from detectors.learned import Learned
from detectors.limits import NO_SPAN, Limits, tabulate
from detectors.windows import RING, Ring, Spec

NEVER = np.iinfo(np.int64).min


class Holds(NamedTuple):
    """[tracks, slots] since when and how often in a row each slot was met; windows; what was learned."""

    start: np.ndarray  # i8, where the hold counts from (moved by blind time); NEVER: not met
    since: np.ndarray  # i8, the first reading that met it
    times: np.ndarray  # i4, readings in a row
    head: np.ndarray  # [tracks, windows]
    amount: np.ndarray  # [tracks, windows, RING]
    filled: np.ndarray
    last: np.ndarray
    newest: np.ndarray  # [tracks, windows] the newest value that each saw
    usual: np.ndarray  # detectors/learned.py
    size: np.ndarray
    bins: np.ndarray
    course: np.ndarray
    line: np.ndarray
    shown: np.ndarray  # [tracks, learned columns] as of the newest reading


def fresh(table: Limits, kind: np.ndarray) -> Holds:
    n, k, w = len(kind), table.low.shape[1], table.function.shape[1]
    _, baseline, line = table.parts[:3].tolist()
    ring = windows.fresh(n * w)
    own = learned.fresh(n, baseline=bool(baseline), line=bool(line))
    return Holds(
        np.full((n, k), NEVER),
        np.full((n, k), NEVER),
        np.zeros((n, k), np.int32),
        ring.head.reshape(n, w),
        ring.amount.reshape(n, w, RING),
        ring.filled.reshape(n, w, RING),
        ring.last.reshape(n, w),
        ring.value.reshape(n, w),
        *own,
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
    """Windows and what is learned move with every reading; most meet nothing and end nothing, and the rest is
    not worked out for these."""
    kind, at, inputs = batch.kind, batch.at, _inputs(table, batch)
    if table.function.shape[1]:
        state, _ = _turn(table, state, kind, at[None], batch.value[None], inputs[None])
    if table.parts[1] or table.parts[2]:
        state = _learn(table, state, kind, at, batch.value, inputs, batch.level == 0)
    x = _looked_at(table, batch, state, inputs)
    met, was = _met(table, kind, x), state.start != NEVER
    busy = (met | was).any(axis=1) | (batch.level > 0)
    of = np.flatnonzero(busy)
    if len(of) == len(kind):
        holds, scores = _held(table, (state.start, state.since, state.times), batch, x, met, was)
        return state._replace(start=holds[0], since=holds[1], times=holds[2]), scores
    calm = _calm(table, kind)
    if not len(of):
        return state, calm
    some = Batch(*(array[of] for array in batch[:6]))
    standing = state.start[of], state.since[of], state.times[of]
    holds, scores = _held(table, standing, some, x[of], met[of], was[of])
    start, since, times = state.start.copy(), state.since.copy(), state.times.copy()
    start[of], since[of], times[of] = holds
    for array, found in zip(calm, scores, strict=True):
        array[of] = found
    return state._replace(start=start, since=since, times=times), calm


@np.errstate(invalid="ignore")
def _held(
    table: Limits,
    standing: tuple[np.ndarray, np.ndarray, np.ndarray],
    batch: Batch,
    x: np.ndarray,
    met: np.ndarray,
    was: np.ndarray,
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], Scores]:
    """Since when and how often in a row each slot is met now, and what that says."""
    kind, now = batch.kind, batch.at[:, None]
    kept = (x >= table.keep_low[kind]) & (x <= table.keep_high[kind])
    if table.parts[8]:
        kept = (kept ^ table.inside_out[kind]) & ~np.isnan(x)
    if table.parts[5]:
        # Nobody looked at what others tell while the sensor itself was calm.
        told = table.told[kind]
        was = was & (~told | (was & ~told).any(axis=1)[:, None] | table.always[kind][:, None])
    start = np.where(met, np.where(was, standing[0] + batch.paused_us[:, None], now), NEVER)
    since = np.where(met, np.where(was, standing[1], now), NEVER)
    count = np.where(met, np.where(was, standing[2], 0) + 1, 0).astype(np.int32)
    return (start, since, count), _judged(table, batch, x, met, kept, start, since, count)


def _calm(table: Limits, kind: np.ndarray) -> Scores:
    """Of tracks that meet nothing."""
    return no_scores(len(kind))._replace(pending=table.waits[kind])


def _inputs(table: Limits, batch: Batch) -> np.ndarray:
    width = int(table.parts[0])
    if batch.inputs is None or not width:
        return np.full((len(batch.kind), width), np.nan)
    return batch.inputs


def sweep(table: Limits, state: Holds, block: Block) -> tuple[Holds, Swept]:
    """Readings of calm tracks, as long as nothing is met: windows and what is learned move, holds do not."""
    kind, (times, n) = block.kind, block.at.shape
    inputs = np.full((times, n, int(table.parts[0])), np.nan) if block.inputs is None else block.inputs
    speaks = (state.start != NEVER).any(axis=1)
    newest = block.readings - 1, np.arange(n)
    value, last, shown = block.value, state.last[None], state.shown[None]
    if table.function.shape[1]:
        heard = inputs
        if times > 1 and inputs.shape[2]:
            heard = np.where(np.isnan(value)[:, :, None], np.nan, inputs)
        state, last = _turn(table, state, kind, block.at, value, heard)
        state = state._replace(last=last[newest])
    if table.parts[1] or table.parts[2]:
        state, shown = _learn_all(table, state, block, inputs)
        state = state._replace(shown=shown[newest])
    if times == 1:
        x = _columns(table, kind, block.at[0], value[0], last[0], inputs[0], shown[0])
        speaks |= _met(table, kind, x).any(axis=1)
    else:
        flat = np.tile(kind, times)
        by_reading = (times, n, -1) if n else (times, 0, 1)
        last, shown = (
            np.broadcast_to(a, (times, n, a.shape[2])).reshape(times * n, -1) for a in (last, shown)
        )
        x = _columns(table, flat, block.at.ravel(), value.ravel(), last, inputs.reshape(times * n, -1), shown)
        speaks |= _met(table, flat, x).reshape(by_reading).any(axis=(0, 2))
    return state, Swept(speaks, table.waits[kind], np.zeros(n, bool))


@np.errstate(invalid="ignore")
def _met(table: Limits, kind: np.ndarray, x: np.ndarray) -> np.ndarray:
    met: np.ndarray = (x >= table.low[kind]) & (x <= table.high[kind])
    if table.parts[8]:
        met ^= table.inside_out[kind]
        met &= ~np.isnan(x)
    return met


def _turn(
    table: Limits, state: Holds, kind: np.ndarray, at: np.ndarray, value: np.ndarray, inputs: np.ndarray
) -> tuple[Holds, np.ndarray]:
    """The windows with these readings [T, n] in them, and what they showed after each [T, n, windows]."""
    (times, n), w = at.shape, table.function.shape[1]
    ring = Ring(
        state.head.ravel(),
        state.amount.reshape(-1, RING),
        state.filled.reshape(-1, RING),
        state.last.ravel(),
        state.newest.ravel(),
    )
    spec = Spec(
        table.function[kind].ravel(),
        table.span_us[kind].ravel(),
        table.need[kind].ravel(),
        table.count_low[kind].ravel(),
        table.count_high[kind].ravel(),
    )
    seen = np.repeat(value, w, axis=1)
    if inputs.shape[2]:
        channel = np.broadcast_to(table.channel[kind].astype(np.int64), (times, n, w))
        of_others = np.take_along_axis(inputs, np.maximum(channel - 1, 0), axis=2)
        seen = np.where(channel == 0, value[:, :, None], of_others).reshape(times, n * w)
    when = np.repeat(at, w, axis=1)
    used = np.flatnonzero(spec.span_us > NO_SPAN)
    if len(used) == n * w:
        ring, shown = windows.turn(spec, ring, when, seen)
    else:
        part, of_used = windows.turn(
            Spec(*(array[used] for array in spec)),
            Ring(*(array[used] for array in ring)),
            when[:, used],
            seen[:, used],
        )
        shown = np.repeat(ring.last[None], times, axis=0)
        shown[:, used] = of_used
        ring = Ring(*(array.copy() for array in ring))
        for array, new in zip(ring, part, strict=True):
            array[used] = new
    turned = state._replace(
        head=ring.head.reshape(n, w),
        amount=ring.amount.reshape(n, w, RING),
        filled=ring.filled.reshape(n, w, RING),
        last=ring.last.reshape(n, w),
        newest=ring.value.reshape(n, w),
    )
    return turned, shown.reshape(times, n, w)


def _learn_all(table: Limits, state: Holds, block: Block, inputs: np.ndarray) -> tuple[Holds, np.ndarray]:
    """Readings in turn, and what was shown after each [T, n, learned columns]."""
    n = len(block.kind)
    shown = np.full((*block.at.shape, state.shown.shape[1]), np.nan)
    for nth, (at, value, told) in enumerate(zip(block.at, block.value, inputs, strict=True)):
        of = np.flatnonzero(block.readings > nth)
        calm = np.ones(len(of), bool)
        if len(of) == n:
            state = _learn(table, state, block.kind, at, value, told, calm)
            shown[nth] = state.shown
            continue
        part = Holds(*(array[of] for array in state))
        part = _learn(table, part, block.kind[of], at[of], value[of], told[of], calm)
        shown[nth, of] = part.shown
        state = Holds(*(array.copy() for array in state))
        for array, new in zip(state, part, strict=True):
            array[of] = new
    return state, shown


def _learn(
    table: Limits,
    state: Holds,
    kind: np.ndarray,
    at: np.ndarray,
    value: np.ndarray,
    inputs: np.ndarray,
    calm: np.ndarray,
) -> Holds:
    own = Learned(state.usual, state.size, state.bins, state.course, state.line)
    shown = []
    if table.parts[1]:
        own, departs, falls = learned.against_baseline(own, at, value, calm)
        shown += [departs, falls]
    if table.parts[2]:
        which = np.maximum(table.temperature[kind], 0)
        temperature = np.take_along_axis(inputs, which[:, None], axis=1)[:, 0]
        own, sigmas, residual = learned.against_line(own, at, value, temperature, calm)
        shown += [sigmas, residual]
    return state._replace(
        usual=own.usual,
        size=own.size,
        bins=own.times,
        course=own.course,
        line=own.line,
        shown=np.stack(shown, axis=1),
    )


def ripen(table: Limits, state: Holds, batch: Batch) -> Scores:
    """What has held long enough by the clock alone; `batch` has the newest values, at the clock's time."""
    x = _looked_at(table, batch, state, _inputs(table, batch))
    met = state.start != NEVER
    return _scores(table, batch, x, met, met, state.start, state.since, state.times)


def reconsider(table: Limits, state: Holds, batch: Batch) -> tuple[Holds, Scores]:
    """The same after what others tell, or the hour, was looked at again."""
    kind, inputs = batch.kind, _inputs(table, batch)
    x = _looked_at(table, batch, state, inputs)
    told, was = table.told[kind], state.start != NEVER
    with np.errstate(invalid="ignore"):
        met = ((x >= table.low[kind]) & (x <= table.high[kind])) & ~np.isnan(x)
    met = np.where(told, met, was)
    now = np.broadcast_to(batch.at[:, None], met.shape)
    if batch.inputs_at is not None and inputs.shape[1]:
        first = 1 + table.function.shape[1]
        column = np.clip(table.column[kind].astype(np.int64) - first, 0, inputs.shape[1] - 1)
        heard = np.take_along_axis(batch.inputs_at, column, axis=1)
        by_input = (table.column[kind] >= first) & (table.column[kind] < first + inputs.shape[1])
        seen = np.where(by_input & (heard != NEVER), heard, now)
    else:
        seen = now
    fresh_now = met & ~was
    start = np.where(fresh_now, now, np.where(met, state.start, NEVER))
    since = np.where(fresh_now, seen, np.where(met, state.since, NEVER))
    times = np.where(fresh_now, 1, np.where(met, state.times, 0)).astype(np.int32)
    holds = state._replace(start=start, since=since, times=times)
    return holds, _scores(table, batch, x, met, met, start, since, times)


def _looked_at(table: Limits, batch: Batch, state: Holds, inputs: np.ndarray) -> np.ndarray:
    return _columns(table, batch.kind, batch.at, batch.value, state.last, inputs, state.shown)


def _columns(
    table: Limits,
    kind: np.ndarray,
    at: np.ndarray,
    value: np.ndarray,
    last: np.ndarray,
    inputs: np.ndarray,
    shown: np.ndarray,
) -> np.ndarray:
    """What each slot looks at [n, slots]."""
    column = table.column[kind]
    if table.parts[4]:
        return np.broadcast_to(value[:, None], column.shape)
    parts = [value[:, None], last, inputs, shown]
    if table.parts[3]:
        local = (at + learned.LOCAL_US) % learned.DAY_US
        parts.append((local / learned.HOUR_US)[:, None])
    columns = np.concatenate(parts, axis=1)
    flat, first = columns.ravel(), (np.arange(len(kind)) * columns.shape[1])[:, None]
    x: np.ndarray = flat[first + column]
    if table.parts[6]:
        minus = table.minus[kind]
        x = np.where(minus >= 0, x - flat[first + np.maximum(minus, 0)], x)
    if table.parts[7]:
        per = table.per[kind]
        below = flat[first + np.maximum(per, 0)]
        with np.errstate(all="ignore"):
            x = np.where(per >= 0, x / np.where(below == 0, np.nan, below), x)
    return x


def _scores(
    table: Limits,
    batch: Batch,
    x: np.ndarray,
    met: np.ndarray,
    kept: np.ndarray,
    start: np.ndarray,
    since: np.ndarray,
    count: np.ndarray,
) -> Scores:
    """Most tracks meet and keep nothing: they cost no more than that."""
    n = len(batch.kind)
    of = np.flatnonzero(kept.any(axis=1) | met.any(axis=1) | (batch.level > 0))
    if 2 * len(of) > n:
        return _judged(table, batch, x, met, kept, start, since, count)
    scores = _calm(table, batch.kind)
    if len(of):
        some = Batch(*(array[of] for array in batch[:6]))
        part = _judged(table, some, x[of], met[of], kept[of], start[of], since[of], count[of])
        for array, found in zip(scores, part, strict=True):
            array[of] = found
    return scores


def _judged(
    table: Limits,
    batch: Batch,
    x: np.ndarray,
    met: np.ndarray,
    kept: np.ndarray,
    start: np.ndarray,
    since: np.ndarray,
    count: np.ndarray,
) -> Scores:
    kind, n = batch.kind, len(batch.kind)
    rows = np.arange(n)
    due = met & (count >= table.hold_reports[kind])
    held = due & (batch.at[:, None] - start >= table.hold_us[kind])
    group_slots, group_level = table.group_slots[kind], table.group_level[kind]
    meets, by = _most_severe(held, group_slots, group_level)
    keeps, by_kept = _most_severe(kept, group_slots, group_level)
    raw, _ = _most_severe(met, group_slots, group_level)
    lead = table.group_lead[kind]
    known = np.where(batch.slot == NO_SLOT, 0, batch.slot)
    slot = np.where(meets > 0, lead[rows, by], np.where(keeps > 0, lead[rows, by_kept], known))
    member = (group_slots[rows, by][:, None] >> np.arange(x.shape[1], dtype=np.uint64)) & np.uint64(1)
    score, side = x[rows, slot], table.side[kind, slot]
    distance = np.where(table.inside_out[kind, slot], np.abs(score - table.centre[kind, slot]), score)
    return Scores(
        meets=meets,
        keeps=keeps,
        agrees=raw > 0,
        since=np.where(member > 0, since, NEVER).max(axis=1),
        slot=slot.astype(np.uint8),
        score=score,
        excess=side * (distance - table.edge[kind, slot]),
        grain=table.grain[kind, slot],
        pending=(due & ~held).any(axis=1) | _listening(table, kind, met),
        running=np.asarray((met & ~table.told[kind] if table.parts[5] else met).any(axis=1)),
    )


def _listening(table: Limits, kind: np.ndarray, met: np.ndarray) -> np.ndarray:
    """Tracks of which some group wants only what others tell."""
    if not table.parts[5]:
        return np.zeros(len(kind), bool)
    level, _ = _most_severe(
        met | table.told[kind],
        np.where(table.group_told[kind], table.group_slots[kind], np.uint64(0)),
        table.group_level[kind],
    )
    return level > 0


def _most_severe(flags: np.ndarray, slots: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level and index of each row's first group whose slots are all set; groups stand most severe first."""
    weights = np.uint64(1) << np.arange(flags.shape[1], dtype=np.uint64)
    bits = np.where(flags, weights, np.uint64(0)).sum(axis=1, dtype=np.uint64)[:, None]
    full = ((bits & slots) == slots) & (slots != 0)
    first = full.argmax(axis=1)
    rows = np.arange(len(flags))
    return np.where(full[rows, first], level[rows, first], np.uint8(0)), first


DETECTOR = Detector(
    "threshold",
    bind,
    tabulate,
    fresh,
    step,
    ripen=ripen,
    screen=screen,
    sweep=sweep,
    compares=True,
    bind_among=bind_among,
    reconsider=reconsider,
)
