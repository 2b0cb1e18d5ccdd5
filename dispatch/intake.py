"""An alert's message becomes what is known of the alert and of its case, in one transaction.

Applies a message only if its `seq` is higher than what is there, so repeats change nothing. Locks the
case before the alert, as everybody does. What the log causes carries Kafka's time of the message:
clocks run from when people could have known, also when dispatch was down meanwhile.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace
from psycopg.types.json import Json

from detectors.correlation import Link
from dispatch import grouping, ledger, lifecycle
from dispatch.grouping import Candidate, Linked
from dispatch.ledger import Ledger
from dispatch.routing import route
from schemas.alert import Alert
from schemas.case import ENDED, Action, Case, State

_FIELDS = Alert.__struct_fields__
_NEW_LOOK = (
    "acknowledged_by",
    "acknowledged_at",
    "silenced_by",
    "silenced_until",
    "shelved_by",
    "shelved_until",
    "shelved_reason",
)

_UNHEARD: dict[str, Any] = {"state": None, "case_id": None, "suppressed": None}


@dataclass(frozen=True, slots=True)
class Message:
    """An alert as it came: where it stands in the log, and Kafka's time of it."""

    alert: Alert
    kafka_at: dt.datetime
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a message: `applied` or not, and what it did to a case."""

    applied: bool
    action: Action | None = None
    case_id: str | None = None


async def take(work: Ledger, message: Message, linked: Linked) -> Taken:
    """Raises nothing of its own: what it cannot store, PostgreSQL refuses (psycopg.DataError)."""
    alert = message.alert
    known = await work.rows(
        "select seq, worst, state, case_id, suppressed from alerts where alert_id = %s", (alert.alert_id,)
    )
    if alert.mode == "shadow" or (known and alert.seq <= known[0]["seq"]):
        return Taken(False)
    row: dict[str, Any] = known[0] if known else _UNHEARD | {"worst": alert.worst}
    worse = alert.worst < row["worst"]
    released = row["suppressed"] is not None and alert.suppressed is None
    changed = worse or released or alert.state != row["state"]  # else the case has nothing to learn
    case = await _case_of(work, row["case_id"]) if changed else None
    kept = await _keep(work, message, bool(known), worse)
    taken = Taken(True, None, kept["case_id"])
    if changed and grouping.needs_case(alert, case, worse):
        taken = await _place(work, message, case, linked)
    elif case is not None:
        taken = await _update(work, message, case)
    work.show_alert({**kept, "case_id": taken.case_id})
    return taken


async def release(work: Ledger, row: dict[str, Any], now: dt.datetime, linked: Linked) -> Taken:
    """An alert that is still active when nobody works on its sensor any more looks for a case. `row` is that
    of `alerts`, under lock."""
    alert = replace(ledger.alert_of(row), suppressed=None)
    (kept,) = await work.rows(
        "update alerts set suppressed = null, updated_at = %s where alert_id = %s returning *",
        (now, alert.alert_id),
    )
    taken = await _place(work, Message(alert, now, -1, -1), None, linked)
    work.show_alert({**kept, "case_id": taken.case_id})
    return taken


async def _case_of(work: Ledger, case_id: str | None) -> Case | None:
    """The alert's case under lock; a merge that came between is followed."""
    case = await work.case(case_id) if case_id else None
    while case is not None and case.state is State.merged and case.merged_into:
        case = await work.case(case.merged_into)
    return case


async def _keep(work: Ledger, message: Message, known: bool, worse: bool) -> dict[str, Any]:
    """Writes the alert's row, which it gives, and the line of its history. One that got worse wants to
    be seen again."""
    alert = message.alert
    row: dict[str, Any] = {name: getattr(alert, name) for name in _FIELDS}
    row["evidence"] = Json(msgspec.to_builtins(alert.evidence))
    row["updated_at"] = message.kafka_at
    if known:
        row |= dict.fromkeys(_NEW_LOOK) if worse else {}
        sets = ", ".join(f"{name} = %s" for name in row)
        kept = await work.rows(
            f"update alerts set {sets} where alert_id = %s returning *", [*row.values(), alert.alert_id]
        )
    else:
        row["raised_at"] = message.kafka_at
        names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        kept = await work.rows(
            f"insert into alerts ({names}) values ({marks}) returning *", list(row.values())
        )
    await work.write(
        "insert into alert_changes values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            alert.alert_id,
            alert.seq,
            alert.change,
            alert.level,
            alert.state,
            alert.observed_at,
            message.kafka_at,
            message.partition,
            message.offset,
        ),
    )
    return kept[0]


async def _place(work: Ledger, message: Message, ended: Case | None, linked: Linked) -> Taken:
    """Into an open case, or a new one. `ended` is the case that it stood in before."""
    alert, now = message.alert, message.kafka_at
    way = route(alert.category, alert.network, alert.zone)
    found = await _joined(work, alert, linked)
    if found is not None:
        joined, link = found
        why = {"link": link.name, "link_zh": link.text_zh, "link_en": link.text_en} if link else {}
        units = tuple(unit for unit in (way.lead, *way.co_units) if alert.network != joined.network)
        event = lifecycle.Joined(
            alert_id=alert.alert_id,
            level=alert.worst,
            observed_at=alert.observed_at,
            co_units=units,
            evidence={**_evidence(alert), **why},
        )
        after, transition = lifecycle.apply(joined, event, now)
        after = replace(after, condition="active")
        await work.record(joined, after, transition, alert=alert, kafka_at=now)
        return Taken(True, Action.join, after.case_id)
    fresh = Case(
        case_id=grouping.case_id_of(grouping.origin_of(alert, ended is not None)),
        version=1,
        state=State.detected,
        level=alert.worst,
        category=alert.category or alert.rule.replace("-", "_"),
        network=alert.network,
        zone=alert.zone,
        district=alert.district,
        unit=way.lead,
        co_units=way.co_units,
        alerts=(alert.alert_id,),
        place=alert.asset,
        opened_at=now,
        updated_at=now,
        event_first=alert.observed_at,
        event_last=alert.observed_at,
    )
    opened, transition = lifecycle.opened(
        fresh, actor=lifecycle.DISPATCH, role=lifecycle.DISPATCH, evidence=_evidence(alert)
    )
    await work.record(None, opened, transition, alert=alert, kafka_at=now)
    return Taken(True, Action.open, opened.case_id)


async def _joined(work: Ledger, alert: Alert, linked: Linked) -> tuple[Case, Link | None] | None:
    """As grouping.joins, over the open cases of the zone near in event time, locked; the alerts of a case
    are read only where they decide: in a flood it holds hundreds."""
    rows = await work.rows(
        "select * from cases where open and zone = %s and event_first <= %s and event_last >= %s"
        " order by case_id for update",
        (alert.zone, alert.observed_at + grouping.LINK_WITHIN, alert.observed_at - grouping.LINK_WITHIN),
    )
    for case in grouping.in_question(alert, map(ledger.case_of, rows)):
        if grouping.takes(alert, case):
            return case, None
        held = await work.rows(
            "select * from alerts where alert_id = any(%s) order by raised_at, alert_id",
            (list(case.alerts),),
        )
        candidate = Candidate(case, [ledger.alert_of(known) for known in held])
        fits, link = grouping.takes_by_alerts(alert, candidate, linked)
        if fits:
            return case, link
    return None


async def _update(work: Ledger, message: Message, case: Case) -> Taken:
    """The case that the alert stands in: worse, or its condition changed, or as it was."""
    alert = message.alert
    active = await work.rows(
        "select 1 from alerts where alert_id = any(%s) and state = 'active' limit 1", (list(case.alerts),)
    )
    condition = "active" if active else "cleared"
    if case.state not in ENDED and alert.worst < case.level:
        event = lifecycle.Upgraded(
            alert_id=alert.alert_id,
            level=alert.worst,
            observed_at=alert.observed_at,
            evidence=_evidence(alert),
        )
        after, transition = lifecycle.apply(case, event, message.kafka_at)
        after = replace(after, condition=condition)
        await work.record(case, after, transition, alert=alert, kafka_at=message.kafka_at)
        return Taken(True, Action.upgrade, case.case_id)
    if condition != case.condition:
        await work.touch(case, replace(case, condition=condition, updated_at=message.kafka_at))
    return Taken(True, None, case.case_id)


def _evidence(alert: Alert) -> dict[str, Any]:
    """What a transition keeps of the alert that caused it; the correlation leads back to the frame."""
    shown = {
        "alert_id": alert.alert_id,
        "alert_seq": alert.seq,
        "rule": alert.rule,
        "rule_version": alert.rule_version,
        "subject": alert.subject,
        "level": alert.level,
        "observed_at": alert.observed_at.astimezone(dt.UTC).isoformat(),
        "correlation": alert.correlation,
        "value": alert.evidence.value,
        "limit": alert.evidence.limit,
        "text_zh": alert.evidence.text_zh,
        "text_en": alert.evidence.text_en,
    }
    return {key: value for key, value in shown.items() if value is not None}
