"""The numbered SQL files of `schemas/sql`, in the order in which they are applied.

A file is applied once and never edited after a release: what it made is changed by a file with a higher
number. Those in a folder of their own need more than PostgreSQL, come after all others, and are applied only
where that is there. This only lists them; `cityvigil migrate` applies them.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from importlib import resources

_NAME = re.compile(r"(\d{3})_[a-z_]+\.sql")


class Needs(enum.Enum):
    """What a database must have for a migration; the value is the folder below `schemas/sql`."""

    postgresql = ""
    timescale = "timescale"  # any build of TimescaleDB
    timescale_licensed = "timescale_licensed"  # the one under the Timescale Licence ("Community")


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str  # the file's, e.g. "010_registry.sql"
    sql: str


def migrations(needs: Needs = Needs.postgresql) -> list[Migration]:
    """Those of one kind, lowest number first. ValueError (a bug of ours) if two files have one number."""
    numbers: dict[int, str] = {}
    found: list[Migration] = []
    for kind in Needs:
        for entry in resources.files("schemas").joinpath("sql", kind.value).iterdir():
            if not (match := _NAME.fullmatch(entry.name)):
                continue
            number = int(match[1])
            if number in numbers:
                raise ValueError(f"two migrations have number {match[1]}: {numbers[number]} and {entry.name}")
            numbers[number] = entry.name
            if kind is needs:
                found.append(Migration(number, entry.name, entry.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.number)
