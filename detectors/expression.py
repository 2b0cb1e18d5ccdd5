"""The threshold language: text of a cell to a tree, with the place of whatever is wrong.

    cell := group (`|` group)*        group := condition (`&` condition)*
    condition := term op value [for HOLD]  |  input [op value] [for HOLD]
    HOLD := T | N reports [in T] | NUMBER*NAME
    term := v | abs(v) | abs(v-NAME) | state | freeboard | hour | use | dev | ... | sum(T) | roc(T) | ...
            | abs(roc(T)) | ratio(NAME) | window(T)/window(T)
    input := NAME | NAME(T) | FUNCTION_NAME(T)
    value := number[%|sigma|/d] | number unit | number*NAME | number%NAME | NAME | NAME+number | NAME-number

`&` binds tighter than `|`, there are no parentheses around conditions. This only reads; what a
detector can judge of it is decided in detectors/binding.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import NamedTuple

SECOND_US = 1_000_000
SPANS_US = {
    "ms": 1_000,
    "s": SECOND_US,
    "min": 60 * SECOND_US,
    "h": 3_600 * SECOND_US,
    "d": 86_400 * SECOND_US,
    "days": 86_400 * SECOND_US,
    "nights": 86_400 * SECOND_US,
}
WINDOWED = frozenset({"sum", "mean", "max", "min", "roc", "drop", "swe", "growth"})
PLAIN = frozenset({"v", "state", "freeboard", "hour", "use", "dev", "dev_curve", "drop", "resid", "growth"})
COMPARISONS = (">=", "<=", "==", "<", ">")
_UNIT = re.compile(r"\s+(?!for\b)(?P<unit>[A-Za-z%\[/][^\s&|]*)")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<sign>>=|<=|==|[<>()&*%+/-]))"
)


class ExpressionError(ValueError):
    """Text that is no condition: what was expected, what stands there, and where (1-based)."""

    def __init__(self, text: str, at: int, expected: str) -> None:
        self.found = repr(text[at : at + 20]) if at < len(text) else "the end"
        super().__init__(f"column {at + 1}: expected {expected}, found {self.found} in {text!r}")
        self.at = at
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Term:
    """What is compared: `name` over `span_us` (0: now); `about` is the NAME in abs(v-NAME), ratio(NAME),
    `per` what it is divided by, `of` the input whose window it is (roc_pressure(5min))."""

    name: str
    span_us: int = 0
    absolute: bool = False
    about: str | None = None
    per: Term | None = None
    of: str | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """`number` alone, `number` times the parameter `name`, or `name` plus `offset`."""

    number: float = 1.0
    name: str | None = None
    offset: float = 0.0
    suffix: str = ""  # "%", "sigma", "/d"
    unit: str = ""  # as written after a number; "": the category's
    at: int = field(default=0, compare=False)  # where the number stands in the cell
    to: int = field(default=0, compare=False)  # and where it ends, unit included


@dataclass(frozen=True, slots=True)
class For:
    """How long a condition must hold: a time or a number of reports, whichever is not 0. `within_us`: so
    many reports in that time, in a row or not; `name`: `number` times that site parameter, in hours."""

    us: int = 0
    reports: int = 0
    within_us: int = 0
    name: str | None = None
    number: float = 0.0


@dataclass(frozen=True, slots=True)
class Condition:
    """`term op value`; for an input `term.name` is its name, and `op` may be missing."""

    text: str
    term: Term
    op: str | None
    value: Value | None
    hold: For | None
    is_input: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions that must hold together."""

    text: str
    conditions: tuple[Condition, ...]


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse_cell(text: str) -> tuple[Group, ...]:
    """The groups of a cell, any of which suffices. Raises ExpressionError.

    >>> [group.text for group in parse_cell("v<=0.10|roc(5min)<=-0.05")]
    ['v<=0.10', 'roc(5min)<=-0.05']
    """
    groups = []
    for part in parse_groups(text):
        if isinstance(part, ExpressionError):
            raise part
        groups.append(part)
    return tuple(groups)


def parse_groups(text: str) -> list[Group | ExpressionError]:
    """The same, with an error in place of each group that is none: the others of the cell still count."""
    groups: list[Group | ExpressionError] = []
    start = 0
    for piece in text.split("|"):
        try:
            groups.append(_Reader(text, start, start + len(piece)).group())
        except ExpressionError as error:
            groups.append(error)
        start += len(piece) + 1
    return groups


class _Reader:
    def __init__(self, text: str, start: int, end: int) -> None:
        self.text, self.start, self.end = text, start, end
        self.tokens: list[_Token] = []
        at = start
        while text[at:end].strip():
            found = (self.after_limit() and _UNIT.match(text, at, end)) or _TOKEN.match(text, at, end)
            if found is None:
                raise ExpressionError(
                    text, at + len(text[at:end]) - len(text[at:end].lstrip()), "a condition"
                )
            kind = found.lastgroup or ""
            self.tokens.append(_Token(kind, found[kind], found.start(kind)))
            at = found.end()
        self.next = 0

    def after_limit(self) -> bool:
        """Whether the token just read is the number of a limit, behind which a unit may stand."""
        before = [token.text for token in self.tokens[-3:-1] if token.text != "-"]
        return bool(before) and self.tokens[-1].kind == "number" and before[-1] in COMPARISONS

    def fail(self, expected: str) -> ExpressionError:
        at = self.tokens[self.next].at if self.next < len(self.tokens) else self.end
        return ExpressionError(self.text, at, expected)

    def take(self, kind: str, *texts: str) -> str | None:
        if self.next < len(self.tokens):
            token = self.tokens[self.next]
            if token.kind == kind and (not texts or token.text in texts):
                self.next += 1
                return token.text
        return None

    def need(self, kind: str, expected: str, *texts: str) -> str:
        found = self.take(kind, *texts)
        if found is None:
            raise self.fail(expected)
        return found

    def group(self) -> Group:
        conditions = [self.condition()]
        while self.take("sign", "&"):
            conditions.append(self.condition())
        if self.next < len(self.tokens):
            raise self.fail("`&`, `|`, `for` or the end")
        return Group(self.text[self.start : self.end].strip(), tuple(conditions))

    def condition(self) -> Condition:
        first = self.next
        name = self.need("name", "a term or an input")
        term, is_input = self.term(name)
        op = self.take("sign", *COMPARISONS)
        if op is None and not is_input:
            raise self.fail("a comparison")
        value = self.value() if op else None
        hold = self.hold() if self.take("name", "for") else None
        last = self.tokens[self.next - 1]
        text = self.text[self.tokens[first].at : last.at + len(last.text)]
        return Condition(text, term, op, value, hold, is_input)

    def term(self, name: str) -> tuple[Term, bool]:
        if not self.take("sign", "("):
            return Term(name), name not in PLAIN
        is_input = False
        if name == "abs":
            inner = self.need("name", "v, resid or roc", "v", "resid", "roc")
            if inner == "roc":
                self.need("sign", "`(`", "(")
                term = Term(inner, span_us=self.span(), absolute=True)
                self.need("sign", "`)`", ")")
            else:
                minus = inner == "v" and self.take("sign", "-")
                term = Term(inner, absolute=True, about=self.need("name", "a parameter") if minus else None)
        elif name == "ratio":
            term = Term("ratio", about=self.need("name", "a parameter"))
        elif "_" in name and name.partition("_")[0] in WINDOWED:
            function, _, of = name.partition("_")
            term, is_input = Term(function, span_us=self.span(), of=of), True
        else:
            term, is_input = Term(name, span_us=self.span()), name not in WINDOWED
        self.need("sign", "`)`", ")")
        if self.next < len(self.tokens) and self.tokens[self.next].text == "/":
            self.next += 1
            per, other = self.term(self.need("name", "a window"))
            if other or is_input or not per.span_us:
                raise self.fail("a window")
            return replace(term, per=per), False
        return term, is_input

    def span(self) -> int:
        number = float(self.need("number", "a time span"))
        return round(number * SPANS_US[self.need("name", "a unit of time", *SPANS_US)])

    def hold(self) -> For:
        number = float(self.need("number", "a time span or a number of reports"))
        if self.take("name", "reports", "nights"):  # a nightly quantity reports once a night
            within = self.span() if self.take("name", "in") else 0
            return For(reports=int(number), within_us=within)
        if self.take("sign", "*"):
            return For(name=self.need("name", "a parameter"), number=number)
        return For(us=round(number * SPANS_US[self.need("name", "a unit of time", *SPANS_US)]))

    def value(self) -> Value:
        if name := self.take("name"):
            if sign := self.take("sign", "+", "-"):
                offset = float(self.need("number", "a number"))
                return Value(name=name, offset=-offset if sign == "-" else offset)
            return Value(name=name)
        at = self.tokens[self.next].at if self.next < len(self.tokens) else self.end
        minus = self.take("sign", "-")
        number = float(self.need("number", "a number or a parameter")) * (-1 if minus else 1)
        last = self.tokens[self.next - 1]
        to = last.at + len(last.text)
        if self.take("sign", "*"):
            return Value(number, self.need("name", "a parameter"))
        if unit := self.take("unit"):
            last = self.tokens[self.next - 1]
            return Value(number, unit=unit, at=at, to=last.at + len(unit))
        if self.take("sign", "%"):
            if self.next < len(self.tokens) and self.tokens[self.next].text != "for":
                name = self.take("name")
                if name:
                    return Value(number / 100, name)
            return Value(number, suffix="%")
        if self.take("sign", "/"):
            self.need("name", "d", "d")
            return Value(number, suffix="/d")
        return Value(number, suffix=self.take("name", "sigma") or "", at=at, to=to)
