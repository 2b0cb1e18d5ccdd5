"""Rule files: YAML that people write, read with the line and column of whatever is wrong.

A file is one rule. It is right if it is a rule by its schema, its detector can read its cells, its categories
are in the catalogue, its units convert, and it says what people are to do (cityvigil/rule_checks.py). Whether
the thresholds are wise is what tests and backtests are for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import yaml
from msgspec.structs import replace

from cityvigil import rule_units
from cityvigil.errors import CannotRun
from cityvigil.rule_checks import Wrong, out_of_bounds, wrong_with
from schemas import document
from schemas.model import ModelError, decode
from schemas.rule import Rule, RuleError, from_yaml

_AT = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.+)`")
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
    """The rules that are right, and a line for each thing that is wrong: FILE:LINE:COLUMN: what."""
    rules: list[tuple[Path, Rule]] = []
    problems: list[str] = []
    where: dict[str, Path] = {}
    for path in paths:
        try:
            text = document.text_of(path.read_bytes(), str(path))
        except document.Malformed as error:
            problems.append(str(error))
            continue
        except OSError as error:
            raise CannotRun(f"{path}: {error.strerror}") from None
        rule, wrong = check(text, str(path))
        problems += wrong
        if rule is None:
            continue
        if rule.name in where:
            problems.append(f"{path}:{_place(text, 'name')}: {rule.name} is also in {where[rule.name]}")
        where[rule.name] = path
        rules.append((path, rule))
    return rules, problems


def check(text: str, where: str) -> tuple[Rule | None, list[str]]:
    """One rule, its limits in its categories' unit, and what is wrong with it; None if it is no rule."""
    try:
        rule = from_yaml(text, where)
    except RuleError as error:
        message = str(error)
        if message.startswith(f"{where}: "):  # YAML's own complaint has its place already
            at = _AT.search(message)
            what = _AT.sub("", message[len(where) + 2 :])
            place = at[1] if at else ""
            unknown = _UNKNOWN.fullmatch(what)
            shown_at = _place(text, f"{place}.{unknown[1]}", key=True) if unknown else _place(text, place)
            message = f"{where}:{shown_at}: {f'{place}: ' if place else ''}{what}"
        return None, [message]
    if beyond := out_of_bounds(rule):
        return None, [f"{where}:{_place(text, place, at)}: {what}" for place, at, what in beyond]
    rule, units = rule_units.converted(rule)
    rule, models = _with_model(rule, Path(where).parent)
    found = [*wrong_with(rule), *units, *models]
    return rule, [f"{where}:{_place(text, place, at)}: {what}" for place, at, what in found]


def _with_model(rule: Rule, folder: Path) -> tuple[Rule, list[Wrong]]:
    """The rule with what the file holds that it names."""
    if not isinstance(rule.model, str):
        return rule, []
    path = folder / rule.model
    try:
        return replace(rule, model=decode(path.read_bytes())), []
    except OSError as error:
        return rule, [Wrong("model", 0, f"{path}: {error.strerror}")]
    except ModelError as error:
        return rule, [Wrong("model", 0, f"{path}: {error}")]
    except ValueError:  # a NUL in the name; ModelError is one too, and stands before
        return rule, [Wrong("model", 0, f"expected the name of a file, got {rule.model!r}")]


def _place(text: str, place: str, at: int = 0, *, key: bool = False) -> str:
    """LINE:COLUMN of character `at` of `place` ("selector.categories[0]"), or of what of it there is; with
    `key` of its name."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return "1:1"
    mark = node.start_mark if node else None
    for step in _STEP.findall(place):
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == step), None)
            if pair is None:
                at = 0
                break
            node = pair[1]
            own = isinstance(node, yaml.ScalarNode) and not key
            mark = node.start_mark if own else pair[0].start_mark
        elif isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
            node = node.value[int(step)]
            mark = node.start_mark
        else:
            at = 0
            break
    if mark is None:
        return "1:1"
    if at and isinstance(node, yaml.ScalarNode) and node.start_mark.line == node.end_mark.line:
        quote = 1 if node.style in ("'", '"') else 0
        return f"{mark.line + 1}:{mark.column + 1 + at + quote}"
    return f"{mark.line + 1}:{mark.column + 1}"
