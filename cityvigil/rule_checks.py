"""What a rule of the right shape can still have wrong: each with its place in the document.

Places are paths ("levels.2", "tests[0].values[3]") and a character in the text there. Where it stands in a
file is cityvigil/rule_files.py's.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import string
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from detectors.expression import SPANS_US, ExpressionError, parse_groups
from detectors.hold import parse_hold
from detectors.registry import MEASURES, MODELS, PARAMS, ROLES, WITHOUT_MODEL
from detectors.schedule import ScheduleError, parse_hours
from detectors.trial import TrialError, parse_expected, parse_values
from detectors.verdict import CellError, limits_of, read
from detectors.wording import PLACES
from schemas.catalogue import catalogue
from schemas.model import Model, ModelError
from schemas.rule import Members, Rule

_TOO_MANY = re.compile(r"\d{16}")
_SPAN = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(SPANS_US)})\b")
_LONGEST_US = 10 * 366 * 86_400_000_000
_MOST_TOGETHER, _LONGEST_NAME = 10_000, 100
_OFTENEST_S, _RAREST_S = 0.001, 366 * 86_400.0
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Wrong(NamedTuple):
    place: str
    at: int  # 0-based, in the text that stands there
    what: str


def wrong_with(rule: Rule) -> list[Wrong]:
    """Everything at once, in the order of the document."""
    return [
        *_names(rule),
        *_levels(rule),
        *_members(rule),
        *_model(rule),
        *_params(rule),
        *_times(rule),
        *_messages(rule),
        *_response(rule),
        *_trials(rule),
    ]


def out_of_bounds(rule: Rule) -> list[Wrong]:
    """Numbers that JSON, a clock or an array cannot hold; nothing else is looked at before these are gone."""
    found = [
        Wrong(place, 0, f"expected a number that is finite, got {value}")
        for place, value in _floats(msgspec.to_builtins(rule))
        if not math.isfinite(value)
    ]
    texts = [(f"levels.{level}", cell) for level, cell in rule.levels.items()]
    texts += [("hold", rule.hold), ("clear", rule.clear)]
    for i, trial in enumerate(rule.tests):
        runs = [("values", trial.values), ("expect", trial.expect)]
        runs += [(f"others[{j}].values", other.values) for j, other in enumerate(trial.others)]
        texts += [
            (f"tests[{i}].{name}[{j}]", value)
            for name, run in runs
            for j, value in enumerate(run)
            if isinstance(value, str)
        ]
    for place, text in texts:
        if digits := _TOO_MANY.search(text):
            found.append(Wrong(place, digits.start(), "expected numbers of at most 15 digits"))
            continue
        for span in _SPAN.finditer(text):
            if float(span[1]) * SPANS_US[span[2]] > _LONGEST_US:
                found.append(Wrong(place, span.start(), f"expected at most ten years, got {span[0]!r}"))
    return found


def _floats(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Of what a document holds, with their places."""
    if isinstance(value, float):
        yield place, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _floats(part, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from _floats(part, f"{place}[{i}]")


def _names(rule: Rule) -> Iterator[Wrong]:
    if not _NAME.fullmatch(rule.name) or len(rule.name) > _LONGEST_NAME:
        told = f"expected lower-case letters, digits and -, at most {_LONGEST_NAME}, got {rule.name[:120]!r}"
        yield Wrong("name", 0, told)
    if rule.name == "version":
        yield Wrong("name", 0, "version is the key of version markers, no name for a rule")
    for i, category in enumerate(rule.selector.categories):
        if category not in catalogue():
            yield Wrong(f"selector.categories[{i}]", 0, f"{category!r} is no category of the catalogue")


def _levels(rule: Rule) -> Iterator[Wrong]:
    if not rule.levels:
        yield Wrong("levels", 0, "expected at least one level")
    for level, cell in rule.levels.items():
        place = f"levels.{level}"
        if level not in (1, 2, 3, 4):
            yield Wrong(place, 0, f"expected a level from 1 to 4, got {level}")
        elif rule.detector == "threshold":
            for group in parse_groups(cell):
                if isinstance(group, ExpressionError):
                    yield Wrong(place, group.at, f"expected {group.expected}, found {group.found}")


def _model(rule: Rule) -> Iterator[Wrong]:
    read = MODELS.get(rule.detector)
    if read is None:
        if rule.model is not None:
            yield Wrong("model", 0, f"expected a detector of {', '.join(MODELS)}, got {rule.detector}")
    elif rule.model is None:
        if rule.detector in WITHOUT_MODEL:
            return
        yield Wrong("model", 0, "expected a model file; `cityvigil rules fit` and `rules pipes` write them")
    elif isinstance(rule.model, Model):
        try:
            read(rule.model)
        except ModelError as error:
            yield Wrong("model", 0, str(error))


def _params(rule: Rule) -> Iterator[Wrong]:
    known = PARAMS.get(rule.detector)
    if known is None:
        return
    for name, value in rule.params.items():
        if name not in known:
            yield Wrong(f"params.{name}", 0, f"expected one of {', '.join(known)}")
        elif not known[name][0] <= value <= known[name][1]:
            low, high = known[name]
            yield Wrong(f"params.{name}", 0, f"expected a number from {low:g} to {high:g}, got {value:g}")


def _members(rule: Rule) -> Iterator[Wrong]:
    roles = ROLES.get(rule.detector)
    if roles is None:
        if rule.members is not None:
            yield Wrong("members", 0, f"expected a detector of {', '.join(ROLES)}, got {rule.detector}")
        return
    try:
        measure = limits_of(rule).measure
        if measure not in MEASURES[rule.detector]:
            known = ", ".join(sorted(MEASURES[rule.detector]))
            yield Wrong("levels", 0, f"{rule.detector} measures {known}, got cells of {measure}")
    except CellError as error:
        levels = [level for level, cell in rule.levels.items() if not _reads(cell)]
        yield Wrong(f"levels.{levels[0]}" if levels else "levels", 0, str(error))
    if not rule.selector.categories:
        yield Wrong("selector", 0, f"expected categories: {rule.detector} judges them together")
    wanted = rule.members or Members()
    for name, value in (("every_s", wanted.every_s >= 1), ("within_s", wanted.within_s >= 0)):
        if not value:
            least = 1 if name == "every_s" else 0
            yield Wrong(f"members.{name}", 0, f"expected seconds, {least} or more")
    for name, role in wanted.roles.items():
        if name not in roles:
            known = ", ".join(sorted(roles)) or "none"
            yield Wrong(f"members.roles.{name}", 0, f"expected a role that {rule.detector} knows: {known}")
        for i, category in enumerate(role.categories):
            if category not in catalogue():
                place = f"members.roles.{name}.categories[{i}]"
                yield Wrong(place, 0, f"{category!r} is no category of the catalogue")


def _reads(cell: str) -> bool:
    try:
        read(cell)
    except CellError:
        return False
    return True


def _times(rule: Rule) -> Iterator[Wrong]:
    for place, text in (("hold", rule.hold), ("clear", rule.clear)):
        if isinstance(hold := parse_hold(text), str):
            yield Wrong(place, 0, f"{hold}: expected a time, a number of reports, or -")
    if rule.hysteresis is not None and not rule.hysteresis >= 0:
        yield Wrong("hysteresis", 0, f"expected a number from 0 up, got {rule.hysteresis:g}")
    if rule.schedule is not None:
        for i, hours in enumerate(rule.schedule.hours):
            try:
                parse_hours(hours)
            except ScheduleError as error:
                yield Wrong(f"schedule.hours[{i}]", 0, str(error))
        for i, month in enumerate(rule.schedule.months):
            if not 1 <= month <= 12:
                yield Wrong(f"schedule.months[{i}]", 0, f"expected a month from 1 to 12, got {month}")
    if rule.group is not None:
        if rule.group.at_least < 2:
            yield Wrong("group.at_least", 0, f"expected at least 2, got {rule.group.at_least}")
        if rule.group.at_least > _MOST_TOGETHER:
            yield Wrong("group.at_least", 0, f"expected at most {_MOST_TOGETHER}, got {rule.group.at_least}")
        if not 0 < rule.group.within_s <= _LONGEST_US / 1e6:
            yield Wrong("group.within_s", 0, f"expected seconds above 0, got {rule.group.within_s:g}")
        if rule.detector != "threshold":
            yield Wrong("group", 0, f"expected detector threshold with a group, got {rule.detector}")


def _messages(rule: Rule) -> Iterator[Wrong]:
    for language in ("zh", "en"):
        text = getattr(rule.messages, language)
        try:
            names = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
        except ValueError as error:
            yield Wrong(f"messages.{language}", 0, f"expected text with {{places}}: {error}")
            continue
        for name in names:
            if name not in PLACES:
                at = text.find(f"{{{name}")
                known = ", ".join(sorted(PLACES))
                yield Wrong(f"messages.{language}", at, f"expected one of {known}, found {name!r}")


def _response(rule: Rule) -> Iterator[Wrong]:
    levels = frozenset(rule.levels)
    if rule.response is not None:
        for what in rule.response.missing(levels):
            place, _, told = what.partition(": ")
            yield Wrong(f"response.{place}", 0, told)
    elif grave := sorted(levels & {1, 2, 3}):
        told = f"expected a response card: the rule has level {grave[0]}, and people must know what to do"
        yield Wrong("response", 0, told)
    if rule.asks == "nothing" and rule.mode not in ("shadow", "draft"):
        yield Wrong("mode", 0, f"expected shadow, got {rule.mode}: the rule asks nothing of anybody")


def _trials(rule: Rule) -> Iterator[Wrong]:
    for i, trial in enumerate(rule.tests):
        place = f"tests[{i}]"
        category = trial.category or next(iter(rule.selector.categories), "")
        if category not in catalogue():
            yield Wrong(f"{place}.category", 0, f"{category!r} is no category of the catalogue")
        for j, other in enumerate(trial.others):
            if other.category not in catalogue():
                told = f"{other.category!r} is no category of the catalogue"
                yield Wrong(f"{place}.others[{j}].category", 0, told)
        if not _OFTENEST_S <= trial.every_s <= _RAREST_S:
            told = f"expected seconds from {_OFTENEST_S:g} to {_RAREST_S:g}, got {trial.every_s:g}"
            yield Wrong(f"{place}.every_s", 0, told)
        try:
            start = dt.datetime.fromisoformat(trial.start)
        except ValueError:
            start = None
        if start is None or start.tzinfo is None or not 1970 <= start.year < 2200:
            told = f"expected a time like 2026-03-02T08:00:00+08:00, got {trial.start[:80]!r}"
            yield Wrong(f"{place}.start", 0, told)
        for name, values in (("values", trial.values), *((f"others[{j}].values", o.values)
                             for j, o in enumerate(trial.others))):  # fmt: skip
            for j, value in enumerate(values):
                try:
                    parse_values((value,))
                except TrialError as error:
                    yield Wrong(f"{place}.{name}[{j}]", 0, str(error))
        for j, expected in enumerate(trial.expect):
            try:
                parse_expected(expected)
            except TrialError as error:
                yield Wrong(f"{place}.expect[{j}]", 0, str(error))
