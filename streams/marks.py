"""How far the historian has come, in PostgreSQL: an offset a partition, a mark and what was counted of each
gateway and epoch.

Written in the transaction of the readings they speak for, read once when a historian starts. Epochs and
sequences are unsigned 64-bit, which is why they travel as text and stand as numeric.
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg

from schemas.sequence import Mark
from streams.batch import Account, Key

Place = tuple[str, int]  # topic, partition

_SAVE_MARKS = """
insert into record_marks (gateway, epoch, contiguous, ahead)
select gateway, epoch::numeric, contiguous::numeric, ahead::numeric[]
from unnest(%s::text[], %s::text[], %s::text[], %s::text[]) as t (gateway, epoch, contiguous, ahead)
on conflict (gateway, epoch) do update set (contiguous, ahead) = (excluded.contiguous, excluded.ahead)
"""

_ADD_ACCOUNTS = """
insert into record_ledger (gateway, epoch, first, frames, readings, given_up)
select gateway, epoch::numeric, first::numeric, frames, readings, given_up::numeric
from unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::text[])
    as t (gateway, epoch, first, frames, readings, given_up)
on conflict (gateway, epoch) do update
set frames = record_ledger.frames + excluded.frames, readings = record_ledger.readings + excluded.readings,
    given_up = record_ledger.given_up + excluded.given_up
"""

_SAVE_OFFSETS = """
insert into record_offsets (topic, partition, next_offset)
select * from unnest(%s::text[], %s::int[], %s::bigint[])
on conflict (topic, partition) do update set next_offset = excluded.next_offset
"""


async def load(connection: psycopg.AsyncConnection) -> tuple[dict[Key, Mark], dict[Place, int]]:
    """Every mark, and the next offset of every partition that was ever read."""
    found = await connection.execute("select gateway, epoch, contiguous, ahead from record_marks")
    marks = {
        (gateway, int(epoch)): Mark(int(contiguous), tuple(int(one) for one in ahead))
        for gateway, epoch, contiguous, ahead in await found.fetchall()
    }
    found = await connection.execute("select topic, partition, next_offset from record_offsets")
    offsets = {(topic, partition): offset for topic, partition, offset in await found.fetchall()}
    return marks, offsets


async def save(
    connection: psycopg.AsyncConnection, marks: Mapping[Key, Mark], offsets: Mapping[Place, int]
) -> None:
    if marks:
        await connection.execute(
            _SAVE_MARKS,
            [
                [gateway for gateway, _ in marks],
                [str(epoch) for _, epoch in marks],
                [str(mark.contiguous) for mark in marks.values()],
                ["{" + ",".join(map(str, mark.ahead)) + "}" for mark in marks.values()],
            ],
        )
    if offsets:
        await connection.execute(
            _SAVE_OFFSETS,
            [
                [topic for topic, _ in offsets],
                [partition for _, partition in offsets],
                list(offsets.values()),
            ],
        )


_ADD_AGAIN = """
insert into gateway_again (gateway, frames) select * from unnest(%s::text[], %s::bigint[])
on conflict (gateway) do update set frames = gateway_again.frames + excluded.frames
"""


async def account(connection: psycopg.AsyncConnection, ledger: Mapping[Key, Account]) -> None:
    """Adds what a transaction brought to the ledger."""
    if ledger:
        await connection.execute(
            _ADD_ACCOUNTS,
            [
                [gateway for gateway, _ in ledger],
                [str(epoch) for _, epoch in ledger],
                [str(one.first) for one in ledger.values()],
                [one.frames for one in ledger.values()],
                [one.readings for one in ledger.values()],
                [str(one.given_up) for one in ledger.values()],
            ],
        )


async def count_again(connection: psycopg.AsyncConnection, again: Mapping[str, int]) -> None:
    """Adds the frames that gateways sent again."""
    if again:
        await connection.execute(_ADD_AGAIN, [list(again), list(again.values())])
