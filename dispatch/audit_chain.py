"""The chain through the transitions of all cases, as it stands in the table: its next places given.

Places are given in a transaction of their own before anything is published, so what the log says of a place
is never taken back. Any number may do this at once. What it proves is for dispatch/audit_check.py to say.
"""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection

from dispatch import audit

BATCH = 1000
LOCK = 0x6369_7479_0005


async def extend(connection: AsyncConnection[Any]) -> int:
    """Gives every committed transition its place; says how many had none."""
    total = 0
    while True:
        count = await _extend(connection)
        total += count
        if count < BATCH:
            return total


async def _extend(connection: AsyncConnection[Any]) -> int:
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
        found = await connection.execute(
            "select position, chain from case_transitions where position is not null"
            " order by position desc limit 1"
        )
        position, chain = await found.fetchone() or (0, "")
        found = await connection.execute(
            "select id, hash from case_transitions where position is null order by id limit %s", (BATCH,)
        )
        rows = await found.fetchall()
        places: list[tuple[int, int, str]] = []
        for number, transition_hash in rows:
            position, chain = position + 1, audit.link(chain, transition_hash)
            places.append((number, position, chain))
        if places:
            await connection.execute(
                "update case_transitions t set position = p.position, chain = p.chain"
                " from unnest(%s::bigint[], %s::bigint[], %s::text[]) as p (id, position, chain)"
                " where t.id = p.id",
                [list(column) for column in zip(*places, strict=True)],
            )
        return len(rows)
