"""Which TimescaleDB a database has, if any, and what it therefore lacks.

There are three answers: none; the Apache build, which has hypertables only; and the Community edition under
the Timescale Licence, free to use but not to offer to others as a database service. `offer` makes the
extension where the server has it and this role may. Nothing is ever dropped or upgraded here.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from schemas.migrations import Needs

LICENSED_ONLY = ("compression", "retention", "continuous aggregates")


@dataclass(frozen=True, slots=True)
class Engine:
    """`version` is TimescaleDB's, None for plain PostgreSQL, and then `why` says what keeps it out."""

    version: str | None
    licensed: bool = False
    why: str = ""

    @property
    def name(self) -> str:
        if self.version is None:
            return "plain PostgreSQL"
        edition = "Community edition, Timescale Licence" if self.licensed else "Apache build"
        return f"TimescaleDB {self.version} ({edition})"

    @property
    def missing(self) -> tuple[str, ...]:
        return () if self.licensed else LICENSED_ONLY

    @property
    def has(self) -> tuple[Needs, ...]:
        """Which migrations fit, in the order in which they are applied."""
        fits = [Needs.postgresql]
        if self.version is not None:
            fits.append(Needs.timescale)
        if self.licensed:
            fits.append(Needs.timescale_licensed)
        return tuple(fits)


PLAIN = Engine(None)


async def find(connection: psycopg.AsyncConnection) -> Engine:
    """What this database has now."""
    found = await connection.execute("select extversion from pg_extension where extname = 'timescaledb'")
    row = await found.fetchone()
    if row is None:
        return PLAIN
    # An Apache build refuses to be set to anything but apache, so this is what the library can do.
    found = await connection.execute("select current_setting('timescaledb.license', true)")
    licence = await found.fetchone()
    return Engine(row[0], licensed=licence == ("timescale",))


async def offer(connection: psycopg.AsyncConnection, dsn: str) -> Engine:
    """As `find`, after the extension was made if it can be."""
    engine = await find(connection)
    if engine.version is not None:
        return engine
    found = await connection.execute("select from pg_available_extensions where name = 'timescaledb'")
    if await found.fetchone() is None:
        return Engine(None, why="this server does not offer the extension timescaledb")
    try:
        # On a connection of its own: a server that did not preload the library ends the one that asks.
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, connect_timeout=5) as other:
            await other.execute("create extension if not exists timescaledb")
    except psycopg.errors.InsufficientPrivilege:
        return Engine(None, why="this role may not: a superuser has to `create extension timescaledb`")
    except psycopg.Error as error:
        return Engine(None, why=f"the server offers timescaledb and says: {' '.join(str(error).split())}")
    return await find(connection)
