"""Rule files: YAML that people write, read with the line of whatever is wrong.

A file is one rule. It is right if it is a rule by its schema, its detector can read its cells, and its
categories are in the catalogue. Whether the thresholds are wise is what tests and backtests are for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from cityvigil.errors import CannotRun
from detectors.expression import ExpressionError, parse_groups
from detectors.hold import parse_hold
from schemas.catalogue import catalogue
from schemas.rule import Rule, RuleError, from_yaml

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_AT = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`")
_STEP = re.compile(r"([^.\[\]]+)")


def find(paths: Iterable[str]) -> list[Path]:
    """The files themselves, and every .yaml and .yml below the folders. Raises CannotRun."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml"))
            if not inside:
                raise CannotRun(f"{path}: no .yaml file in this folder")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise CannotRun(f"{path}: no such file or folder")
    return found


def read(paths: Iterable[Path]) -> tuple[list[tuple[Path, Rule]], list[str]]:
    """The rules that are right, and a line for each thing that is wrong: FILE:LINE: what."""
    rules: list[tuple[Path, Rule]] = []
    problems: list[str] = []
    where: dict[str, Path] = {}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            problems.append(f"{path}:1: not UTF-8 at byte {error.start}")
            continue
        rule, wrong = check(text, str(path))
        problems += wrong
        if rule is None:
            continue
        if rule.name in where:
            problems.append(f"{path}:{_line(text, 'name')}: {rule.name} is also in {where[rule.name]}")
        where[rule.name] = path
        rules.append((path, rule))
    return rules, problems


def check(text: str, where: str) -> tuple[Rule | None, list[str]]:
    """One rule and what is wrong with it; None if it is no rule at all."""
    try:
        rule = from_yaml(text, where)
    except RuleError as error:
        message = str(error)
        if message.startswith(f"{where}: "):  # YAML's own complaint has its place already
            at = _AT.search(message)
            what = _AT.sub("", message[len(where) + 2 :])
            message = f"{where}:{_line(text, at[1] if at else '')}: {f'{at[1]}: ' if at else ''}{what}"
        return None, [message]
    return rule, [f"{where}:{_line(text, place)}: {what}" for place, what in _wrong(rule)]


def _wrong(rule: Rule) -> Iterator[tuple[str, str]]:
    """(place, what) of each thing that a rule of the right shape can still have wrong."""
    if not _NAME.fullmatch(rule.name):
        yield "name", f"expected lower-case letters, digits and -, got {rule.name!r}"
    if rule.name == "version":
        yield "name", "version is the key of version markers, no name for a rule"
    for category in rule.selector.categories:
        if category not in catalogue():
            yield "selector.categories", f"{category!r} is no category of the catalogue"
    if not rule.levels:
        yield "levels", "expected at least one level"
    for level, cell in rule.levels.items():
        place = f"levels.{level}"
        if level not in (1, 2, 3, 4):
            yield place, f"expected a level from 1 to 4, got {level}"
        elif rule.detector == "threshold":
            for group in parse_groups(cell):
                if isinstance(group, ExpressionError):
                    yield place, str(group)
    if isinstance(hold := parse_hold(rule.hold), str):
        yield "hold", hold


def _line(text: str, place: str) -> int:
    """The line of `place` ("selector.categories[0]"), or of what of it there is."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return 1
    line = node.start_mark.line + 1 if node else 1
    for step in _STEP.findall(place):
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == step), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
            node = node.value[int(step)]
            line = node.start_mark.line + 1
        else:
            break
    return line
