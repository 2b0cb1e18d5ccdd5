"""The catalogue's hold_or_window: how long a condition without its own `for` must hold.

"30 s", "3 samples (roc: 1)", "6 h (L1: 2 reports)", "rolling": a time, a number of reports in a row, or
nothing because the value is already a mean or a maximum over the window. A wording that is none of
these gives a reason instead of a hold: such conditions are unguarded, never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from detectors.expression import SPANS_US, For

NOTHING = frozenset({"", "-", "as stated", "nights as stated", "rolling", "derived"})
_IS_A_WINDOW = re.compile(r"(?:max|mean) in .+|[\d.]+[ -](?:min|h) mean")
_MAIN = re.compile(
    r"(?P<number>[\d.]+) (?:consecutive )?(?:fast )?"
    r"(?:(?P<unit>ms|s|min|h|d)|(?P<reports>reports?|samples?|windows|frames|events?|vehicles?))"
    r"(?: \((?P<who>L[1-4]|roc): (?P<other>[^)]+)\))?"
)
_OFTEN = re.compile(
    r"(?P<number>\d+) (?:bursts|reports|samples|times) in (?P<time>[\d.]+) ?(?P<unit>s|min|h|d)"
)
AT_ONCE = For()
_OTHER = re.compile(r"(?P<number>[\d.]+)(?: (?:(?P<unit>ms|s|min|h|d)|reports?|samples?))?")


@dataclass(frozen=True, slots=True)
class Hold:
    """`usual`, but `other` for level `level` or for conditions on the window function `function`."""

    usual: For = AT_ONCE
    other: For | None = None
    level: int | None = None
    function: str | None = None

    def of(self, level: int, function: str) -> For:
        if self.other is not None and (level == self.level or function == self.function):
            return self.other
        return self.usual


@lru_cache(maxsize=1024)
def parse_hold(text: str) -> Hold | str:
    """The hold, or the reason why there is none.

    >>> parse_hold("3 samples (roc: 1)").of(2, "roc")
    For(us=0, reports=1, within_us=0, name=None, number=0.0)
    >>> parse_hold("3 bursts in 60 s").usual
    For(us=0, reports=3, within_us=60000000, name=None, number=0.0)
    >>> parse_hold("a good while")
    "hold 'a good while' is not evaluated"
    """
    text = text.strip()
    if text in NOTHING or _IS_A_WINDOW.fullmatch(text):
        return Hold()
    if often := _OFTEN.fullmatch(text):
        within = round(float(often["time"]) * SPANS_US[often["unit"]])
        return Hold(For(reports=int(often["number"]), within_us=within))
    main = _MAIN.fullmatch(text)
    if main is None:
        return f"hold {text!r} is not evaluated"
    usual = _for(main["number"], main["unit"])
    if main["who"] is None:
        return Hold(usual)
    other = _OTHER.fullmatch(main["other"])
    if other is None:
        return f"hold {text!r} is not evaluated"
    level = int(main["who"][1]) if main["who"].startswith("L") else None
    return Hold(usual, _for(other["number"], other["unit"]), level, None if level else main["who"])


def _for(number: str, unit: str | None) -> For:
    if unit:
        return For(us=round(float(number) * SPANS_US[unit]))
    return For(reports=int(float(number)))
