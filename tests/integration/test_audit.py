"""Whatever is done to the history of cases behind the program's back is found, and where."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from psycopg import AsyncConnection, Rollback
from psycopg.rows import dict_row

from cityvigil import cli
from cityvigil.stack import Stack
from dispatch import audit, audit_chain, ledger
from dispatch.audit_check import Head, Verdict, check
from schemas.topics import CASE_EVENTS
from tests.integration.dispatch_desk import Desk, a_days_alerts, a_desk, running, until
from tests.services import a_database, create_topics

Tamper = Callable[[AsyncConnection[Any]], Awaitable[None]]


@pytest.fixture
async def desk(fresh_stack: Stack, unique: str) -> AsyncIterator[Desk]:
    with a_database(fresh_stack, unique) as dsn:
        async with a_desk(fresh_stack.kafka, dsn, unique) as desk:
            yield desk


async def a_history(desk: Desk, **changes: Any) -> None:
    """A day's cases, all of them chained and published."""
    async with running(desk.service(**changes)):
        await desk.taken(await desk.publish(a_days_alerts(3, 40)))

        async def done() -> bool:
            return not await desk.rows("select 1 from case_transitions where not published")

        await until(done)


def sql(*statements: str) -> Tamper:
    async def tamper(connection: AsyncConnection[Any]) -> None:
        for statement in statements:
            await connection.execute(statement.encode())

    return tamper


# Of the longest case: L; its end: E; of the first case: F.
LONG = "(select case_id from case_transitions group by 1 order by count(*) desc, 1 limit 1)"
FIRST = "(select case_id from case_transitions order by position limit 1)"
LAST_OF_LONG = f"case_id = {LONG} and seq = (select version from cases where case_id = {LONG})"
REMOVE_FIRST = (
    f"create temporary table gone on commit drop as select {FIRST} as case_id",
    "delete from case_transitions where case_id in (select * from gone)",
    "delete from case_alerts where case_id in (select * from gone)",
    "update cases set merged_into = null where merged_into in (select * from gone)",
    "delete from cases where case_id in (select * from gone)",
)
CUT_AND_COVER = (
    "create temporary table cut on commit drop as select id, case_id from case_transitions"
    f" where {LAST_OF_LONG}",
    "delete from case_transitions where id in (select id from cut)",
    "update cases c set (version, state) = (select t.seq, t.to_state from case_transitions t"
    " where t.case_id = c.case_id order by t.seq desc limit 1) where case_id in (select case_id from cut)",
)


async def chain_again(connection: AsyncConnection[Any]) -> None:
    await connection.execute("update case_transitions set position = null, chain = null")
    await audit_chain.extend(connection)


def then_chain_again(tamper: Tamper) -> Tamper:
    async def both(connection: AsyncConnection[Any]) -> None:
        await tamper(connection)
        await chain_again(connection)

    return both


async def rewrite_with_right_hashes(connection: AsyncConnection[Any]) -> None:
    """Another person is said to have done it, and every hash after it is made to fit."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(f"select * from case_transitions where case_id = {LONG} order by seq".encode())
        before = ""
        for row in await cursor.fetchall():
            line = ledger.transition_of(row)
            sealed = audit.seal(replace(line, actor="somebody-else") if line.seq == 2 else line, before)
            before = sealed.hash
            await connection.execute(
                "update case_transitions set actor = %s, previous = %s, hash = %s where id = %s",
                (sealed.actor, sealed.previous, sealed.hash, row["id"]),
            )
    await chain_again(connection)


SWAP = (
    f"update case_transitions set seq = -seq where case_id = {LONG} and seq in (2, 3)",
    "update case_transitions set seq = 5 + seq where seq < 0",
)

BY_THE_TABLE: dict[str, tuple[Tamper, str]] = {
    "a reason": (
        sql(f"update case_transitions set reason = 'x' where case_id = {LONG} and seq = 2"),
        "transition 2",
    ),
    "an actor": (
        sql(f"update case_transitions set actor = 'x' where case_id = {LONG} and seq = 1"),
        "transition 1",
    ),
    "a time": (
        sql(
            "update case_transitions set at = at + interval '1 microsecond'"
            f" where case_id = {LONG} and seq = 3"
        ),
        "transition 3",
    ),
    "evidence": (
        sql(f"update case_transitions set evidence = '{{\"n\": 1}}' where case_id = {LONG} and seq = 2"),
        "transition 2",
    ),
    "no action at all": (
        sql(f"update case_transitions set action = 'undo' where case_id = {LONG} and seq = 2"),
        "transition 2 cannot be read",
    ),
    "one in the middle": (
        sql(f"delete from case_transitions where case_id = {LONG} and seq = 2"),
        "transition 2 was changed, removed or moved",
    ),
    "the middle, numbered anew": (
        sql(
            f"update case_transitions set seq = 1 - seq where case_id = {LONG} and seq > 2",
            "delete from case_transitions where seq = 2 and case_id in"
            " (select case_id from case_transitions where seq < 0)",
            "update case_transitions set seq = -seq where seq < 0",
        ),
        "transition 2",
    ),
    "two swapped": (sql(*SWAP), "transition 2"),
    "the first": (sql(f"delete from case_transitions where case_id = {LONG} and seq = 1"), "transition 1"),
    "the newest": (
        sql(f"delete from case_transitions where {LAST_OF_LONG}"),
        "its last transition left it at",
    ),
    "a whole history": (
        sql(f"delete from case_transitions where case_id = {FIRST}"),
        "it has no transitions",
    ),
    "a case's state": (
        sql(f"update cases set state = 'closed' where case_id = {LONG}"),
        "it stands at version",
    ),
    "a whole case": (sql(*REMOVE_FIRST), "places 1 to"),
    "a place in the chain": (
        sql("update case_transitions set chain = repeat('0', 64) where position = 2"),
        "place 2",
    ),
}

BY_A_COPY: dict[str, tuple[Tamper, str]] = {
    "the newest, the case's row made to fit": (
        sql(*CUT_AND_COVER),
        "in the log of case events and not in the database",
    ),
    "the newest, all made to fit": (
        then_chain_again(sql(*CUT_AND_COVER)),
        "in the log of case events and not in the database",
    ),
    "a whole case, the chain made again": (
        then_chain_again(sql(*REMOVE_FIRST)),
        "in the log of case events and not in the database",
    ),
    "rewritten with right hashes": (rewrite_with_right_hashes, "is not what the log of case events says"),
}


async def verdict_on(desk: Desk, tamper: Tamper, events: list[bytes], noted: Head | None = None) -> Verdict:
    """Done, checked, and taken back."""

    async def copies() -> AsyncIterator[bytes]:
        for event in events:
            yield event

    async with desk.pool.connection() as connection, connection.transaction() as transaction:
        await tamper(connection)
        verdict = await check(connection, copies(), noted)
        raise Rollback(transaction)
    return verdict


async def test_each_way_of_tampering_is_found_by_the_table_by_its_copies_or_by_a_noted_head(
    desk: Desk,
) -> None:
    await a_history(desk)
    [row] = await desk.rows("select count(*) as n from case_transitions")
    events = await desk.events_of(row["n"])
    clean = await verdict_on(desk, sql(), events)
    assert clean.problems == []
    assert (clean.transitions, clean.copies, clean.waiting) == (row["n"], row["n"], 0)
    assert clean.head.position == row["n"]
    assert (await verdict_on(desk, sql(), [], clean.head)).problems == []

    for what, (tamper, expected) in BY_THE_TABLE.items():
        problems = (await verdict_on(desk, tamper, [])).problems
        assert any(expected in one for one in problems), (what, problems)
    for what, (tamper, expected) in BY_A_COPY.items():
        problems = (await verdict_on(desk, tamper, events)).problems
        assert any(expected in one for one in problems), (what, problems)
        by_head = (await verdict_on(desk, tamper, [], clean.head)).problems  # also when the log is gone
        assert any("noted" in one or "missing" in one for one in by_head), (what, by_head)


async def test_the_verb_exits_with_1_once_something_was_changed(
    fresh_stack: Stack,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await create_topics(desk.kafka, {CASE_EVENTS.name: 1})
    await a_history(desk, events_topic=CASE_EVENTS.name)
    monkeypatch.setenv("CITYVIGIL_MQTT", fresh_stack.mqtt)
    monkeypatch.setenv("CITYVIGIL_KAFKA", desk.kafka)
    monkeypatch.setenv("CITYVIGIL_POSTGRES", desk.dsn)
    verify = ["audit", "verify", "--data", str(tmp_path), "--json", "-"]
    assert await asyncio.to_thread(cli.main, verify) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["transitions"] == result["copies"] > 0
    assert await asyncio.to_thread(cli.main, [*verify, "--head", result["head"]]) == 0
    capsys.readouterr()
    async with desk.pool.connection() as connection:
        await sql(*CUT_AND_COVER)(connection)
        await chain_again(connection)
    assert await asyncio.to_thread(cli.main, verify) == 1
    assert "in the log of case events" in json.loads(capsys.readouterr().out)["problems"][0]
