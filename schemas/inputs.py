"""Inputs: what a threshold cell may name beside its own value, and which other sensors tell it.

`inputs.csv` says for each name where to look (the same asset, else the zone; or the zone), at which
categories, and whether to take the newest value or to count the sensors beyond a limit. An input that is in
no row can still be told: a category's own key names the sensor of that category at the asset or in the zone,
the site parameter `input.NAME` names a sensor by its number, and the site parameter NAME states a fact.
"""

from __future__ import annotations

import csv
import functools
import math
import re
from importlib import resources
from typing import NamedTuple

from schemas.catalogue import catalogue

WITHIN_S = 172_800.0
_PART = re.compile(r"([a-z0-9_]+)(?:(>=|<=|<|>)([0-9.]+))?")


class Interval(NamedTuple):
    low: float = -math.inf
    high: float = math.inf


class Part(NamedTuple):
    """A category to look at, and where its value counts. `same` is the rule's own category."""

    category: str
    counts: Interval = Interval()


class Input(NamedTuple):
    """`test` is what the bare name means of the value, `words` what NAME==WORD does."""

    name: str
    scope: str  # asset | zone
    parts: tuple[Part, ...]
    counting: bool
    test: Interval | None
    own_level: int  # of a `same` part: the rule's level whose limit counts; 0: the condition's own
    words: dict[str, Interval]
    within_s: float
    name_zh: str
    name_en: str


def interval(op: str, limit: float) -> Interval:
    """Where `value op limit` holds.

    >>> interval("<", 1.0).high < 1.0
    True
    """
    return {
        ">=": Interval(limit, math.inf),
        ">": Interval(math.nextafter(limit, math.inf), math.inf),
        "<=": Interval(-math.inf, limit),
        "<": Interval(-math.inf, math.nextafter(limit, -math.inf)),
        "==": Interval(limit, limit),
    }[op]


@functools.cache
def inputs() -> dict[str, Input]:
    text = resources.files("schemas").joinpath("inputs.csv").read_text(encoding="utf-8")
    found = {row["name"]: _input(row) for row in csv.DictReader(text.splitlines())}
    for one in found.values():
        for part in one.parts:
            if part.category != "same" and part.category not in catalogue():
                raise ValueError(f"inputs.csv, {one.name!r}: no category {part.category!r}")
    return found


def input_of(name: str) -> Input | None:
    """The row of a name; a category's key stands for a sensor of that category."""
    if name in inputs():
        return inputs()[name]
    if (row := catalogue().get(name)) is not None:
        within_s = max(3 * row.interval_s, 900.0) if row.interval_s else WITHIN_S
        test = Interval(1.0, math.inf) if row.is_state else None
        return Input(name, "asset", (Part(name),), False, test, 0, {}, within_s, row.name_zh, row.quantity)
    return None


def _input(row: dict[str, str]) -> Input:
    try:
        test, own = row["test"], 0
        if test.startswith("level "):
            own, test = int(test[6:]), ""
        elif test == "own":
            test = ""
        counting = row["counts"] == "yes"
        parts = tuple(_part(text, test if counting else "") for text in row["categories"].split())
        words = {text.rstrip("<>=0123456789."): _part(text, "").counts for text in row["words"].split()}
        return Input(
            row["name"],
            row["scope"],
            parts,
            counting,
            Interval(1.0, math.inf) if counting else _test(test),
            own,
            words,
            float(row["within_s"]),
            row["name_zh"],
            row["name_en"],
        )
    except (KeyError, ValueError) as error:
        raise ValueError(f"inputs.csv, {row.get('name')!r}: {error}") from error


def _part(text: str, test: str) -> Part:
    found = _PART.fullmatch(text)
    if found is None:
        raise ValueError(f"expected CATEGORY>=NUMBER, got {text!r}")
    if found[2]:
        return Part(found[1], interval(found[2], float(found[3])))
    return Part(found[1], _test(test) or Interval())


def _test(text: str) -> Interval | None:
    found = re.fullmatch(r"(>=|<=|==|<|>)([0-9.]+)", text)
    return interval(found[1], float(found[2])) if found else None
