"""The catalogue of measured quantities: `catalogue.csv`, one row a category 监测项.

Those rows stay as they were given; what they lack stands in `catalogue_own.csv`, whose sources say so. Read
once and kept; rows are facts, so a malformed one is a bug of ours and raises ValueError with the row's key.
Intervals and noise are given in the rows for people ("30-120 min normal; ..."); what a
program needs of them is parsed here and None where the row does not say.
"""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import dataclass
from importlib import resources
from typing import Literal, cast

GIVEN, OWN = "catalogue.csv", "catalogue_own.csv"
_SPAN = re.compile(r"([0-9.]+)(?:-([0-9.]+))?\s*(ms|s|min|h|d)\b")
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class Category:
    """One row. `unit` is UCUM; `levels` maps 1-4 to threshold cells, levels without one are absent."""

    key: str
    domain: str
    name_zh: str
    quantity: str
    unit: str
    plausible_min: float
    plausible_max: float
    normal_typical: str
    behaviour: str
    sampling_s: float | None
    interval_s: float | None  # the longest regular report interval; None: reports on events only
    reporting_interval: str
    levels: dict[int, str]
    hold: str
    failure_modes: str
    noise: float | None  # sigma, in `unit`; None where relative or unstated
    noise_relative: float | None  # share of the value
    resolution: float
    handler: str
    source: str
    confidence: Literal["sourced", "well-known", "judgement"]
    edge: bool  # evaluates at its sampling interval and reports at once on crossing
    site_params: tuple[str, ...]
    device_type: str
    role: str  # alarm | covariate | list
    own: bool = False  # a row of ours beside the given ones

    @property
    def is_state(self) -> bool:
        """Whether the value is a 0/1 state."""
        return any("state==" in cell for cell in self.levels.values()) and self.unit == "1"


def span_s(text: str) -> float | None:
    """The longest span of the first one named: "5-15 min" is 900 s; None if none is named."""
    found = _SPAN.search(text)
    if not found:
        return None
    low, high, unit = found.groups()
    return float(high or low) * _SECONDS[unit]


def report_interval_s(text: str) -> float | None:
    """The regular interval of a reporting_interval cell; None where it reports on events only.

    >>> report_interval_s("1 min; at once on >=2 % change"), report_interval_s("event + 24 h")
    (60.0, 86400.0)
    >>> report_interval_s("event") is None, report_interval_s("daily at 06:00")
    (True, 86400.0)
    """
    if text.startswith("daily"):
        return 86_400.0
    if text.startswith(("event;", "per ")) or text in ("event", "-"):
        return None
    return span_s(text)


@functools.cache
def catalogue() -> dict[str, Category]:
    """key -> Category: the given rows in their file's order, then ours."""
    found: dict[str, Category] = {}
    for name in (GIVEN, OWN):
        text = resources.files("schemas").joinpath(name).read_text(encoding="utf-8")
        for row in csv.DictReader(text.splitlines()):
            if row["key"] in found:
                raise ValueError(f"{name}, {row['key']!r}: the catalogue has it already")
            found[row["key"]] = _category(row, name)
    return found


def _category(row: dict[str, str], name: str) -> Category:
    try:
        noise, relative = _noise(row["noise_sigma"])
        cells = {1: "alert_l1_red", 2: "alert_l2_orange", 3: "alert_l3_yellow", 4: "alert_l4_blue"}
        return Category(
            key=row["key"],
            domain=row["domain"],
            name_zh=row["name_zh"],
            quantity=row["measured_quantity"],
            unit=row["ucum_unit"],
            plausible_min=float(row["plausible_min"]),
            plausible_max=float(row["plausible_max"]),
            normal_typical=row["normal_typical"],
            behaviour=row["behaviour"],
            sampling_s=span_s(row["sampling_interval"]),
            interval_s=report_interval_s(row["reporting_interval"]),
            reporting_interval=row["reporting_interval"],
            levels={level: row[column] for level, column in cells.items() if row[column]},
            hold=row["hold_or_window"],
            failure_modes=row["failure_modes"],
            noise=noise,
            noise_relative=relative,
            resolution=float(row["resolution"]),
            handler=row["handler"],
            source=row["threshold_source"],
            confidence=cast(Literal["sourced", "well-known", "judgement"], row["threshold_confidence"]),
            edge=row["edge"] == "yes",
            site_params=tuple(name.strip() for name in row["site_params"].split(",") if name.strip()),
            device_type=row["device_type"],
            role=row["role"],
            own=name == OWN,
        )
    except (KeyError, ValueError) as error:
        raise ValueError(f"{name}, {row.get('key')!r}: {error}") from error


def _noise(text: str) -> tuple[float | None, float | None]:
    text = text.strip()
    if text.endswith("%"):
        return None, float(text[:-1]) / 100
    try:
        return float(text), None
    except ValueError:
        return None, None
