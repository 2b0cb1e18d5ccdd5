"""Scales of severity that meet in a city, each mapped to our levels by name; nothing is inferred.

Level 1 (red) is our most severe. Gas detectors call the LOWER of their two alarms the first; standards of
bridges number both ways, so a highway bridge has to state its order; CAP has words. A term that a scale does
not have raises KeyError: a wrong level is worse than none.

>>> level_of("gb50493", "一级报警"), level_of("emergency", "一级"), level_of("cap", "Minor")
(<Level.blue: 4>, <Level.red: 1>, <Level.blue: 4>)
"""

from __future__ import annotations

import csv
import functools
from importlib import resources

from schemas.alert import Level


@functools.cache
def scales() -> dict[str, dict[str, Level]]:
    """scale -> its terms, most severe first; `scales.csv` says where each comes from."""
    text = resources.files("schemas").joinpath("scales.csv").read_text(encoding="utf-8")
    found: dict[str, dict[str, Level]] = {}
    for row in csv.DictReader(text.splitlines()):
        terms = found.setdefault(row["scale"], {})
        if row["term"] in terms:
            raise ValueError(f"scales.csv: {row['scale']} has {row['term']!r} twice")
        terms[row["term"]] = Level(int(row["level"]))
    return found


def level_of(scale: str, term: str) -> Level:
    """Our level for a term of a scale."""
    return scales()[scale][term]


def term_of(scale: str, level: Level) -> str | None:
    """The first term of a scale that stands for a level; None where it has none (heat has no blue signal)."""
    return next((term for term, own in scales()[scale].items() if own == level), None)
