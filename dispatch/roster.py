"""The roster's snapshot: read from PostgreSQL, kept in one file, read back where there is no PostgreSQL.

The file is replaced at once or not at all. A file that cannot be read is as none: then units and routes are
those that the program came with, nobody is named, and every level 1 alert is news.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
from pathlib import Path

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from dispatch.journal import Place
from dispatch.urgent import Person, Roster, Scene
from schemas.unit import units

CONNECT_WITHIN_S = 5
WITHIN_S = 10.0

_log = logging.getLogger(__name__)


def without_database() -> Roster:
    return Roster(units=tuple(units().values()))


async def fetch(dsn: str, now: dt.datetime) -> tuple[Roster, Place]:
    """And up to where the journal is imported. Raises psycopg.Error."""
    connection = await AsyncConnection.connect(dsn, connect_timeout=CONNECT_WITHIN_S, row_factory=dict_row)
    async with connection:
        people = await (
            await connection.execute(
                "select name, roles, unit, districts from users where disabled_at is null order by name"
            )
        ).fetchall()
        scenes = await (
            await connection.execute(
                "select zone, network, event_first as first, event_last as last, %s::timestamptz as told_at"
                " from cases where open and level = 1 and zone is not null and event_first is not null"
                " order by case_id",
                (now,),
            )
        ).fetchall()
        place = await (await connection.execute("select file, place from bypass_import")).fetchone()
    roster = Roster(
        taken_at=now,
        units=tuple(units().values()),
        people=msgspec.convert(people, tuple[Person, ...]),
        scenes=msgspec.convert(scenes, tuple[Scene, ...]),
    )
    return roster, Place(place["file"], place["place"]) if place else Place(0, 0)


def save(path: Path, roster: Roster) -> None:
    """Raises OSError."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("wb") as file:
        file.write(msgspec.json.encode(roster))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def load(path: Path) -> Roster:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Roster)
    except FileNotFoundError:
        return without_database()
    except (OSError, msgspec.DecodeError) as error:
        _log.warning("%s: %s; going on without it", path, error)
        return without_database()
