"""Whether the history of all cases is as it was written: the table by itself, and beside its copies.

The table by itself shows what was changed, swapped or taken out of the middle. Its end cannot show that: who
takes the newest rows, or rewrites every hash, is found by the copies in the topic `case-events`, by the
cases' own rows, or by a head that somebody noted elsewhere. Changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from dispatch import audit, ledger
from schemas.case import Transition

AT_ONCE = 500


class Head(NamedTuple):
    """A place in the chain through all cases, and the hash there."""

    position: int
    chain: str


NOTHING_YET = Head(0, "")


@dataclass
class Verdict:
    cases: int = 0
    transitions: int = 0
    head: Head = NOTHING_YET
    waiting: int = 0  # the newest, which have no place in the chain yet
    copies: int = 0  # events of the log that were compared
    problems: list[str] = field(default_factory=list)


class _Copy(NamedTuple):
    case_id: str
    seq: int
    hash: str
    head: Head | None


async def check(
    connection: AsyncConnection[Any], events: AsyncIterator[bytes], noted: Head | None = None
) -> Verdict:
    """`connection` is in one snapshot, taken after the end of `events` was known. Reads everything once."""
    verdict = Verdict()
    await _check_cases(connection, verdict)
    await _check_chain(connection, verdict, noted)
    copies: list[_Copy] = []
    async for event in events:
        copies += _copy_of(event)
        if len(copies) >= AT_ONCE:
            await _check_copies(connection, copies, verdict)
            copies.clear()
    await _check_copies(connection, copies, verdict)
    return verdict


async def _check_cases(connection: AsyncConnection[Any], verdict: Verdict) -> None:
    """Each history from its first line, and that the case stands where its last line left it."""
    async with connection.cursor(name="audit_cases", row_factory=dict_row) as cursor:
        await cursor.execute(
            "select coalesce(c.case_id, t.case_id) as of_case, c.version, c.state, t.* from cases c"
            " full join case_transitions t on t.case_id = c.case_id order by of_case, t.seq"
        )
        history: list[Transition | None] = []  # None: a row that cannot be a transition
        case: dict[str, Any] = {}
        async for row in cursor:
            if row["of_case"] != case.get("of_case"):
                _check_case(case, history, verdict)
                case, history = row, []
            if row["seq"] is not None:
                history.append(_transition(row))
        _check_case(case, history, verdict)


def _transition(row: dict[str, Any]) -> Transition | None:
    try:
        return ledger.transition_of(row)
    except msgspec.ValidationError:
        return None


def _check_case(case: dict[str, Any], rows: list[Transition | None], verdict: Verdict) -> None:
    if not case:
        return
    verdict.cases += 1
    verdict.transitions += len(rows)
    name = f"case {case['of_case']}"
    history = [row for row in rows if row is not None]
    if len(history) < len(rows):
        verdict.problems.append(f"{name}: transition {rows.index(None) + 1} cannot be read")
    elif (wrong := audit.verify(history)) is not None:
        verdict.problems.append(f"{name}: transition {wrong} was changed, removed or moved")
    elif not history:
        verdict.problems.append(f"{name}: it has no transitions")
    elif case["version"] is None:
        verdict.problems.append(f"{name}: its transitions are there and the case is not")
    elif (history[-1].seq, history[-1].to_state.value) != (case["version"], case["state"]):
        verdict.problems.append(
            f"{name}: it stands at version {case['version']}, {case['state']}; its last transition left it at"
            f" version {history[-1].seq}, {history[-1].to_state.value}"
        )


async def _check_chain(connection: AsyncConnection[Any], verdict: Verdict, noted: Head | None) -> None:
    head, found_noted = NOTHING_YET, noted is None
    async with connection.cursor(name="audit_chain") as cursor:
        await cursor.execute(
            "select position, case_id, seq, hash, chain from case_transitions"
            " where position is not null order by position"
        )
        async for position, case_id, seq, transition_hash, chain in cursor:
            if position != head.position + 1:
                verdict.problems.append(f"chain: places {head.position + 1} to {position - 1} are missing")
            elif chain != audit.link(head.chain, transition_hash):
                verdict.problems.append(f"chain: place {position} (case {case_id}/{seq}) does not fit")
            head = Head(position, chain)
            found_noted = found_noted or head == noted
    verdict.head = head
    if noted and not found_noted:
        verdict.problems.append(f"chain: place {noted.position} is not the one that was noted")
    row = await (
        await connection.execute("select count(*) from case_transitions where position is null")
    ).fetchone()
    verdict.waiting = row[0] if row else 0


def _copy_of(event: bytes) -> list[_Copy]:
    """None of what is no event of ours; events from before the chain have no place in it."""
    try:
        data = msgspec.json.decode(event)["data"]
        line, place = data["transition"], data.get("audit")
        head = Head(place["position"], place["chain"]) if place else None
        return [_Copy(line["case_id"], line["seq"], line["hash"], head)]
    except (msgspec.DecodeError, KeyError, TypeError):
        return []


async def _check_copies(connection: AsyncConnection[Any], copies: list[_Copy], verdict: Verdict) -> None:
    found = await connection.execute(
        "select case_id, seq, hash, position, chain from case_transitions"
        " where (case_id, seq) in (select * from unnest(%s::text[], %s::int[]))",
        ([copy.case_id for copy in copies], [copy.seq for copy in copies]),
    )
    rows = {(case_id, seq): (hash_, Head(*head)) for case_id, seq, hash_, *head in await found.fetchall()}
    verdict.copies += len(copies)
    for copy in copies:
        where = f"case {copy.case_id}: transition {copy.seq}"
        match rows.get((copy.case_id, copy.seq)):
            case None:
                verdict.problems.append(f"{where} is in the log of case events and not in the database")
            case (hash_, head) if hash_ != copy.hash or (copy.head and head != copy.head):
                verdict.problems.append(f"{where} is not what the log of case events says")
