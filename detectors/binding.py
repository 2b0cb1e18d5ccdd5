"""A threshold rule made definite for one sensor: cells, holds and site parameters become slots.

Hysteresis, where the rule states none, is max(2 % of the limit, 2 noise, 1 resolution), at most half the way
to the next milder limit, to the normal range, and to zero. Conditions that cannot be judged (an input nobody
sends, a parameter the site lacks) switch off their group and are reported; the other groups of the cell
still run. What one condition means stands in detectors/conditions.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from detectors.around import Key, Source, told
from detectors.conditions import AT_ONCE, NOBODY, Conditions, Inhibited, Unjudged
from detectors.contract import Bound, Fall
from detectors.expression import Condition, ExpressionError, For, Group, parse_groups
from detectors.hold import Hold, parse_hold
from detectors.slots import Choice, Facts, Kind, Slot
from schemas.catalogue import Category
from schemas.inputs import Interval, Part
from schemas.registry import Sensor
from schemas.rule import Rule

MAX_SLOTS = 63
_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_SPAN = re.compile(rf"({_NUMBER})(?:-|\.\.)({_NUMBER})(?: \(.*\))?")
_AROUND = re.compile(rf"({_NUMBER})? ?\+-(\d+(?:\.\d+)?)(%?)(?: \(.*\))?")


@lru_cache(maxsize=10_000)
def _read(cell: str) -> tuple[Group | str, ...]:
    """The groups of a cell, and in place of each that is none what is wrong."""
    return tuple(str(g) if isinstance(g, ExpressionError) else g for g in parse_groups(cell))


def interval_s(sensor: Sensor, category: Category | None) -> float | None:
    """How often this sensor reports at the latest; None if it reports on events only."""
    stated = sensor.params.get("interval_s")
    if stated is not None and stated > 0:
        return stated
    return category.interval_s if category else None


def bind(rule: Rule, sensor: Sensor | None, category: Category | None, gateway_s: float) -> Bound:
    """The slots of a threshold rule at a sensor that stands alone."""
    if sensor is None or category is None:
        raise ValueError(f"rule {rule.name}: a threshold needs a sensor with a category")
    return bind_among(rule, sensor, category, gateway_s, NOBODY)


def bind_among(rule: Rule, sensor: Sensor, category: Category, gateway_s: float, key: Key) -> Bound:
    """The same, where `key` says who is around."""
    return _Binding(rule, sensor, category, key).bound()


class _Binding:
    def __init__(self, rule: Rule, sensor: Sensor, category: Category, key: Key) -> None:
        self.rule, self.category, self.key = rule, category, key
        self.interval_s = interval_s(sensor, category)
        self.periodic = self.interval_s is not None and not category.is_state
        self.hold = parse_hold(rule.hold)
        self.conditions = Conditions(sensor.params, category, self.interval_s, key)
        self.reasons: list[str] = []
        self.plain: dict[int, Interval] = {}  # level -> its first interval of the value alone

    def bound(self) -> Bound:
        slots: list[Slot] = []
        choices: list[Choice] = []
        for level, group in self.groups():
            try:
                found = self.group(level, group, len(choices))
            except Inhibited:
                continue
            except Unjudged as reason:
                self.reasons.append(f"level {level}, {group.text}: {reason}")
                continue
            if len(slots) + len(found) > MAX_SLOTS:
                self.reasons.append(f"level {level}, {group.text}: more than {MAX_SLOTS} conditions")
                continue
            slots += found
            choices.append(Choice(level, group.text))
        made = self.conditions
        facts = Facts(
            slots=tuple(self.relaxed(slot, slots) for slot in slots),
            choices=tuple(choices),
            windows=tuple(made.windows),
            sources=tuple(made.sources),
            baseline=made.baseline,
            line=made.line,
            temperature=next((i for i, s in enumerate(made.sources) if s.name == "temperature"), -1),
        )
        one, two, three, four = (self.fall(level, facts) for level in (1, 2, 3, 4))
        return Bound(
            facts,
            frozenset(choice.level for choice in choices),
            (one, two, three, four),
            (
                *(f"{s.group}:{s.text}" for s in facts.slots),
                *(str(tuple(w)) for w in facts.windows),
                *(source.name for source in facts.sources),
                f"{facts.baseline:d}{facts.line:d}",
            ),
            (*self.reasons, *made.reasons),
            facts.width,
            facts.sources,
            made.looked_around or bool(self.rule.group),
        )

    def groups(self) -> list[tuple[int, Group]]:
        """Every group that can be read, most severe first; also notes the plain interval of each level."""
        found = []
        for level, cell in sorted(self.rule.levels.items()):
            for group in _read(cell):
                if isinstance(group, str):
                    self.reasons.append(f"level {level}: {group}")
                    continue
                found.append((level, group))
        alone = Conditions(self.conditions.params, self.category, self.interval_s, NOBODY)
        for level, group in found:
            for condition in group.conditions:
                if condition.is_input or level in self.plain:
                    continue
                try:
                    slot = alone.slot(condition, 0, Interval())
                except (Unjudged, Inhibited):
                    continue
                if slot is not None and slot.plain and not slot.inside_out:
                    self.plain[level] = Interval(slot.low, slot.high)
        return found

    def group(self, level: int, group: Group, index: int) -> list[Slot]:
        made = self.conditions
        before = len(made.windows), len(made.sources), made.baseline, made.line
        try:
            slots = [s for c in group.conditions if (s := self.slot(level, c, index)) is not None]
            if not slots:
                raise Unjudged("nothing of it is measured here")
            return [*slots, *self.quorum(slots, index)]
        except (Unjudged, Inhibited):
            del made.windows[before[0] :], made.sources[before[1] :]
            made.baseline, made.line = before[2:]
            raise

    def slot(self, level: int, condition: Condition, group: int) -> Slot | None:
        wanted = 3 if condition.term.name == "second_point" else level
        own = self.plain.get(wanted) or self.plain.get(level) or Interval()
        slot = self.conditions.slot(condition, group, own)
        if slot is None:
            return None
        hold = self.hold_of(level, condition, slot)
        if hold.within_us:
            return self.conditions.often(slot, hold)
        least = 2 if hold.us and self.periodic and not self.category.edge and not slot.told else 1
        return replace(slot, hold_us=hold.us, hold_reports=max(hold.reports, least))

    def quorum(self, slots: list[Slot], index: int) -> list[Slot]:
        """The slot of `group`: how many others are beyond the same limit."""
        wanted = self.rule.group
        if wanted is None:
            return []
        plain = next((s for s in slots if s.plain and not s.inside_out), None)
        if plain is None:
            raise Unjudged("a group needs a condition on the value itself")
        part = Part(self.category.key, Interval(plain.low, plain.high))
        source = Source("group", wanted.by, (part,), True, round(wanted.within_s * 1e6))
        if not told(self.key, source):
            raise Unjudged(f"no other sensor of the category in the {wanted.by}")
        column = self.conditions.add_source(source)
        least = float(wanted.at_least - 1)
        return [Slot("group", index, "input", least, 0, least, math.inf, column=column)]

    def hold_of(self, level: int, condition: Condition, slot: Slot) -> For:
        hold = condition.hold
        if hold is None:
            if slot.told:
                return AT_ONCE  # it is the sensor's own condition that must last
            if not isinstance(self.hold, Hold):
                raise Unjudged(self.hold)
            return self.hold.of(level, condition.term.name)
        if hold.name is not None:
            return For(us=round(hold.number * self.conditions.parameter(hold.name) * 3.6e9))
        return hold

    def relaxed(self, slot: Slot, slots: list[Slot]) -> Slot:
        if slot.side == 0 or slot.told or slot.shown == "use":  # a counter counts or it does not
            return replace(slot, keep_low=slot.low, keep_high=slot.high, grain=math.inf)
        own_unit = slot.column.kind in (Kind.value, Kind.window, Kind.residual) and slot.per is None
        if own_unit and slot.shown != "count":
            noise = self.category.noise or abs(slot.limit) * (self.category.noise_relative or 0.0)
            margin = max(0.02 * abs(slot.limit), 2 * noise, self.category.resolution)
            grain = max(0.25 * abs(slot.limit), 4 * noise, self.category.resolution)
        else:
            margin, grain = 0.1 * abs(slot.limit), 0.25 * abs(slot.limit)
        rooms = [abs(slot.limit)] if slot.limit else []
        rooms += [
            slot.side * (slot.limit - other.limit)
            for other in slots
            if (other.shown, other.side, other.span_us) == (slot.shown, slot.side, slot.span_us)
        ]
        normal = normal_range(self.category.normal_typical) if slot.shown in ("v", "abs") else None
        if normal is not None and slot.plain and not slot.centre:
            edge = normal[1] if slot.side > 0 else normal[0]
            if slot.shown == "abs":
                edge = max(abs(normal[0]), abs(normal[1]))
            rooms.append(slot.side * (slot.limit - edge))
        margin = min([margin, *(0.5 * room for room in rooms if room > 0)])
        if self.rule.hysteresis is not None and own_unit:
            margin = self.rule.hysteresis
        if slot.inside_out:
            half = max(slot.limit - margin, 0.0)
            return replace(slot, keep_low=slot.centre - half, keep_high=slot.centre + half, grain=grain)
        keep_low = slot.low - margin if slot.side > 0 else slot.low
        keep_high = slot.high + margin if slot.side < 0 else slot.high
        return replace(slot, keep_low=keep_low, keep_high=keep_high, grain=grain)

    def fall(self, level: int, facts: Facts) -> Fall:
        least = 2 if self.periodic else 1
        clear = parse_hold(self.rule.clear) if self.rule.clear else None
        if isinstance(clear, Hold):
            return Fall(max(least, clear.usual.reports), clear.usual.us)
        own = [slot for slot in facts.slots if facts.choices[slot.group].level == level]
        return Fall(
            max([least, *(slot.hold_reports for slot in own)]), max([0, *(slot.hold_us for slot in own)])
        )


def normal_range(text: str) -> tuple[float, float] | None:
    """The range of a normal_typical cell that is plain numbers, else None.

    >>> normal_range("-0.90..-1.15"), normal_range("+-200 about thermal curve"), normal_range("220 +-7%")
    ((-1.15, -0.9), None, (204.6, 235.4))
    """
    if found := _SPAN.fullmatch(text):
        low, high = sorted((float(found[1]), float(found[2])))
        return low, high
    if found := _AROUND.fullmatch(text):
        middle = float(found[1] or 0.0)
        half = float(found[2]) * (middle / 100 if found[3] else 1.0)
        return middle - half, middle + half
    return (float(text), float(text)) if re.fullmatch(_NUMBER, text) else None


def relevant(params: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """The part of a sensor that `bind` looks at, for sharing what it makes."""
    return tuple(sorted(params.items()))
