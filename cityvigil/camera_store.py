"""Cameras and assets in PostgreSQL, which is their truth: written whole by imports, read for exports.

A row is an upsert by its key; nothing is deleted: what leaves the city is `retired`. What a later file leaves
empty of a camera (an address, say, or the range, which a catalogue does not know) stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import psycopg
from psycopg import sql

from cityvigil.camera_files import AssetRow, CameraRow, columns_of

_KEPT = frozenset({"owner", "zone", "stream", "snapshot", "lon", "lat"})
"""Columns in which nothing means: as before."""
ANGLE, RANGE_M = 90.0, 100.0
"""Of a camera of which nobody ever said them."""
_SIGHT = """
update taken set angle = coalesce(taken.angle, c.angle, %s), range_m = coalesce(taken.range_m, c.range_m, %s)
from taken t left join cameras c using (camera)
where t.camera = taken.camera and (taken.angle is null or taken.range_m is null)
"""


def enter(connection: psycopg.Connection, rows: Sequence[CameraRow] | Sequence[AssetRow], by: str) -> int:
    """Enters the rows in one transaction; how many differ from what was there."""
    if not rows:
        return 0
    kind = type(rows[0])
    table, key = ("cameras", "camera") if kind is CameraRow else ("assets", "asset")
    names = columns_of(kind)
    with connection.transaction():
        connection.execute(
            sql.SQL("create temp table taken (like {} including defaults) on commit drop").format(
                sql.Identifier(table)
            )
        )
        if table == "cameras":
            connection.execute(
                "alter table taken alter column angle drop not null, alter column range_m drop not null"
            )
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        statement = sql.SQL("copy taken ({}) from stdin").format(columns)
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(astuple(row)[1:])
        if table == "cameras":
            connection.execute(_SIGHT, [ANGLE, RANGE_M])
        changed = connection.execute(_upsert(table, key, names)).rowcount
        if changed and table == "cameras":
            connection.execute("update cameras_version set version = version + 1, by = %s", [by])
    return changed


def _upsert(table: str, key: str, names: Sequence[str]) -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    others = [name for name in names if name != key]
    new = {
        name: sql.SQL("coalesce(excluded.{0}, t.{0})" if name in _KEPT else "excluded.{0}").format(
            sql.Identifier(name)
        )
        for name in others
    }
    sets = sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(name), new[name]) for name in others)
    differs = sql.SQL("({}) is distinct from ({})").format(
        sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in others),
        sql.SQL(", ").join(new[name] for name in others),
    )
    return sql.SQL(
        "insert into {} as t ({}) select {} from taken on conflict ({}) do update set {} where {}"
    ).format(sql.Identifier(table), columns, columns, sql.Identifier(key), sets, differs)


def read(connection: psycopg.Connection, kind: type[CameraRow] | type[AssetRow]) -> list[tuple[object, ...]]:
    """All rows by key, in the order of the file's columns."""
    table, key = ("cameras", "camera") if kind is CameraRow else ("assets", "asset")
    columns = sql.SQL(", ").join(map(sql.Identifier, columns_of(kind)))
    query = sql.SQL("select {} from {} order by {}").format(
        columns, sql.Identifier(table), sql.Identifier(key)
    )
    return connection.execute(query).fetchall()
