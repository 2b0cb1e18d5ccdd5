"""What a point that nobody registered probably measures: from its name, its unit and the values it sent.

Pure, and a suggestion only: a person decides. Points of the same gateway whose names differ by a number only
weigh most, then the unit, then words of the name, then whether the values are plausible for the category.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from schemas.catalogue import Category, catalogue

MOST = 3
LEAST_SCORE = 2.0

# What field engineers write: what the catalogue's keys say.
_WRITTEN = """
ch4 jw: methane
rq: gas
yl press pres mpa kpa: pressure
ll: flow
yw sw shuiwei: level depth
wd temp: temperature
sd hum: humidity
yb: strain
zd acc: vibration acceleration
qj qx: tilt inclination
yg yan: smoke
turb zd: turbidity
cl yl: chlorine
jg: cover
curr dl: current
volt dy: voltage
"""
_WORDS: Mapping[str, tuple[str, ...]] = {
    token: tuple(means.split())
    for tokens, _, means in (line.partition(":") for line in _WRITTEN.strip().splitlines())
    for token in tokens.split()
}
_STEM = re.compile(r"[\W_]*\d*[\W_]*$")
_LATIN = re.compile(r"[a-z]+[0-9]?(?![a-z])|[a-z]+")


class Suggestion(NamedTuple):
    """`why` are keys of reasons: sibling, gateway, unit, name, values."""

    category: str
    score: float
    why: tuple[str, ...]


def suggest(
    point: str, unit: str | None, values: Sequence[float], siblings: Iterable[tuple[str, str]] = ()
) -> list[Suggestion]:
    """The best first, at most three; none rather than a guess. `siblings` are (point, category) of the same
    gateway.

    >>> [one.category for one in suggest("ch4-07", "%{vol}", [0.02, 0.05])][:2]
    ['drain_sewer_methane', 'gas_manhole_methane']
    >>> suggest("x", None, [])
    []
    """
    stem, known = stem_of(point), list(siblings)
    alike = {category for name, category in known if stem and stem_of(name) == stem}
    beside = {category for _, category in known}
    rows = catalogue().values()
    found = [scored for row in rows if (scored := _judged(row, point, unit, values, alike, beside))]
    return sorted(found, key=lambda one: (-one.score, one.category))[:MOST]


def stem_of(point: str) -> str:
    """A name without its number at the end.

    >>> stem_of("ch4-07"), stem_of("压力_1#")
    ('ch4', '压力')
    """
    return _STEM.sub("", point.lower())


def _judged(
    row: Category,
    point: str,
    unit: str | None,
    values: Sequence[float],
    alike: set[str],
    beside: set[str],
) -> Suggestion | None:
    score, why = 0.0, []
    if row.key in alike:
        score, why = 4.0, ["sibling"]
    if unit and unit == row.unit:
        score += 2.0
        why.append("unit")
    elif unit and row.unit != "1":
        return None  # what measures in another unit is something else
    words = _shared(point, row.key, row.name_zh + row.device_type)
    if words:
        score += min(words, 3)
        why.append("name")
    real = [value for value in values if math.isfinite(value)]
    if real:
        inside = sum(row.plausible_min <= value <= row.plausible_max for value in real) / len(real)
        if inside < 0.5:
            return None
        if score and inside == 1.0:
            score += 0.5 + 0.5 * _tightness(row, real)
            why.append("values")
    if score and row.key in beside and row.key not in alike:
        score += 0.75
        why.append("gateway")
    return Suggestion(row.key, round(score, 2), tuple(why)) if score >= LEAST_SCORE else None


def _shared(point: str, key: str, names: str) -> int:
    """How many words of the point's name the category has too."""
    tokens = set(_LATIN.findall(point.lower()))
    meant = {word for token in tokens for word in (token, *_WORDS.get(token, ()))}
    parts = set(key.split("_"))
    chinese = re.findall(r"[\u4e00-\u9fff]{2,}", point)
    pairs = {text[i : i + 2] for text in chinese for i in range(len(text) - 1)}
    return len(meant & parts) + sum(pair in names for pair in pairs)


def _tightness(row: Category, values: Sequence[float]) -> float:
    """1 where the values fill the category's range, towards 0 where they are lost in it."""
    span = row.plausible_max - row.plausible_min
    biggest = max(abs(value) for value in values)
    return min(1.0, biggest / span) if span > 0 and math.isfinite(span) else 0.0
