"""How each quantity without a network of its own behaves: `behaviours.csv`, a row a category.

The file is the catalogue's text for people (`normal_typical`, `behaviour`) read into numbers: a range to
start from, what it follows and by how much, how far it wanders, its shape, how many stand in a zone and how
often they report. A row that is malformed is a bug of ours and raises ValueError with its key.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from importlib import resources

DRIVERS = ("cook", "wake", "rush", "work", "evening", "night", "noon", "sun", "metro", "warm", "wind",
           "rain", "wet", "soaked", "river", "tide")  # fmt: skip
"""What a quantity can follow: hours of the day (0-1), air in tens of degrees above 10, wind and rain in
tens (m/s, mm/h), tide (-1-1)."""
SHAPES = ("level", "saw", "state")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One row. With `relative` what it follows is a share of the sensor's own level."""

    key: str
    per_zone: int
    interval_s: int
    params: tuple[tuple[str, float, float], ...]  # name, least, most
    of: str | None  # the parameter that the range is a share of
    low: float
    high: float
    follows: tuple[tuple[str, float], ...]
    relative: bool
    wander: float
    wander_relative: bool
    shape: str
    period_s: float  # of a saw
    noise: float  # share of the catalogue's that a quiet site shows


@functools.cache
def behaviours() -> dict[str, Behaviour]:
    """key -> Behaviour, in the file's order."""
    text = resources.files("simulators").joinpath("behaviours.csv").read_text(encoding="utf-8")
    return {row["key"]: _behaviour(row) for row in csv.DictReader(text.splitlines())}


def _behaviour(row: dict[str, str]) -> Behaviour:
    try:
        follows = [_follows(part) for part in row["follows"].split()]
        shape, _, minutes = row["shape"].partition(" ")
        if shape not in SHAPES:
            raise ValueError(f"expected a shape of {', '.join(SHAPES)}, got {shape!r}")
        shares = {share for _, _, share in follows}
        if len(shares) > 1:
            raise ValueError(f"expected all of {row['follows']!r} in % or none")
        return Behaviour(
            key=row["key"],
            per_zone=int(row["per_zone"]),
            interval_s=int(row["interval_s"]),
            params=tuple(_param(part) for part in row["params"].split(";") if part),
            of=row["of"] or None,
            low=float(row["low"]),
            high=float(row["high"]),
            follows=tuple((name, amount) for name, amount, _ in follows),
            relative=shares == {True},
            wander=_share(row["wander"])[0],
            wander_relative=_share(row["wander"])[1],
            shape=shape,
            period_s=float(minutes or 0) * 60,
            noise=float(row["noise"]),
        )
    except (KeyError, ValueError) as error:
        raise ValueError(f"behaviours.csv, {row.get('key')!r}: {error}") from error


def _follows(part: str) -> tuple[str, float, bool]:
    name, _, amount = part.partition(":")
    if name not in DRIVERS:
        raise ValueError(f"expected one of {', '.join(DRIVERS)}, got {name!r}")
    return name, *_share(amount)


def _share(text: str) -> tuple[float, bool]:
    """
    >>> _share("+60%"), _share("-0.4")
    ((0.6, True), (-0.4, False))
    """
    return (float(text[:-1]) / 100, True) if text.endswith("%") else (float(text), False)


def _param(part: str) -> tuple[str, float, float]:
    """
    >>> _param("op=0.28:0.34"), _param("mop=0.4")
    (('op', 0.28, 0.34), ('mop', 0.4, 0.4))
    """
    name, _, span = part.partition("=")
    low, _, high = span.partition(":")
    return name, float(low), float(high or low)
