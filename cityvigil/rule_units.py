"""Limits written in another unit than the category's: turned into the category's, or an error.

Detectors know one unit a category, the catalogue's. A limit may carry its unit ("v>=350 kPa"), or the whole
rule may (`unit: kPa`); both are converted here, before a rule is published. Differences (roc, drop,
abs(v-sp)) take the factor without the offset.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from detectors.expression import Condition, ExpressionError, parse_groups
from ingest.units import Conversion, conversion
from schemas.catalogue import catalogue
from schemas.rule import Rule

_DIFFERENCES = frozenset({"roc", "drop"})
_UNITLESS = frozenset({"state", "hour", "dev", "ratio", "growth"})


class WrongUnit(NamedTuple):
    """What is wrong with the unit of a limit; `at` is where in the cell."""

    place: str
    at: int
    what: str


def converted(rule: Rule) -> tuple[Rule, list[WrongUnit]]:
    """The rule with its limits in its categories' unit; what could not be converted is left as it was."""
    wrong: list[WrongUnit] = []
    levels = {}
    for level, cell in rule.levels.items():
        text = cell
        for condition in reversed(list(_conditions(cell))):
            value = condition.value
            if value is None or (not value.unit and not rule.unit):
                continue
            unit = value.unit or _own(rule, condition)
            if not unit:
                continue
            given = _conversion(rule, unit)
            place = f"levels.{level}"
            if condition.is_input and value.unit:
                wrong.append(WrongUnit(place, value.at, f"the limit of an input has no unit, got {unit!r}"))
            elif isinstance(given, str):
                wrong.append(WrongUnit(place, value.at, given))
            elif value.to:
                differs = condition.term.name in _DIFFERENCES or condition.term.about is not None
                offset = 0.0 if differs else given.offset
                number = value.number * given.factor / given.divisor + offset
                text = f"{text[: value.at]}{number:.12g}{text[value.to :]}"
        levels[level] = text
    return (rule if wrong else replace(rule, levels=levels, unit="")), wrong


def _own(rule: Rule, condition: Condition) -> str:
    """The rule's unit where it can be meant."""
    value = condition.value
    meant = value is not None and value.to and not value.suffix and condition.term.name not in _UNITLESS
    return rule.unit if meant and not condition.is_input else ""


def _conversion(rule: Rule, unit: str) -> Conversion | str:
    units = {catalogue()[key].unit for key in rule.selector.categories if key in catalogue()}
    if not units:
        return f"the unit {unit!r} needs selector.categories to convert to"
    found = {own: conversion(unit, own) for own in sorted(units)}
    for own, line in found.items():
        if line is None:
            return f"expected a unit that converts to {own}, got {unit!r}"
    lines = {line for line in found.values() if line is not None}
    if len(lines) > 1:
        return f"the categories measure in {', '.join(sorted(units))}: a limit in {unit!r} is several numbers"
    return lines.pop()


def _conditions(cell: str) -> Iterator[Condition]:
    for group in parse_groups(cell):
        if not isinstance(group, ExpressionError):
            yield from group.conditions
