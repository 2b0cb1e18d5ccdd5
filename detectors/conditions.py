"""One condition of a threshold cell made definite for one sensor: the column it looks at and where it is met.

What cannot be judged here (an input nobody tells, a parameter the site lacks) raises Unjudged with the
reason; what is off by design (outside the heating season, a fact that is stated false) raises Inhibited.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from detectors import windows
from detectors.around import Key, Source, told
from detectors.expression import Condition, For, Term, Value
from detectors.slots import VALUE, Column, Kind, Slot, Window
from schemas.catalogue import Category, catalogue
from schemas.inputs import WITHIN_S, Interval, Part, input_of, interval

NOBODY: Key = (frozenset(), frozenset(), frozenset())
SIDES = {">=": 1, ">": 1, "<=": -1, "<": -1, "==": 0}
RUN, TEST = 1.0, 3.0  # of the site parameter `mode`: 0 stop, 1 run, 2 fill, 3 test, 4 trial, 5 warm-up
SNOW_DENSITY = 0.1  # of fresh snow to water, where no site parameter `snow_density` says otherwise
GROWTH_US = 7 * 86_400_000_000
IN_SEASON = frozenset({"dev", "dev_curve", "ratio", "drop", "resid", "growth"})
AT_ONCE = For()
USE_US = 12_000_000  # of no matter: it looks at the report before
TRUE = Interval(0.5, math.inf)


class Unjudged(Exception):
    """Why a condition cannot be judged here."""


class Inhibited(Exception):
    """The condition is off by design, which is not being unguarded."""


class Conditions:
    """The conditions of one rule at one sensor; collects the windows and sources that they need."""

    def __init__(
        self, params: Mapping[str, float], category: Category, interval_s: float | None, key: Key
    ) -> None:
        self.params, self.category, self.interval_s, self.key = params, category, interval_s, key
        self.mode = params.get("mode", RUN)
        self.windows: list[Window] = []
        self.sources: list[Source] = []
        self.reasons: list[str] = []
        self.baseline = self.line = self.looked_around = False

    def slot(self, condition: Condition, group: int, own: Interval) -> Slot | None:
        """Without its hold; None for a condition that is simply true. `own` is the rule's own interval,
        for inputs that count others beyond the same limit."""
        term, op, value = condition.term, condition.op, condition.value
        blank = Slot(condition.text, group, term.name, 0.0, 0, -math.inf, math.inf)
        if condition.is_input:
            return self._input(blank, condition, own)
        if op is None or value is None:
            raise Unjudged("nothing to compare with")
        if term.name == "state" and not self.category.is_state:
            # The device's own alarm state is another point beside the measured value.
            state = replace(condition, term=replace(term, name="alarm_state"), is_input=True)
            return self._input(blank, state, own)
        side = SIDES[op]
        self._season(term, side)
        if value.unit:
            raise Unjudged(f"the limit in {value.unit} is not converted to {self.category.unit}")
        if term.name in ("dev", "drop") and not term.span_us:
            return self._against_baseline(blank, term, value)
        if term.name == "dev_curve":
            return self._against_curve(blank, op, value)
        if term.name == "resid":
            return self._against_line(blank, op, value)
        if value.name == "curve" and "curve" not in self.params:
            low, high = interval(op, value.number)
            per = self._curve()
            return replace(blank, shown="curve", limit=value.number, side=side, low=low, high=high, per=per)
        limit = self.limit(value)
        low, high = interval(op, limit)
        found = replace(blank, limit=limit, side=side, low=low, high=high, percent=value.suffix == "%")
        if term.span_us:
            return self._window(found, term, value, side)
        if term.absolute:
            if side != 1:
                raise Unjudged(f"abs({term.name}){op} is not evaluated")
            centre = self.parameter(term.about) if term.about else 0.0
            low, high = centre - low, low + centre
            return replace(
                found, shown="abs", inside_out=True, centre=centre, low=_after(low), high=_before(high)
            )
        match term.name:
            case "v" | "state":
                if value.suffix:
                    raise Unjudged(f"{value.suffix} of what is not evaluated")
                return replace(found, shown="v")
            case "freeboard":
                depth = self.parameter("depth")
                return replace(found, depth=depth, low=depth - high, high=depth - low, side=-side)
            case "hour":
                return replace(found, column=Column(Kind.hour))
            case "use":
                return replace(found, column=self._add(Window(windows.USE, USE_US, 1)))
            case "ratio":
                return replace(found, per=self._source(term.about or "", None, own))
            case "growth" if value.suffix == "/d":
                return replace(found, column=self._add(Window(windows.RATE, GROWTH_US, 2)), span_us=GROWTH_US)
        raise Unjudged(f"{condition.text} is not evaluated")

    def _season(self, term: Term, side: int) -> None:
        """Outside the heating season upper absolute limits stay, but no pressure's in a pressure test."""
        if "season_schedule" not in self.category.site_params or self.mode == RUN:
            return
        testing = self.mode == TEST and "pressure" in self.category.key
        if side < 0 or testing or (term.name in IN_SEASON):
            raise Inhibited

    def limit(self, value: Value) -> float:
        if value.suffix in ("sigma",):
            raise Unjudged(f"{value.suffix} of what is not evaluated")
        if value.suffix == "%":
            return value.number / 100
        if value.name is None:
            return value.number
        return value.number * self.parameter(value.name) + value.offset

    def parameter(self, name: str) -> float:
        found = self.params.get(name)
        if found is None or not math.isfinite(found):
            raise Unjudged(f"site parameter {name} is missing")
        return found

    # Learned, or stated as site parameters

    def _against_baseline(self, blank: Slot, term: Term, value: Value) -> Slot:
        share = self.limit(value)
        blank = replace(blank, side=1, low=share, limit=share, percent=True)
        base = self.params.get("baseline")
        if base is not None and base != 0:
            size = share * abs(base)
            if term.name == "drop":
                high = base - size
                return replace(blank, shown="v", side=-1, low=-math.inf, high=high, limit=high, percent=False)
            return replace(
                blank,
                inside_out=True,
                centre=base,
                low=_after(base - size),
                high=_before(base + size),
                limit=size,
                percent=False,
            )
        self.baseline = True
        return replace(blank, column=Column(Kind.departs if term.name == "dev" else Kind.falls))

    def _against_curve(self, blank: Slot, op: str, value: Value) -> Slot:
        limit = self.limit(value)
        share = value.suffix == "%"
        column = self._curve()
        return replace(
            blank,
            side=1,
            limit=limit,
            inside_out=True,
            low=_after(-limit),
            high=_before(limit),
            minus=column,
            per=column if share else None,
            percent=share,
        )

    def _curve(self) -> Column:
        """The weather-compensation curve, a straight line over the outdoor temperature."""
        at_0, per_k = self.params.get("curve_at_0"), self.params.get("curve_per_k")
        if at_0 is None or per_k is None:
            raise Unjudged("site parameters curve_at_0 and curve_per_k are missing")
        return self._source("outdoor", None, NO_INTERVAL, factor=per_k, offset=at_0)

    def _against_line(self, blank: Slot, op: str, value: Value) -> Slot:
        in_sigmas = value.suffix == "sigma"
        limit = value.number if in_sigmas else self.limit(value)
        slope, at_0, sigma = (self.params.get(n) for n in ("temp_per_k", "temp_at_0", "resid_sigma"))
        if slope is not None and at_0 is not None and (sigma is not None or not in_sigmas):
            size = limit * (sigma or 1.0) if in_sigmas else limit
            minus = self._source("temperature", None, NO_INTERVAL, factor=slope, offset=at_0)
            column = VALUE
        else:
            minus, size = None, limit
            self.line = True
            self._source("temperature", None, NO_INTERVAL)
            column = Column(Kind.sigmas if in_sigmas else Kind.residual)
        return replace(
            blank,
            side=1,
            limit=size,
            inside_out=True,
            low=_after(-size),
            high=_before(size),
            column=column,
            minus=minus,
            shown="sigma" if in_sigmas and minus is None else "resid",
        )

    # Windows

    def _window(self, found: Slot, term: Term, value: Value, side: int, channel: int = 0) -> Slot:
        name, span = term.name, term.span_us
        counter = self.category.quantity.startswith("cumulative") if not channel else _is_counter(term.of)
        found = replace(found, span_us=span)
        if name == "growth":
            mean = self._own_window("mean", span, side, channel)
            return replace(found, minus=mean, per=mean, percent=True)
        if name == "swe":
            density = self.params.get("snow_density", SNOW_DENSITY)
            column = self._own_window("rise", span, side, channel)
            return replace(found, column=column, low=found.low / density, high=found.high / density,
                           limit=found.limit / density, shown="rise")  # fmt: skip
        if name == "sum" and counter:
            name = "rise"
        column = self._own_window(name, span, side, channel)
        per = None
        if term.per is not None:
            per = self._own_window(term.per.name, term.per.span_us, side, channel)
        elif value.suffix == "%":
            per = self._own_window("max", span, side, channel)
        if term.absolute:
            size = found.limit
            found = replace(found, inside_out=True, low=_after(-size), high=_before(size))
        return replace(found, column=column, per=per, shown=name if name != "rise" else "sum")

    def _own_window(self, name: str, span_us: int, side: int, channel: int) -> Column:
        if name not in windows.FUNCTIONS:
            raise Unjudged(f"{name} over a time is not evaluated")
        # An extreme or a sum that is already beyond a limit needs no full window; a mean, or "nothing more
        # than", says something only of a window that is well filled.
        sure = name in ("roc", "drop") or (name, side) in (("sum", 1), ("rise", 1), ("max", 1), ("min", -1))
        span_s = span_us / 1e6
        usual = span_s / self.interval_s if self.interval_s else 0.0
        need = 2 if name in ("roc", "drop") else 1 if sure else max(2, math.ceil(0.75 * usual))
        if name == "roc" and self.interval_s and self.interval_s > span_s:
            self.reasons.append(
                f"{name}({span_s:g} s): reports every {self.interval_s:g} s are too sparse"
                " unless the device reports changes at once"
            )
        return self._add(Window(windows.FUNCTIONS.index(name), span_us - span_us % 12, need, channel))

    def often(self, slot: Slot, hold: For) -> Slot:
        """The same, so many times within a time, in a row or not."""
        if not slot.plain or slot.inside_out:
            raise Unjudged("so many times in a time is evaluated for the value alone")
        window = Window(windows.COUNT, hold.within_us - hold.within_us % 12, 1, 0, slot.low, slot.high)
        return replace(
            slot,
            shown="count",
            column=self._add(window),
            low=float(hold.reports),
            high=math.inf,
            limit=float(hold.reports),
            side=1,
            span_us=hold.within_us,
        )

    def _add(self, window: Window) -> Column:
        if window not in self.windows:
            self.windows.append(window)
        return Column(Kind.window, self.windows.index(window))

    # Inputs

    def _input(self, blank: Slot, condition: Condition, own: Interval) -> Slot | None:
        term, op, value = condition.term, condition.op, condition.value
        if term.name in ("mode", "supply") and op == "==" and value in (Value(name="run"), Value(name="on")):
            if self.mode == RUN and self.params.get("supply", 1.0) == 1.0:
                return None
            raise Inhibited
        if term.of is not None:
            return self._input_window(blank, term, op, value)
        within = term.span_us or None
        column = self._told(term.name, own, within)
        wanted = self._wanted(term.name, op, value)
        if isinstance(column, float):
            if wanted.low <= column <= wanted.high:
                return None
            raise Inhibited
        if column.kind == Kind.input and term.name == "heat_makeup":
            per = self._source("circ", None, own)
            return replace(blank, shown="input", side=0, limit=wanted.low, low=wanted.low, high=wanted.high,
                           column=column, per=per)  # fmt: skip
        return replace(blank, shown="input", side=0, low=wanted.low, high=wanted.high, column=column)

    def _wanted(self, name: str, op: str | None, value: Value | None) -> Interval:
        known = input_of(name)
        if op is None or value is None:
            return (known.test if known is not None else None) or TRUE
        if value.name is not None and known is not None and value.name in known.words:
            return known.words[value.name]
        return interval(op, self.limit(value))

    def _input_window(self, blank: Slot, term: Term, op: str | None, value: Value | None) -> Slot:
        if op is None or value is None or term.of is None:
            raise Unjudged("nothing to compare with")
        column = self._source(term.of, None, NO_INTERVAL)
        own_us = round(1e6 * (self.interval_s or 0.0))  # sampled when we report ourselves
        span = max(term.span_us, 3 * own_us)
        if term.name == "sum" and span > term.span_us:  # more time would be more of it
            span = max(term.span_us, own_us) + own_us // 2
        limit = self.limit(value)
        low, high = interval(op, limit)
        found = replace(blank, side=SIDES[op], limit=limit, low=low, high=high, percent=value.suffix == "%")
        return self._window(found, replace(term, span_us=span), value, SIDES[op], column.place + 1)

    def _told(self, name: str, own: Interval, within_us: int | None) -> Column | float:
        """A column, or the fact that a site parameter states."""
        stated = self.params.get(name)
        if stated is not None and math.isfinite(stated):
            return float(stated)
        return self._source(name, within_us, own)

    def _source(
        self,
        name: str,
        within_us: int | None,
        own: Interval,
        *,
        factor: float = 1.0,
        offset: float = 0.0,
    ) -> Column:
        self.looked_around = True
        linked = self.params.get(f"input.{name}")
        known = input_of(name)
        within = within_us or round((known.within_s if known else WITHIN_S) * 1e6)
        if linked is not None:
            source = Source(name, "number", (), False, within, factor, offset, int(linked))
        elif known is None:
            raise Unjudged(f"nothing tells {name}")
        else:
            parts = tuple(
                Part(self.category.key, own) if part.category == "same" else part for part in known.parts
            )
            source = Source(name, known.scope, parts, known.counting, within, factor, offset)
        if not told(self.key, source):
            raise Unjudged(f"no sensor nearby tells {name}")
        return self.add_source(source)

    def add_source(self, source: Source) -> Column:
        if source not in self.sources:
            self.sources.append(source)
        return Column(Kind.input, self.sources.index(source))


NO_INTERVAL = Interval()


def _is_counter(of: str | None) -> bool:
    known = input_of(of or "")
    if known is None or not known.parts:
        return False
    row = catalogue().get(known.parts[0].category)
    return row is not None and row.quantity.startswith("cumulative")


def _before(value: float) -> float:
    return math.nextafter(value, -math.inf)


def _after(value: float) -> float:
    return math.nextafter(value, math.inf)
