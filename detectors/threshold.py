"""Limits: is a value, or what it did over a window, or is to others, beyond one, and for how long.

All categories run in one pass: each track has a row of slots (detectors/slots.py), each slot an interval
that a column must lie in. Slots of a group must hold together; the level is the most severe group's. What
other sensors tell (inputs) is looked at when the sensor itself reports, and at ticks while only it lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detectors import learned, windows
from detectors.binding import bind, bind_among
from detectors.contract import NO_SLOT, Batch, Bound, Detector, Scores, no_scores
from detectors.learned import Learned
from detectors.slots import Column, Facts, Kind
from detectors.windows import RING, Ring, Spec

NEVER = np.iinfo(np.int64).min
_NO_SPAN = windows.RING - 1
"""Of a window that a track of a wider lane does not have; a real one is seconds long."""


class Limits(NamedTuple):
    """The parameter table: [kinds, slots], [kinds, groups], [kinds, windows] or [kinds]."""

    low: np.ndarray
    high: np.ndarray
    inside_out: np.ndarray
    keep_low: np.ndarray
    keep_high: np.ndarray
    side: np.ndarray
    edge: np.ndarray  # the limit in terms of what is measured
    centre: np.ndarray
    grain: np.ndarray
    hold_us: np.ndarray
    hold_reports: np.ndarray
    column: np.ndarray  # where in the columns; what is looked at is (column - minus) / per
    minus: np.ndarray  # -1: nothing
    per: np.ndarray
    told: np.ndarray  # bool, others or the clock decide
    group_slots: np.ndarray  # u8 bits
    group_told: np.ndarray  # bool, has a slot that others decide
    group_level: np.ndarray
    group_lead: np.ndarray  # its first slot of its own
    function: np.ndarray
    span_us: np.ndarray
    need: np.ndarray
    channel: np.ndarray
    count_low: np.ndarray
    count_high: np.ndarray
    calm_low: np.ndarray  # [kinds]: between these no slot of the value alone can be met
    calm_high: np.ndarray
    always: np.ndarray  # bool, some group has no such slot
    temperature: np.ndarray  # the input that the line is drawn on
    parts: np.ndarray  # i8 [6]: inputs, baseline, line, hour; only slots of the value alone; any told slot


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


def tabulate(bounds: Sequence[Bound]) -> Limits:
    facts: list[Facts] = [bound.facts for bound in bounds]
    n = len(facts)
    k = max((len(f.slots) for f in facts), default=0)
    g = max((len(f.choices) for f in facts), default=0)
    w = max((len(f.windows) for f in facts), default=0)
    parts = np.array(
        [
            max((len(f.sources) for f in facts), default=0),
            any(f.baseline for f in facts),
            any(f.line for f in facts),
            any(f.hour for f in facts),
            all(slot.plain for f in facts for slot in f.slots),
            any(slot.told for f in facts for slot in f.slots),
        ],
        np.int64,
    )
    slots, groups = (n, max(k, 1)), (n, max(g, 1))
    table = Limits(
        low=np.full(slots, np.inf),
        high=np.full(slots, -np.inf),
        inside_out=np.zeros(slots, bool),
        keep_low=np.full(slots, np.inf),
        keep_high=np.full(slots, -np.inf),
        side=np.zeros(slots, np.int8),
        edge=np.zeros(slots),
        centre=np.zeros(slots),
        grain=np.full(slots, np.inf),
        hold_us=np.zeros(slots, np.int64),
        hold_reports=np.ones(slots, np.int32),
        column=np.zeros(slots, np.int16),
        minus=np.full(slots, -1, np.int16),
        per=np.full(slots, -1, np.int16),
        told=np.zeros(slots, bool),
        group_slots=np.zeros(groups, np.uint64),
        group_told=np.zeros(groups, bool),
        group_level=np.zeros(groups, np.uint8),
        group_lead=np.zeros(groups, np.uint8),
        function=np.zeros((n, w), np.int8),
        span_us=np.full((n, w), _NO_SPAN, np.int64),
        need=np.zeros((n, w), np.int64),
        channel=np.zeros((n, w), np.int16),
        count_low=np.full((n, w), -np.inf),
        count_high=np.full((n, w), np.inf),
        calm_low=np.full(n, -np.inf),
        calm_high=np.full(n, np.inf),
        always=np.zeros(n, bool),
        temperature=np.array([f.temperature for f in facts], np.int64),
        parts=parts,
    )
    for row, fact in enumerate(facts):
        _fill(table, row, fact)
    return table


def _fill(table: Limits, row: int, facts: Facts) -> None:
    own_lead: set[int] = set()
    for j, slot in enumerate(facts.slots):
        at = row, j
        table.low[at], table.high[at], table.inside_out[at] = slot.low, slot.high, slot.inside_out
        table.keep_low[at], table.keep_high[at] = slot.keep_low, slot.keep_high
        table.side[at], table.centre[at], table.grain[at] = slot.side, slot.centre, slot.grain
        table.edge[at] = slot.depth - slot.limit if slot.shown == "freeboard" else slot.limit
        table.hold_us[at], table.hold_reports[at] = slot.hold_us, slot.hold_reports
        table.column[at] = _place(table, slot.column)
        table.minus[at] = _place(table, slot.minus)
        table.per[at] = _place(table, slot.per)
        table.told[at] = slot.told
        table.group_told[row, slot.group] |= slot.told
        if not table.group_slots[row, slot.group] or (slot.group not in own_lead and not slot.told):
            table.group_lead[row, slot.group] = j
        if not slot.told:
            own_lead.add(slot.group)
        table.group_slots[row, slot.group] |= np.uint64(1 << j)
        if slot.plain:
            _narrow(table, row, slot.low, slot.high, slot.inside_out)
    plain = {slot.group for slot in facts.slots if slot.plain}
    table.always[row] = any(group not in plain for group in range(len(facts.choices)))
    for j, choice in enumerate(facts.choices):
        table.group_level[row, j] = choice.level
    for j, spec in enumerate(facts.windows):
        table.function[row, j], table.span_us[row, j], table.need[row, j] = spec[:3]
        table.channel[row, j], table.count_low[row, j], table.count_high[row, j] = spec[3:]


def _place(table: Limits, column: Column | None) -> int:
    """Columns stand in the order value, windows, inputs, baseline, line, hour."""
    if column is None:
        return -1
    w = table.function.shape[1]
    inputs, baseline, line = table.parts[:3].tolist()
    first = 1 + w + inputs
    places: dict[Kind, int] = {
        Kind.value: 0,
        Kind.window: 1 + column.place,
        Kind.input: 1 + w + column.place,
        Kind.departs: first,
        Kind.falls: first + 1,
        Kind.sigmas: first + 2 * baseline,
        Kind.residual: first + 2 * baseline + 1,
        Kind.hour: first + 2 * baseline + 2 * line,
    }
    return places[column.kind]


def _narrow(table: Limits, row: int, low: float, high: float, inside_out: bool) -> None:
    """Shrink the calm band by one slot: a screen that spares calm readings the full comparison."""
    if inside_out:
        table.calm_low[row] = max(table.calm_low[row], low)
        table.calm_high[row] = min(table.calm_high[row], high)
    elif high == np.inf or (np.isfinite(low) and low > 0):
        table.calm_high[row] = min(table.calm_high[row], low)
    else:
        table.calm_low[row] = max(table.calm_low[row], high)


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
    kind, at = batch.kind, batch.at
    w = table.function.shape[1]
    inputs = _inputs(table, batch)
    if w:
        state = _turn(table, state, batch, inputs)
    if table.parts[1] or table.parts[2]:
        state = _learn(table, state, batch, inputs)
    x = _looked_at(table, batch, state, inputs)
    inside_out = table.inside_out[kind]
    with np.errstate(invalid="ignore"):
        met = ((x >= table.low[kind]) & (x <= table.high[kind])) ^ inside_out
        kept = ((x >= table.keep_low[kind]) & (x <= table.keep_high[kind])) ^ inside_out
    if not table.parts[4] or not np.isfinite(batch.value).all():
        met &= ~np.isnan(x)
        kept &= ~np.isnan(x)
    was = state.start != NEVER
    if table.parts[5]:
        # Nobody looked at what others tell while the sensor itself was calm.
        told = table.told[kind]
        was &= ~told | (was & ~told).any(axis=1)[:, None] | table.always[kind][:, None]
    now = at[:, None]
    start = np.where(met, np.where(was, state.start + batch.paused_us[:, None], now), NEVER)
    since = np.where(met, np.where(was, state.since, now), NEVER)
    count = np.where(met, np.where(was, state.times, 0) + 1, 0).astype(np.int32)
    holds = state._replace(start=start, since=since, times=count)
    return holds, _scores(table, batch, x, met, kept, start, since, count)


def _inputs(table: Limits, batch: Batch) -> np.ndarray:
    width = int(table.parts[0])
    if batch.inputs is None or not width:
        return np.full((len(batch.kind), width), np.nan)
    return batch.inputs


def _turn(table: Limits, state: Holds, batch: Batch, inputs: np.ndarray) -> Holds:
    """The windows with this reading in them."""
    kind, n, w = batch.kind, len(batch.kind), table.function.shape[1]
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
    value = np.repeat(batch.value, w)
    if inputs.shape[1]:
        channel = table.channel[kind].astype(np.int64)
        of_others = np.take_along_axis(inputs, np.maximum(channel - 1, 0), axis=1)
        value = np.where(channel == 0, batch.value[:, None], of_others).ravel()
    at = np.repeat(batch.at, w)
    used = np.flatnonzero(spec.span_us > _NO_SPAN)
    if len(used) == len(at):
        ring, _ = windows.step(spec, ring, at, value)
    else:
        part, _ = windows.step(
            Spec(*(array[used] for array in spec)),
            Ring(*(array[used] for array in ring)),
            at[used],
            value[used],
        )
        ring = Ring(*(array.copy() for array in ring))
        for array, new in zip(ring, part, strict=True):
            array[used] = new
    return state._replace(
        head=ring.head.reshape(n, w),
        amount=ring.amount.reshape(n, w, RING),
        filled=ring.filled.reshape(n, w, RING),
        last=ring.last.reshape(n, w),
        newest=ring.value.reshape(n, w),
    )


def _learn(table: Limits, state: Holds, batch: Batch, inputs: np.ndarray) -> Holds:
    own = Learned(state.usual, state.size, state.bins, state.course, state.line)
    calm = batch.level == 0
    shown = []
    if table.parts[1]:
        own, departs, falls = learned.against_baseline(own, batch.at, batch.value, calm)
        shown += [departs, falls]
    if table.parts[2]:
        which = np.maximum(table.temperature[batch.kind], 0)
        temperature = np.take_along_axis(inputs, which[:, None], axis=1)[:, 0]
        own, sigmas, residual = learned.against_line(own, batch.at, batch.value, temperature, calm)
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
    column = table.column[batch.kind].astype(np.int64)
    value = batch.value[:, None]
    if table.parts[4]:
        return np.broadcast_to(value, column.shape)
    parts = [value, state.last, inputs, state.shown]
    if table.parts[3]:
        local = (batch.at + learned.LOCAL_US) % learned.DAY_US
        parts.append((local / learned.HOUR_US)[:, None])
    columns = np.concatenate(parts, axis=1)
    x = np.take_along_axis(columns, column, axis=1)
    minus, per = table.minus[batch.kind].astype(np.int64), table.per[batch.kind].astype(np.int64)
    if (minus >= 0).any():
        x = np.where(minus >= 0, x - np.take_along_axis(columns, np.maximum(minus, 0), axis=1), x)
    if (per >= 0).any():
        below = np.take_along_axis(columns, np.maximum(per, 0), axis=1)
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
    """Most readings of a lane that must see all meet and keep nothing: they cost no more than that."""
    n = len(batch.kind)
    busy = kept.any(axis=1) | met.any(axis=1) | (batch.level > 0)
    if table.parts[5]:
        busy |= table.always[batch.kind]
    of = np.flatnonzero(busy)
    if 2 * len(of) > n:
        return _judged(table, batch, x, met, kept, start, since, count)
    scores = no_scores(n)
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
    compares=True,
    bind_among=bind_among,
    reconsider=reconsider,
)
