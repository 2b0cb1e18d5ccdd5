"""The ledger's view over what the historian keeps: it adds up, and says so when it does not."""

from __future__ import annotations

import psycopg
import pytest

from schemas import migrations
from schemas.sequence import Mark
from streams import marks
from streams.batch import UNSEQUENCED, Account

pytestmark = pytest.mark.integration


async def test_frames_and_readings_of_a_gateway_are_summed_over_its_epochs(postgres_dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True) as connection:
        for migration in migrations.migrations():
            await connection.execute(migration.sql.encode())
        await marks.save(connection, {("gw", 1): Mark(9), ("gw", 2**64 - 1): Mark(4, (6, 9))}, {})
        for _ in range(2):
            await marks.account(connection, {("gw", 1): Account(1, frames=4, readings=40)})
        await marks.account(
            connection,
            {
                ("gw", 1): Account(9, given_up=1),
                ("gw", 2**64 - 1): Account(3, frames=4, readings=7),
                ("gw", UNSEQUENCED): Account(0, frames=2, readings=5),
                ("gw-off", 0): Account(1, frames=2, readings=2),
            },
        )
        await marks.save(connection, {("gw-off", 0): Mark(3)}, {})
        await connection.execute(
            "insert into reject_counts values ('gw', 'unit', 3, now()), ('10.0.0.9', 'credentials', 1, now())"
        )
        found = await (await connection.execute("select * from ledger order by gateway")).fetchall()
    assert [(row[0], *map(int, row[1:8]), row[8]) for row in found] == [
        ("10.0.0.9", 0, 0, 0, 0, 0, 0, 1, True),
        ("gw", 16, 12, 1, 3, 2, 92, 3, True),
        ("gw-off", 3, 2, 0, 0, 0, 2, 0, False),
    ]
