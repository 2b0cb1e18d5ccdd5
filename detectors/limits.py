"""The parameter table of threshold rules: their facts (detectors/slots.py) as arrays, a row a kind.

Kinds with fewer slots, groups or windows than others have empty ones, which nothing meets. Where a slot finds
what it looks at is a place among the columns value, windows, inputs, baseline, line, hour, in this order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detectors import windows
from detectors.contract import Bound
from detectors.slots import Column, Facts, Kind

NO_SPAN = windows.RING - 1
"""Of a window that a track of a wider lane does not have; a real one is seconds long."""


class Limits(NamedTuple):
    """The parameter table: [kinds, slots], [kinds, groups], [kinds, windows] or [kinds]."""

    slots: np.ndarray  # [kinds], how many there are; the others are empty
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
    waits: np.ndarray  # bool, some group wants only what others tell, so that a tick may bring it
    parts: np.ndarray  # i8 [9]: inputs, baseline, line, hour; only slots of the value alone; any told slot,
    # one that subtracts, one that divides, one that is met outside


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
            any(slot.minus is not None for f in facts for slot in f.slots),
            any(slot.per is not None for f in facts for slot in f.slots),
            any(slot.inside_out for f in facts for slot in f.slots),
        ],
        np.int64,
    )
    slots, groups = (n, max(k, 1)), (n, max(g, 1))
    table = Limits(
        slots=np.array([len(f.slots) for f in facts], np.int64),
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
        column=np.zeros(slots, np.int64),
        minus=np.full(slots, -1, np.int64),
        per=np.full(slots, -1, np.int64),
        told=np.zeros(slots, bool),
        group_slots=np.zeros(groups, np.uint64),
        group_told=np.zeros(groups, bool),
        group_level=np.zeros(groups, np.uint8),
        group_lead=np.zeros(groups, np.uint8),
        function=np.zeros((n, w), np.int8),
        span_us=np.full((n, w), NO_SPAN, np.int64),
        need=np.zeros((n, w), np.int64),
        channel=np.zeros((n, w), np.int16),
        count_low=np.full((n, w), -np.inf),
        count_high=np.full((n, w), np.inf),
        calm_low=np.full(n, -np.inf),
        calm_high=np.full(n, np.inf),
        always=np.zeros(n, bool),
        waits=np.zeros(n, bool),
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
    own = {slot.group for slot in facts.slots if not slot.told}
    table.waits[row] = any(slot.group not in own for slot in facts.slots)
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
