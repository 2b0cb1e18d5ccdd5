"""The least limits of a sensor: below `low` or above `high` its device calls its own value abnormal.

Read from the simple conditions of its catalogue row (a comparison of v, abs(v) or state with a number or a
share of a site parameter). Rates, deviations and named inputs are the platform's business and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from schemas.catalogue import Category

_SIMPLE = re.compile(
    r"(?P<term>v|abs\(v\)|abs\(v-sp\)|state)\s*(?P<op>>=|<=|==|<|>)\s*"
    r"(?:(?P<factor>[0-9.]+)(?:(?P<percent>%)|\*))?(?P<value>[0-9.]+|[a-z_]+)"
    r"(?:(?P<sign>[+-])(?P<shift>[0-9.]+))?(?:\s+for\s.*)?"
)
NO_LIMIT = float("inf")


class Limits(NamedTuple):
    low: float = -NO_LIMIT
    high: float = NO_LIMIT


def limits_of(category: Category, params: Mapping[str, float]) -> Limits:
    """The nearest limit on each side, over all levels; a condition whose parameter is absent is skipped.

    >>> from schemas.catalogue import catalogue
    >>> limits_of(catalogue()["gas_manhole_methane"], {})
    Limits(low=-inf, high=0.5)
    >>> limits_of(catalogue()["bridge_strain"], {"design": 400.0})
    Limits(low=-200.0, high=200.0)
    """
    lows, highs = [-NO_LIMIT], [NO_LIMIT]
    for cell in category.levels.values():
        for clause in cell.split("|"):
            found = _SIMPLE.fullmatch(clause.strip())
            limit = _value(found, params) if found else None
            if not found or limit is None:
                continue
            match found["term"], found["op"]:
                case "abs(v)", _:
                    lows.append(-limit)
                    highs.append(limit)
                case "abs(v-sp)", _ if "sp" in params:
                    lows.append(params["sp"] - limit)
                    highs.append(params["sp"] + limit)
                case _, ">=" | ">" | "==":
                    highs.append(limit)
                case _, "<=" | "<":
                    lows.append(limit)
    return Limits(max(lows), min(highs))


def _value(found: re.Match[str], params: Mapping[str, float]) -> float | None:
    name, factor = found["value"], float(found["factor"] or 1)
    if found["percent"]:
        factor /= 100
    if name[0].isdigit() or name[0] == ".":
        value = float(name)
    elif name in params:
        value = params[name]
    else:
        return None
    shift = float(found["shift"] or 0)
    return factor * value + (-shift if found["sign"] == "-" else shift)
