"""What the services of a run have left behind: rows, published alerts, cases, the ledger. Reads only.

Also how far they are: how many messages historian and dispatch miss of given ends of their logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import psycopg

from cityvigil.flow import log
from schemas import alert, topics

Message = tuple[str, int]  # alert_id, seq


class Row(NamedTuple):
    time_us: int
    sensor: int
    value: float


class Cases(NamedTuple):
    """What dispatch alone decides. Cases that people acted on are left out by `without`."""

    cases: dict[str, tuple[Any, ...]]
    steps: list[tuple[Any, ...]]  # what an alert did to a case
    changes: list[tuple[Any, ...]]  # of alerts, as applied
    acted_on: frozenset[str]

    def without(self, acted_on: frozenset[str]) -> Cases:
        kept = {case_id: row for case_id, row in self.cases.items() if case_id not in acted_on}
        return Cases(kept, [row for row in self.steps if row[0] not in acted_on], self.changes, frozenset())


class Account(NamedTuple):
    """A gateway's line of the ledger; `adds_up` is 1 or 0."""

    said: int
    answered: int
    given_up: int
    awaited: int
    stored: int
    rejected: int
    adds_up: int


_CASES = (
    "select case_id, (select array_agg(a order by a) from unnest(alerts) a), level, category, network, zone,"
    " unit, condition, opened_at, event_first, event_last from cases"
)
_STEPS = (
    "select case_id, action, evidence->>'alert_id', (evidence->>'alert_seq')::int, at from case_transitions"
    " where actor = 'dispatch' and evidence->>'alert_id' is not null order by 1, 5, 2, 3, 4"
)
_CHANGES = (
    'select alert_id, seq, change, level, state, observed_at, kafka_at, "partition", "offset"'
    " from alert_changes order by 1, 2"
)
_ACTED_ON = "select distinct case_id from case_transitions where actor <> 'dispatch'"
_ROWS = "select (extract(epoch from time) * 1000000)::bigint, sensor, value from readings"
_LEDGER = "select gateway, said, answered, given_up, awaited, stored, rejected, adds_up from ledger"


async def rows(dsn: str) -> list[Row]:
    return sorted(Row(*row) for row in await select(dsn, _ROWS))


async def cases(dsn: str) -> Cases:
    found = {str(row[0]): row for row in await select(dsn, _CASES)}
    acted_on = frozenset(str(case_id) for (case_id,) in await select(dsn, _ACTED_ON))
    return Cases(found, await select(dsn, _STEPS), await select(dsn, _CHANGES), acted_on)


async def ledger(dsn: str) -> dict[str, Account]:
    return {str(row[0]): Account(*map(int, row[1:])) for row in await select(dsn, _LEDGER)}


class Published(NamedTuple):
    """What stands on `alerts` and `alerts-shadow`. `differing` are repeats with another body."""

    bodies: dict[Message, bytes]
    repeats: int
    differing: list[Message]


async def published(kafka: str) -> Published:
    bodies: dict[Message, bytes] = {}
    repeats, differing = 0, []
    for topic in (topics.ALERTS, topics.ALERTS_SHADOW):
        async for _, value in log.messages(kafka, topic, await log.ends_of(kafka, topic)):
            said = alert.decode(value)
            key = (said.alert_id, said.seq)
            repeats += key in bodies
            if bodies.setdefault(key, value) != value:
                differing.append(key)
    return Published(bodies, repeats, differing)


async def unrecorded(dsn: str, ends: Mapping[int, int]) -> int:
    query = 'select "partition", next_offset from record_offsets where topic = %s'
    return _missing(dict(await select(dsn, query, topics.READINGS.name)), ends)


async def undispatched(dsn: str, ends: Mapping[int, int]) -> int:
    return _missing(dict(await select(dsn, 'select "partition", next_offset from dispatch_offsets')), ends)


def _missing(taken: Mapping[int, int], ends: Mapping[int, int]) -> int:
    return sum(max(0, end - taken.get(number, 0)) for number, end in ends.items())


async def select(dsn: str, query: str, *values: object) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        return await (await connection.execute(query.encode(), values)).fetchall()
