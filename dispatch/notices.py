"""Who must be told what because a case changed: (before, after, transition) -> notices. Pure.

The duty desk hears of every case and of every rise of its level; at level 1 and 2 the lead unit hears
at once (预通知), before anybody verified; formal dispatch tells all units; clocks that ran out go to
the shift leader. Units outside the house (119, 110, ...) hear only what a person confirmed or was
dispatched to them by name. How a notice travels is dispatch/notify/.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dispatch import urgent
from dispatch.views import plain
from schemas.alert import Alert
from schemas.case import Action, Case, State, Transition, Verdict
from schemas.catalogue import catalogue
from schemas.unit import DUTY_DESK, units

SHIFT_LEADER = "shift-leader"
CHECKERS = "checkers"

_URGENT = 2
_BEFORE_DISPATCH = frozenset({State.detected, State.verified, State.filed})
_LEVEL_ZH = {1: "一级（红）", 2: "二级（橙）", 3: "三级（黄）", 4: "四级（蓝）"}
_STEP_ZH = {
    "case": "新案件",
    "level": "级别上升",
    "pre-notice": "预通知",
    "dispatch": "派遣",
    "return": "回退",
    "rework": "返工",
    "check": "待核查",
    "withdraw": "撤回",
    "escalate": "超期",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One recipient, one step. `key` is the same however often the step is worked out again; a
    channel is appended to it before it leaves the house."""

    key: str
    step: str
    recipient: str
    case_id: str
    alert_id: str | None
    level: int
    payload: dict[str, Any]


def of(before: Case | None, after: Case, transition: Transition, alert: Alert | None = None) -> list[Notice]:
    """The notices of one transition; `alert` is what caused it, if one did."""
    known = units()
    notices = []
    for step, recipient in dict.fromkeys(_told(before, after, transition)):
        unit = known.get(recipient)
        named = transition.action is Action.dispatch and recipient == after.unit
        if unit is not None and unit.outside and not named and after.verdict is not Verdict.real:
            continue
        notices.append(
            Notice(
                key=_key(after, transition, step, recipient, alert),
                step=step,
                recipient=recipient,
                case_id=after.case_id,
                alert_id=alert.alert_id if alert else next(iter(after.alerts), None),
                level=after.level,
                payload=_payload(step, recipient, after, transition, alert),
            )
        )
    return notices


def _key(after: Case, transition: Transition, step: str, recipient: str, alert: Alert | None) -> str:
    """An alert of level 1 is told once to each, whoever tells it: perhaps without a case, by the bypass."""
    if alert is not None and alert.worst == 1:
        return urgent.key_of(alert.alert_id, recipient)
    return f"{after.case_id}/{transition.seq}/{step}/{recipient}"


def _told(before: Case | None, after: Case, transition: Transition) -> Iterator[tuple[str, str]]:
    urgent = after.level <= _URGENT
    match transition.action:
        case Action.open:
            yield "case", DUTY_DESK
            if urgent and after.unit:
                yield "pre-notice", after.unit
        case Action.join | Action.upgrade:
            worse = before is not None and after.level < before.level
            if worse:
                yield "level", DUTY_DESK
            if urgent and worse and after.unit:
                yield "pre-notice", after.unit
            if urgent and before is not None:
                yield from (("pre-notice", u) for u in after.co_units if u not in before.co_units)
        case Action.dispatch:
            yield from (("dispatch", unit) for unit in (after.unit, *after.co_units) if unit)
        case Action.return_:
            yield "return", DUTY_DESK
        case Action.rework:
            yield "rework", DUTY_DESK
        case Action.report:
            yield "check", CHECKERS
        case Action.decline | Action.void | Action.merge:
            told = urgent or (before is not None and before.state not in _BEFORE_DISPATCH)
            if told and after.unit:
                yield "withdraw", after.unit
        case Action.escalate:
            yield "escalate", SHIFT_LEADER
        case _:
            return


def _payload(
    step: str, recipient: str, case: Case, transition: Transition, alert: Alert | None
) -> dict[str, Any]:
    row = catalogue().get(case.category)
    name_zh = row.name_zh if row else case.category
    name_en = row.quantity if row else case.category
    why_zh = alert.evidence.text_zh if alert else case.text or transition.reason or ""
    why_en = alert.evidence.text_en if alert else case.text or transition.reason or ""
    unit = units().get(recipient)
    place = case.place or case.zone or ""
    return {
        "step": step,
        "to": recipient,
        "to_zh": unit.name_zh if unit else recipient,
        "phone": unit.phone if unit else "",
        "case_id": case.case_id,
        "state": case.state.value,
        "level": case.level,
        "category": case.category,
        "zone": case.zone,
        "district": case.district,
        "place": case.place,
        "unit": case.unit,
        "subject": alert.subject if alert else None,
        "alert_id": alert.alert_id if alert else next(iter(case.alerts), None),
        "correlation": alert.correlation if alert else None,
        "clock": transition.evidence.get("clock"),
        "at": plain(transition.at),
        "since": plain(alert.since) if alert else None,
        "text_zh": f"【{_STEP_ZH[step]}】{_LEVEL_ZH[case.level]} {place} {name_zh}：{why_zh}".rstrip("："),
        "text_en": f"[{step}] level {case.level}, {place}, {name_en}: {why_en}".rstrip(": "),
    }


def caused_at(transition: Transition, kafka_at: dt.datetime | None) -> dt.datetime:
    """When what is told happened: Kafka's time of the alert, else the time of the act."""
    return kafka_at or transition.at
