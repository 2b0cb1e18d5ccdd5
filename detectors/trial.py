"""The texts of a rule's own tests: runs of values, and messages that are expected.

>>> parse_values(("0.02 x 3", 3.25))
[0.02, 0.02, 0.02, 3.25]
>>> parse_expected("upgrade 1 at 35 min")
Expected(change='upgrade', level=1, at_s=2100.0)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from detectors.expression import SPANS_US

_RUN = re.compile(
    r"\s*(nan|[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)\s*(?:\.\.\s*([-+]?\d+(?:\.\d+)?)\s*)?(?:x\s*(\d+)\s*)?", re.I
)
_EXPECTED = re.compile(
    r"(raise|upgrade|downgrade|update|clear)(?: ([1-4]))?(?: at (\d+(?:\.\d+)?) ?(ms|s|min|h|d))?"
)
MOST = 100_000


class TrialError(ValueError):
    """Text that is no run of values, or no message."""


class Expected(NamedTuple):
    """`level` and `at_s` (since the first reading) are None where the test does not say."""

    change: str
    level: int | None
    at_s: float | None


def parse_values(values: Iterable[float | str]) -> list[float]:
    """Numbers, runs of one ("0.02 x 30") and straight lines ("1.0 .. 2.0 x 10"); nan is no reading."""
    out: list[float] = []
    for value in values:
        if isinstance(value, int | float):
            out.append(float(value))
            continue
        found = _RUN.fullmatch(value)
        count = int(found[3] or 1) if found else 0
        if found is None or not 1 <= count <= MOST or (found[2] and count < 2):
            raise TrialError(
                f"expected a number, or `NUMBER x TIMES`, or `FROM .. TO x TIMES`, got {value!r}"
            )
        first = float(found[1])
        last = float(found[2]) if found[2] else first
        step = (last - first) / (count - 1) if count > 1 else 0.0
        out += [first + i * step if math.isfinite(first) else math.nan for i in range(count)]
    return out


def parse_expected(text: str) -> Expected:
    found = _EXPECTED.fullmatch(text.strip())
    if found is None:
        raise TrialError(f"expected `raise 2`, `upgrade 1 at 35 min` or `clear`, got {text!r}")
    at_s = float(found[3]) * SPANS_US[found[4]] / 1e6 if found[3] else None
    return Expected(found[1], int(found[2]) if found[2] else None, at_s)
