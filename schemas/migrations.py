"""The numbered SQL files of `schemas/sql`, in the order in which they are applied.

A file is applied once and never edited after a release: what it made is changed by a file with a higher
number. This only lists them; `cityvigil migrate` applies them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

_NAME = re.compile(r"(\d{3})_[a-z_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str  # the file's, e.g. "010_registry.sql"
    sql: str


def migrations() -> list[Migration]:
    """Every migration, lowest number first. ValueError (a bug of ours) if two files have one number."""
    found: dict[int, Migration] = {}
    for entry in resources.files("schemas").joinpath("sql").iterdir():
        if not (match := _NAME.fullmatch(entry.name)):
            continue
        number = int(match[1])
        if number in found:
            raise ValueError(f"two migrations have number {match[1]}: {found[number].name} and {entry.name}")
        found[number] = Migration(number, entry.name, entry.read_text(encoding="utf-8"))
    return [found[number] for number in sorted(found)]
