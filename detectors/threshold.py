"""Limits: is a value, or what it did over a window, beyond one, and for how long.

All categories run in one pass: each track has a row of slots (detectors/binding.py), each slot an interval
to lie in. Slots of a group must hold together; the level is the most severe group's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detectors import windows
from detectors.binding import Facts, bind
from detectors.contract import NO_SLOT, Batch, Bound, Detector, Scores
from detectors.windows import RING, Ring, Spec

NEVER = np.iinfo(np.int64).min


class Limits(NamedTuple):
    """The parameter table: [kinds, slots], [kinds, groups] or [kinds, windows]."""

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
    window: np.ndarray
    group_slots: np.ndarray  # u8 bits
    group_level: np.ndarray
    group_lead: np.ndarray  # its first slot
    function: np.ndarray
    span_us: np.ndarray
    need: np.ndarray
    calm_low: np.ndarray  # [kinds]: between these no slot can be met
    calm_high: np.ndarray


class Holds(NamedTuple):
    """[tracks, slots] since when and how often in a row each slot was met; the rings of the windows."""

    start: np.ndarray  # i8, where the hold counts from (moved by blind time); NEVER: not met
    since: np.ndarray  # i8, the first reading that met it
    times: np.ndarray  # i4, readings in a row
    head: np.ndarray  # [tracks, windows]
    amount: np.ndarray  # [tracks, windows, RING]
    filled: np.ndarray
    last: np.ndarray


def tabulate(bounds: Sequence[Bound]) -> Limits:
    facts: list[Facts] = [bound.facts for bound in bounds]
    n = len(facts)
    k = max((len(f.slots) for f in facts), default=0)
    g = max((len(f.choices) for f in facts), default=0)
    w = max((len(f.windows) for f in facts), default=0)
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
        window=np.full(slots, -1, np.int8),
        group_slots=np.zeros(groups, np.uint64),
        group_level=np.zeros(groups, np.uint8),
        group_lead=np.zeros(groups, np.uint8),
        function=np.zeros((n, w), np.int8),
        span_us=np.full((n, w), 12, np.int64),
        need=np.zeros((n, w), np.int64),
        calm_low=np.full(n, -np.inf),
        calm_high=np.full(n, np.inf),
    )
    for row, fact in enumerate(facts):
        _fill(table, row, fact)
    return table


def _fill(table: Limits, row: int, facts: Facts) -> None:
    for j, slot in enumerate(facts.slots):
        at = row, j
        table.low[at], table.high[at], table.inside_out[at] = slot.low, slot.high, slot.inside_out
        table.keep_low[at], table.keep_high[at] = slot.keep_low, slot.keep_high
        table.side[at], table.centre[at], table.grain[at] = slot.side, slot.centre, slot.grain
        table.edge[at] = slot.depth - slot.limit if slot.shown == "freeboard" else slot.limit
        table.hold_us[at], table.hold_reports[at] = slot.hold_us, slot.hold_reports
        table.window[at] = slot.window
        bit = np.uint64(1 << j)
        if not table.group_slots[row, slot.group]:
            table.group_lead[row, slot.group] = j
        table.group_slots[row, slot.group] |= bit
        if slot.window < 0:
            _narrow(table, row, slot.low, slot.high, slot.inside_out)
    for j, choice in enumerate(facts.choices):
        table.group_level[row, j] = choice.level
    for j, spec in enumerate(facts.windows):
        table.function[row, j], table.span_us[row, j], table.need[row, j] = spec


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
    ring = windows.fresh(n * w)
    return Holds(
        np.full((n, k), NEVER),
        np.full((n, k), NEVER),
        np.zeros((n, k), np.int32),
        ring.head.reshape(n, w),
        ring.amount.reshape(n, w, RING),
        ring.filled.reshape(n, w, RING),
        ring.last.reshape(n, w),
    )


def screen(table: Limits, kind: np.ndarray, value: np.ndarray) -> np.ndarray | None:
    """Readings that may meet something; None if only the windows can tell."""
    if table.function.shape[1]:
        return None
    calm: np.ndarray = (value > table.calm_low[kind]) & (value < table.calm_high[kind])
    return ~calm


def step(table: Limits, state: Holds, batch: Batch) -> tuple[Holds, Scores]:
    kind, at = batch.kind, batch.at
    n, w = len(kind), table.function.shape[1]
    ring = Ring(
        state.head.ravel(), state.amount.reshape(-1, RING), state.filled.reshape(-1, RING), state.last.ravel()
    )
    if w:
        spec = Spec(table.function[kind].ravel(), table.span_us[kind].ravel(), table.need[kind].ravel())
        ring, _ = windows.step(spec, ring, np.repeat(at, w), np.repeat(batch.value, w))
    last = ring.last.reshape(n, w)
    x = _looked_at(table, kind, batch.value, last)
    inside_out = table.inside_out[kind]
    with np.errstate(invalid="ignore"):
        met = ((x >= table.low[kind]) & (x <= table.high[kind])) ^ inside_out
        kept = ((x >= table.keep_low[kind]) & (x <= table.keep_high[kind])) ^ inside_out
    if not np.isfinite(batch.value).all():
        met &= ~np.isnan(x)
        kept &= ~np.isnan(x)
    was = state.start != NEVER
    now = at[:, None]
    start = np.where(met, np.where(was, state.start + batch.paused_us[:, None], now), NEVER)
    since = np.where(met, np.where(was, state.since, now), NEVER)
    count = np.where(met, np.where(was, state.times, 0) + 1, 0).astype(np.int32)
    holds = Holds(
        start,
        since,
        count,
        ring.head.reshape(n, w),
        ring.amount.reshape(n, w, RING),
        ring.filled.reshape(n, w, RING),
        last,
    )
    return holds, _scores(table, batch, x, met, kept, start, since, count)


def ripen(table: Limits, state: Holds, batch: Batch) -> Scores:
    """What has held long enough by the clock alone; `batch` has the newest values, at the clock's time."""
    x = _looked_at(table, batch.kind, batch.value, state.last)
    met = state.start != NEVER
    return _scores(table, batch, x, met, met, state.start, state.since, state.times)


def _looked_at(table: Limits, kind: np.ndarray, value: np.ndarray, last: np.ndarray) -> np.ndarray:
    window = table.window[kind]
    plain = np.broadcast_to(value[:, None], window.shape)
    if not last.shape[1]:
        return plain
    return np.where(window < 0, plain, np.take_along_axis(last, np.maximum(window, 0), axis=1))


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
        pending=(due & ~held).any(axis=1),
        running=np.asarray(met.any(axis=1)),
    )


def _most_severe(flags: np.ndarray, slots: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level and index of each row's first group whose slots are all set; groups stand most severe first."""
    weights = np.uint64(1) << np.arange(flags.shape[1], dtype=np.uint64)
    bits = np.where(flags, weights, np.uint64(0)).sum(axis=1, dtype=np.uint64)[:, None]
    full = ((bits & slots) == slots) & (slots != 0)
    first = full.argmax(axis=1)
    rows = np.arange(len(flags))
    return np.where(full[rows, first], level[rows, first], np.uint8(0)), first


DETECTOR = Detector("threshold", bind, tabulate, fresh, step, ripen=ripen, screen=screen, compares=True)
