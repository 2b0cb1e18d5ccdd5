"""A threshold rule made definite for one sensor: cells, holds and site parameters become slots.

A slot is an interval that the value (or a window of it) must lie in, how long, and the relaxed interval
that keeps an active level: hysteresis is max(2 % of the limit, 2 noise, 1 resolution), at most half the way
to the next milder limit, to the normal range, and to zero. Conditions that cannot be judged (an input nobody
sends, a parameter the site lacks, a baseline nobody learned) switch off their group and are reported;
the other groups of the cell still run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from detectors import windows
from detectors.contract import Bound, Fall
from detectors.expression import Condition, ExpressionError, For, Group, Value, parse_groups
from detectors.hold import Hold, parse_hold
from schemas.catalogue import Category
from schemas.registry import Sensor
from schemas.rule import Rule

MAX_SLOTS = 63
_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_SPAN = re.compile(rf"({_NUMBER})(?:-|\.\.)({_NUMBER})(?: \(.*\))?")
_AROUND = re.compile(rf"({_NUMBER})? ?\+-(\d+(?:\.\d+)?)(%?)(?: \(.*\))?")


@dataclass(frozen=True, slots=True)
class Slot:
    text: str
    group: int
    shown: str  # v | abs | freeboard | a window function
    limit: float  # as people read it
    side: int  # the limit is a floor (1: met above), a ceiling (-1: met below) or one value (0)
    low: float
    high: float
    inside_out: bool = False  # met outside [low, high]
    keep_low: float = 0.0
    keep_high: float = 0.0
    centre: float = 0.0  # of abs(v - centre)
    depth: float = 0.0  # freeboard = depth - v
    hold_us: int = 0
    hold_reports: int = 1
    window: int = -1
    span_us: int = 0
    grain: float = 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """A group of conditions and the level it stands for."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    slots: tuple[Slot, ...]
    choices: tuple[Choice, ...]  # most severe first
    windows: tuple[tuple[int, int, int], ...]  # function, span, reports needed


class _Unjudged(Exception):
    """Why a condition cannot be judged here."""


class _Inhibited(Exception):
    """The condition is off by design (outside the heating season), which is not being unguarded."""


def interval_s(sensor: Sensor, category: Category | None) -> float | None:
    """How often this sensor reports at the latest; None if it reports on events only."""
    stated = sensor.params.get("interval_s")
    if stated is not None and stated > 0:
        return stated
    return category.interval_s if category else None


def bind(rule: Rule, sensor: Sensor | None, category: Category | None, gateway_s: float) -> Bound:
    """The slots of a threshold rule at a sensor."""
    if sensor is None or category is None:
        raise ValueError(f"rule {rule.name}: a threshold needs a sensor with a category")
    return _Binding(rule, sensor, category).bound()


class _Binding:
    def __init__(self, rule: Rule, sensor: Sensor, category: Category) -> None:
        self.rule, self.params, self.category = rule, sensor.params, category
        self.interval_s = interval_s(sensor, category)
        self.periodic = self.interval_s is not None and not category.is_state
        self.running = sensor.params.get("mode", 1.0) == 1.0
        self.hold = parse_hold(rule.hold)
        self.windows: list[tuple[int, int, int]] = []
        self.reasons: list[str] = []

    def bound(self) -> Bound:
        slots: list[Slot] = []
        choices: list[Choice] = []
        for level, cell in sorted(self.rule.levels.items()):
            for group in parse_groups(cell):
                if isinstance(group, ExpressionError):
                    self.reasons.append(f"level {level}: {group}")
                    continue
                try:
                    found = self.group(level, group, len(choices))
                except _Inhibited:
                    continue
                except _Unjudged as reason:
                    self.reasons.append(f"level {level}, {group.text}: {reason}")
                    continue
                if len(slots) + len(found) > MAX_SLOTS:
                    self.reasons.append(f"level {level}, {group.text}: more than {MAX_SLOTS} conditions")
                    continue
                slots += found
                choices.append(Choice(level, group.text))
        relaxed = tuple(self.relaxed(slot, slots) for slot in slots)
        facts = Facts(relaxed, tuple(choices), tuple(self.windows))
        levels = frozenset(choice.level for choice in choices)
        falls = tuple(self.fall(level, facts) for level in (1, 2, 3, 4))
        shape = (*(f"{s.group}:{s.text}" for s in relaxed), *(str(w) for w in self.windows))
        four = falls[0], falls[1], falls[2], falls[3]
        return Bound(facts, levels, four, shape, tuple(self.reasons), len(self.windows))

    def group(self, level: int, group: Group, index: int) -> list[Slot]:
        before = len(self.windows)
        try:
            slots = [s for c in group.conditions if (s := self.condition(level, c, index)) is not None]
        except (_Unjudged, _Inhibited):
            del self.windows[before:]
            raise
        if not slots:
            raise _Unjudged("nothing of it is measured here")
        return slots

    def condition(self, level: int, condition: Condition, group: int) -> Slot | None:
        """The slot; None for a condition that is simply true."""
        term, op, value = condition.term, condition.op, condition.value
        if condition.is_input:
            if term.name == "mode" and op == "==" and value == Value(name="run"):
                if self.running:
                    return None
                raise _Inhibited
            raise _Unjudged(f"nothing tells {term.name}")
        if term.name in ("hour", "use") or term.per or (term.absolute and term.span_us):
            raise _Unjudged(f"{term.name} is not evaluated here")
        if op is None or value is None:
            raise _Unjudged("nothing to compare with")
        limit = self.limit(value)
        shown, side = term.name, {">=": 1, ">": 1, "<=": -1, "<": -1, "==": 0}[op]
        if side < 0 and not self.running and "season_schedule" in self.category.site_params:
            raise _Inhibited
        low, high = _interval(op, limit)
        inside_out, centre, depth, window = False, 0.0, 0.0, -1
        if term.absolute:
            if term.name != "v" or side != 1:
                raise _Unjudged(f"abs({term.name}){op} is not evaluated")
            shown, inside_out = "abs", True
            centre = self.parameter(term.about) if term.about else 0.0
            low, high = -_before(low) + centre, _before(low) + centre
        elif term.name == "freeboard":
            depth = self.parameter("depth")
            low, high, side = depth - high, depth - low, -side
        elif term.span_us:
            window = self.window(term.name, term.span_us, side)
        elif term.name in ("v", "state"):
            shown = "v"
        else:
            raise _Unjudged(f"{term.name} needs a baseline that is not learned yet")
        hold = self.hold_of(level, condition)
        if hold.within_us or hold.name:
            raise _Unjudged("such a hold is not evaluated")
        return Slot(
            text=condition.text,
            group=group,
            shown=shown,
            limit=limit,
            side=side,
            low=low,
            high=high,
            inside_out=inside_out,
            centre=centre,
            depth=depth,
            hold_us=hold.us,
            hold_reports=max(hold.reports, 2 if hold.us and self.periodic and not self.category.edge else 1),
            window=window,
            span_us=term.span_us,
        )

    def limit(self, value: Value) -> float:
        if value.unit:
            raise _Unjudged(f"the limit in {value.unit} is not converted to {self.category.unit}")
        if value.suffix:
            raise _Unjudged(f"{value.suffix} of what is not evaluated")
        if value.name is None:
            return value.number
        return value.number * self.parameter(value.name) + value.offset

    def parameter(self, name: str) -> float:
        found = self.params.get(name)
        if found is None or not math.isfinite(found):
            raise _Unjudged(f"site parameter {name} is missing")
        return found

    def hold_of(self, level: int, condition: Condition) -> For:
        if condition.hold is not None:
            return condition.hold
        if isinstance(self.hold, Hold):
            return self.hold.of(level, condition.term.name)
        raise _Unjudged(self.hold)

    def window(self, name: str, span_us: int, side: int) -> int:
        if name not in windows.FUNCTIONS:
            raise _Unjudged(f"{name} over a time is not evaluated")
        if name == "sum" and self.category.quantity.startswith("cumulative"):
            raise _Unjudged("a sum over a counter is not evaluated")
        # An extreme or a sum that is already beyond a limit needs no full window; a mean, or "nothing more
        # than", says something only of a window that is well filled.
        certain = name in ("roc", "drop") or (name, side) in (("sum", 1), ("max", 1), ("min", -1))
        span_s = span_us / 1e6
        usual = span_s / self.interval_s if self.interval_s else 0.0
        need = 2 if certain and name in ("roc", "drop") else 1 if certain else max(2, math.ceil(0.75 * usual))
        if name == "roc" and self.interval_s and self.interval_s > span_s:
            self.reasons.append(
                f"{name}({span_s:g} s): reports every {self.interval_s:g} s are too sparse"
                " unless the device reports changes at once"
            )
        spec = (windows.FUNCTIONS.index(name), span_us - span_us % 12, need)
        if spec not in self.windows:
            self.windows.append(spec)
        return self.windows.index(spec)

    def relaxed(self, slot: Slot, slots: list[Slot]) -> Slot:
        noise = self.category.noise or abs(slot.limit) * (self.category.noise_relative or 0.0)
        margin = max(0.02 * abs(slot.limit), 2 * noise, self.category.resolution)
        grain = max(0.25 * abs(slot.limit), 4 * noise, self.category.resolution)
        if slot.side == 0:
            return replace(slot, keep_low=slot.low, keep_high=slot.high, grain=math.inf)
        rooms = [abs(slot.limit)] if slot.limit else []
        rooms += [
            slot.side * (slot.limit - other.limit)
            for other in slots
            if (other.shown, other.side, other.span_us) == (slot.shown, slot.side, slot.span_us)
        ]
        normal = normal_range(self.category.normal_typical) if slot.shown in ("v", "abs") else None
        if normal is not None and not slot.centre:
            edge = normal[1] if slot.side > 0 else normal[0]
            if slot.shown == "abs":
                edge = max(abs(normal[0]), abs(normal[1]))
            rooms.append(slot.side * (slot.limit - edge))
        margin = min([margin, *(0.5 * room for room in rooms if room > 0)])
        if slot.inside_out:
            half = max(slot.limit - margin, 0.0)
            return replace(slot, keep_low=slot.centre - half, keep_high=slot.centre + half, grain=grain)
        keep_low = slot.low - margin if slot.side > 0 else slot.low
        keep_high = slot.high + margin if slot.side < 0 else slot.high
        return replace(slot, keep_low=keep_low, keep_high=keep_high, grain=grain)

    def fall(self, level: int, facts: Facts) -> Fall:
        least = 2 if self.periodic else 1
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


def _interval(op: str, limit: float) -> tuple[float, float]:
    return {
        ">=": (limit, math.inf),
        ">": (math.nextafter(limit, math.inf), math.inf),
        "<=": (-math.inf, limit),
        "<": (-math.inf, math.nextafter(limit, -math.inf)),
        "==": (limit, limit),
    }[op]


def _before(value: float) -> float:
    return math.nextafter(value, -math.inf)
