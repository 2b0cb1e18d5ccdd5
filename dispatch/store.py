"""What people see of alerts and cases, and what they do to them. The console talks to this.

Every act is one transaction: the case under lock, the move by dispatch/lifecycle.py, its transition,
notices and live event. Refusals are lifecycle's exceptions. Alerts from Kafka come in elsewhere
(dispatch/intake.py).
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from psycopg import AsyncConnection, errors
from psycopg_pool import AsyncConnectionPool

from detectors.correlation import probable_cause
from dispatch import clocks, ledger, lifecycle, views
from dispatch.grouping import case_id_of
from dispatch.ledger import Ledger
from dispatch.lifecycle import Actor, Conflict, Forbidden, Invalid, Refused, Unknown
from dispatch.routing import route
from schemas.case import ENDED, Action, Case, Role, State, Verdict
from schemas.catalogue import catalogue
from schemas.unit import units

__all__ = ["Actor", "Conflict", "Forbidden", "Invalid", "Page", "Refused", "Store", "Unknown"]

MAX_LIMIT = 500
SILENCE = dt.timedelta(seconds=60)
LONGEST_SHELF = dt.timedelta(hours=24)
BY_HAND_LEVEL = 3
"""A person's report has no measured severity; yellow gets it verified within half an hour."""


@dataclass(frozen=True)
class Page:
    """`next` is the cursor of the page after, None on the last one."""

    items: list[dict[str, Any]]
    next: str | None


def _district_by_name(zone: str) -> str | None:
    return zone.rpartition("-")[0] or None


class Store:
    """`district_of` says the district of a zone; by default the zone's name does (`shinan-01`)."""

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        district_of: Callable[[str], str | None] = _district_by_name,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._pool = pool
        self._now = now
        self._district_of = district_of

    async def alerts(
        self,
        *,
        state: str | None = None,
        level: int | None = None,
        zone: str | None = None,
        unit: str | None = None,
        districts: frozenset[str] = frozenset(),
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Newest first. Items: the Alert's fields, condition, what people did to it, and its case.
        `unit`: only those in a case that it leads or co-handles."""
        where = _Where()
        if unit is not None:
            mine = "select case_id from cases where unit = %s or %s = any(co_units)"
            where.also(f"case_id in ({mine})", unit, unit)
        where.equal("state", state)
        where.equal("level", level)
        where.equal("zone", zone)
        where.within("district", districts)
        rows, following = await self._page("alerts", "raised_at", "alert_id", where, cursor, limit)
        return Page([views.alert_item(row) for row in rows], following)

    async def alert(self, alert_id: str) -> dict[str, Any] | None:
        rows = await self._rows("select * from alerts where alert_id = %s", (alert_id,))
        return views.alert_item(rows[0]) if rows else None

    async def cases(
        self,
        *,
        state: str | None = None,
        level: int | None = None,
        zone: str | None = None,
        unit: str | None = None,
        districts: frozenset[str] = frozenset(),
        open_only: bool = False,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Newest first; `unit` leads or co-handles. Items: the Case, `alerts_n`, `due_at`, `overdue`."""
        where = _Where()
        where.equal("state", state)
        where.equal("level", level)
        where.equal("zone", zone)
        if unit is not None:
            where.also("(unit = %s or %s = any(co_units))", unit, unit)
        where.within("district", districts)
        if open_only:
            where.also("open")
        rows, following = await self._page("cases", "opened_at", "case_id", where, cursor, limit)
        now = self._now()
        return Page([views.case_item(ledger.case_of(row), now) for row in rows], following)

    async def case(
        self, case_id: str, actor: Actor | None = None, now: dt.datetime | None = None
    ) -> dict[str, Any] | None:
        """The case with its alerts, its transitions, and the `actions` that are possible for `actor`."""
        now = now or self._now()
        async with self._pool.connection() as connection, connection.transaction():
            # One picture: between two reads somebody may act, and the page would contradict itself.
            await connection.execute("set transaction isolation level repeatable read, read only")
            work = Ledger(connection, now)
            found = await work.rows("select * from cases where case_id = %s", (case_id,))
            if not found:
                return None
            case = ledger.case_of(found[0])
            alerts = await work.rows(
                "select * from alerts where alert_id = any(%s) order by raised_at, alert_id",
                (list(case.alerts),),
            )
            history = await work.rows(
                "select * from case_transitions where case_id = %s order by seq", (case_id,)
            )
        told = [ledger.alert_of(row) for row in alerts]
        return {
            **views.case_item(case, now),
            "alerts": [views.alert_item(row) for row in alerts],
            "probable_cause": views.cause_item(probable_cause(told), told),
            "transitions": [views.transition_item(ledger.transition_of(row)) for row in history],
            "actions": list(lifecycle.possible(case, actor, now)) if actor else [],
        }

    async def open_case(
        self,
        *,
        category: str,
        zone: str | None,
        place: str | None,
        text: str,
        caller: str | None,
        actor: Actor,
        now: dt.datetime,
    ) -> Case:
        """A case that began with a person: a phone call, the hotline, a patrol."""
        role = next((role for role in (Role.duty, Role.leader) if role in actor.roles), None)
        if role is None:
            raise Forbidden("opening a case is for the roles duty and leader")
        row = catalogue().get(category)
        networks = {row.domain for row in catalogue().values()}
        if row is None and category not in networks:
            raise Invalid(f"no category {category!r} in the catalogue")
        if not text.strip():
            raise Invalid("say what was reported: text is empty")
        network = row.domain if row else category
        district = self._district_of(zone) if zone else None
        if actor.districts and district not in actor.districts:
            raise Forbidden(f"{actor.name} works in {', '.join(sorted(actor.districts))}, not {district}")
        way = route(category, network, zone)
        case = Case(
            case_id=case_id_of("\x1f".join((category, zone or "", text, actor.name, now.isoformat()))),
            version=1,
            state=State.detected,
            level=BY_HAND_LEVEL,
            category=category,
            network=network,
            zone=zone,
            district=district,
            unit=way.lead,
            co_units=way.co_units,
            condition="cleared",
            place=place,
            text=text,
            caller=caller,
            opened_at=now,
            updated_at=now,
        )
        evidence = {"place": place, "text": text, "caller": caller}
        case, transition = lifecycle.opened(case, actor=actor.name, role=role, evidence=evidence)
        async with self._ledger(now) as work:
            await work.record(None, case, transition)
        return case

    async def act(
        self,
        case_id: str,
        *,
        action: str,
        version: int,
        actor: Actor,
        now: dt.datetime,
        unit: str | None = None,
        reason: str | None = None,
        evidence: dict[str, Any] | str | None = None,
        result: str | None = None,
        into: str | None = None,
    ) -> Case:
        """Raises Unknown, Forbidden, Invalid, or Conflict with the case as it is. `result` of verify
        and `into` of merge may also stand in the evidence."""
        given = {"text": evidence} if isinstance(evidence, str) else dict(evidence or {})
        result = result or given.get("result")
        into = into or given.get("into")
        wanted = _action(action)
        verdict = _verdict(result) if wanted is Action.verify and result is not None else None
        if unit is not None and unit not in units():
            raise Invalid(f"no unit {unit!r}")
        if wanted is Action.merge and not isinstance(into, str):
            raise Invalid("merge needs into, the case that goes on")

        def asked(case: Case, other: Case | None) -> lifecycle.Act:
            return lifecycle.Act(
                action=wanted,
                actor=actor,
                version=version,
                unit=unit or (case.unit if wanted is Action.dispatch else None),
                reason=reason,
                evidence=given,
                result=verdict,
                into=other,
            )

        into = into if wanted is Action.merge else None
        for _ in range(3):
            with suppress(errors.DeadlockDetected):  # a merge and the alerts' reader, in two orders
                return await self._act(case_id, into, asked, now)
        return await self._act(case_id, into, asked, now)

    async def _act(
        self,
        case_id: str,
        into: str | None,
        asked: Callable[[Case, Case | None], lifecycle.Act],
        now: dt.datetime,
    ) -> Case:
        async with self._ledger(now) as work:
            names = ledger.in_order([case_id, *([into] if into else [])])
            locked = {name: await _locked(work, name) for name in names}
            case, other = locked[case_id], locked[into] if into else None
            act = asked(case, other)
            after, transition = lifecycle.apply(case, act, now)
            if act.action is Action.reopen:
                await _free_to_reopen(work, case)
            await work.record(case, after, transition)
            if other is not None:
                joined, line = lifecycle.apply(other, lifecycle.Absorbed(case, act.actor), now)
                await work.record(other, joined, line)
            return after

    async def acknowledge(self, alert_id: str, actor: Actor, now: dt.datetime) -> dict[str, Any]:
        """The alert, with `already` true if somebody had done so: who and when stand in it."""
        async with self._ledger(now) as work:
            alert, case = await _watched(work, alert_id, actor)
            if alert["acknowledged_by"] is not None:
                return {**views.alert_item(alert), "already": True}
            await _seen(work, case, actor, now)
            columns = {"acknowledged_by": actor.name, "acknowledged_at": now}
            return {**await _change(work, alert, actor, now, "acknowledge", columns), "already": False}

    async def silence(self, alert_id: str, actor: Actor, now: dt.datetime) -> dict[str, Any]:
        """Stops the tone for a minute (消音); not an acknowledgement."""
        async with self._ledger(now) as work:
            alert, _ = await _watched(work, alert_id, actor)
            columns = {"silenced_by": actor.name, "silenced_until": now + SILENCE}
            return await _change(work, alert, actor, now, "silence", columns, now + SILENCE)

    async def shelve(
        self, alert_id: str, actor: Actor, until: dt.datetime, reason: str, now: dt.datetime
    ) -> dict[str, Any]:
        """Sets it aside for a time (搁置): still evaluated and recorded; an upgrade takes it down.
        Who shelves has seen it: it counts as acknowledged."""
        if not now < until <= now + LONGEST_SHELF:
            raise Invalid("shelve needs until, at most 24 h from now")
        if not reason or not reason.strip():
            raise Invalid("shelve needs reason")
        async with self._ledger(now) as work:
            alert, case = await _watched(work, alert_id, actor)
            await _seen(work, case, actor, now)
            columns = {
                "shelved_by": actor.name,
                "shelved_until": until,
                "shelved_reason": reason,
                "acknowledged_by": alert["acknowledged_by"] or actor.name,
                "acknowledged_at": alert["acknowledged_at"] or now,
            }
            return await _change(work, alert, actor, now, "shelve", columns, until, reason)

    async def unshelve(self, alert_id: str, actor: Actor, now: dt.datetime) -> dict[str, Any]:
        async with self._ledger(now) as work:
            alert, _ = await _watched(work, alert_id, actor)
            columns = dict.fromkeys(("shelved_by", "shelved_until", "shelved_reason"))
            return await _change(work, alert, actor, now, "unshelve", columns)

    async def counts(self) -> dict[str, Any]:
        """Active alerts by level, cases by state, open ones by level, what waits, silent gateways, and
        how many alerts rose in the last 10 minutes."""
        levels = await self._rows(
            "select level, count(*) as n from alerts where state = 'active' group by level"
        )
        states = await self._rows("select state, count(*) as n from cases group by state")
        opened = await self._rows("select level, count(*) as n from cases where open group by level")
        others = await self._rows(
            "select (select count(*) from alerts where state = 'active' and acknowledged_by is null)"
            " as unacknowledged,"
            " (select count(*) from alerts where state = 'active' and rule = 'blind-area')"
            " as gateways_silent,"
            " (select count(*) from cases where open and acknowledged_by is null) as cases_unseen,"
            " (select count(*) from alerts where raised_at > now() - interval '10 minutes') as raised_10min,"
            " (select count(*) from cases where open and stopped_at is null and due_at < %s) as overdue,"
            " (select count(*) from outbox where sent_at is null and dead_at is null) as notices_waiting,"
            " (select count(*) from outbox where dead_at is not null) as notices_dead",
            (self._now(),),
        )
        return {
            "alerts": {str(row["level"]): row["n"] for row in levels},
            "cases": {row["state"]: row["n"] for row in states},
            "open_cases": {str(row["level"]): row["n"] for row in opened},
            **others[0],
        }

    async def events_after(self, last_id: int, limit: int = 500) -> list[dict[str, Any]]:
        """Live events with a higher id: {"id", "kind", "payload"}; NOTIFY `cityvigil_live` announces them."""
        return await self._rows(
            "select id, kind, payload from live_events where id > %s order by id limit %s", (last_id, limit)
        )

    async def newest_event(self) -> int:
        """The id to begin from for somebody who has just read the lists."""
        rows = await self._rows("select coalesce(max(id), 0) as id from live_events")
        return int(rows[0]["id"])

    async def units(self) -> list[dict[str, Any]]:
        return [msgspec.to_builtins(unit) for unit in units().values()]

    async def _rows(self, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        async with self._pool.connection() as connection:
            return await Ledger(connection, self._now()).rows(query, values)

    async def _page(
        self, table: str, moment: str, name: str, where: _Where, cursor: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        limit = max(1, min(limit, MAX_LIMIT))
        if cursor:
            where.also(f"({moment}, {name}) < (%s, %s)", *_read_cursor(cursor))
        rows = await self._rows(
            f"select * from {table} {where} order by {moment} desc, {name} desc limit %s",
            [*where.values, limit + 1],
        )
        more = len(rows) > limit
        last = rows[limit - 1] if more else None
        return rows[:limit], _write_cursor(last[moment], last[name]) if last else None

    @asynccontextmanager
    async def _ledger(self, now: dt.datetime) -> AsyncIterator[Ledger]:
        try:
            async with self._pool.connection() as connection, connection.transaction():
                work = Ledger(connection, now)
                yield work
                await work.finish()
        except errors.DataError as error:  # e.g. a NUL in a text
            raise Invalid(str(error).strip()) from None


class _Where:
    def __init__(self) -> None:
        self.terms: list[str] = []
        self.values: list[Any] = []

    def equal(self, column: str, value: object | None) -> None:
        if value is not None:
            self.also(f"{column} = %s", value)

    def within(self, column: str, allowed: frozenset[str]) -> None:
        if allowed:
            self.also(f"{column} = any(%s)", sorted(allowed))

    def also(self, term: str, *values: object) -> None:
        self.terms.append(term)
        self.values.extend(values)

    def __str__(self) -> str:
        return "where " + " and ".join(self.terms) if self.terms else ""


def _write_cursor(moment: dt.datetime, name: str) -> str:
    return base64.urlsafe_b64encode(f"{moment.astimezone(dt.UTC).isoformat()} {name}".encode()).decode()


def _read_cursor(text: str) -> tuple[dt.datetime, str]:
    try:
        moment, name = base64.urlsafe_b64decode(text.encode()).decode().split(" ", 1)
        return dt.datetime.fromisoformat(moment), name
    except (ValueError, binascii.Error):
        raise Invalid(f"not a cursor of ours: {text!r}") from None


def _action(text: str) -> Action:
    try:
        return Action(text)
    except ValueError:
        raise Invalid(f"no action {text!r}") from None


def _verdict(text: object) -> Verdict:
    try:
        return Verdict(str(text))
    except ValueError:
        raise Invalid(f"result is one of {', '.join(Verdict)}, not {text!r}") from None


async def _locked(work: Ledger, case_id: str) -> Case:
    case = await work.case(case_id)
    if case is None:
        raise Unknown(f"no case {case_id!r}")
    return case


async def _free_to_reopen(work: Ledger, case: Case) -> None:
    """Raises Invalid if one of its alerts stands in another open case by now."""
    elsewhere = await work.rows(
        "select alert_id, case_id from case_alerts where alert_id = any(%s) and open", (list(case.alerts),)
    )
    if elsewhere:
        raise Invalid(f"its alert stands in open case {elsewhere[0]['case_id']}: work there")


async def _watched(work: Ledger, alert_id: str, actor: Actor) -> tuple[dict[str, Any], Case | None]:
    """The alert and its case, both under lock (the case first, as everywhere). Raises Unknown, Forbidden."""
    if not actor.roles & {Role.duty, Role.leader}:
        raise Forbidden("alerts are for the roles duty and leader")
    found = await work.rows("select case_id, district from alerts where alert_id = %s", (alert_id,))
    if not found:
        raise Unknown(f"no alert {alert_id!r}")
    if actor.districts and found[0]["district"] not in actor.districts:
        raise Forbidden(f"{actor.name} does not work in {found[0]['district']}")
    case = await work.case(found[0]["case_id"]) if found[0]["case_id"] else None
    alert = await work.alert(alert_id)
    assert alert is not None
    return alert, case


async def _change(
    work: Ledger,
    alert: dict[str, Any],
    actor: Actor,
    now: dt.datetime,
    action: str,
    columns: dict[str, Any],
    until: dt.datetime | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    """Writes what a person did to an alert; gives it as it is now."""
    sets = ", ".join(f"{name} = %s" for name in columns)
    changed = await work.rows(
        f"update alerts set {sets} where alert_id = %s returning *", [*columns.values(), alert["alert_id"]]
    )
    await work.write(
        "insert into alert_actions (alert_id, action, actor, at, until, reason)"
        " values (%s, %s, %s, %s, %s, %s)",
        (alert["alert_id"], action, actor.name, now, until, reason),
    )
    work.show_alert(changed[0])
    return views.alert_item(changed[0])


async def _seen(work: Ledger, case: Case | None, actor: Actor, now: dt.datetime) -> None:
    """Somebody has seen an alert of the case: its clock for that ends."""
    if case is not None and case.acknowledged_by is None and case.state not in ENDED:
        await work.touch(case, clocks.acknowledged(case, actor.name, now))
