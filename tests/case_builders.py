"""Alerts and cases with sensible values, of which a test overrides the one it is about."""

from __future__ import annotations

import datetime as dt
from typing import Any

from msgspec.structs import replace

from dispatch import lifecycle
from dispatch.lifecycle import Actor
from schemas.alert import Alert, Evidence, alert_id
from schemas.case import Case, Role, State

NOON = dt.datetime(2026, 3, 2, 12, 0, tzinfo=dt.UTC)


def an_alert(**changes: Any) -> Alert:
    """A level 3 gas leak in shinan-01 at noon; its id follows from rule, mode, subject and since."""
    values: dict[str, Any] = {
        "seq": 1,
        "change": "raise",
        "mode": "live",
        "rule": "gas-manhole-methane",
        "rule_version": "0123456789abcdef",
        "subject": "sensor/gw-gas-n01-1/ch4-1",
        "category": "gas_manhole_methane",
        "network": "gas",
        "zone": "shinan-01",
        "district": "shinan",
        "level": 3,
        "state": "active",
        "since": NOON,
        "evidence": Evidence(
            text_zh="甲烷1.2%（限1.0%）",
            text_en="methane 1.2 % (limit 1.0 %)",
            source="GB 50838",
            confidence="judgement",
            value=1.2,
            limit=1.0,
            unit="%{vol}",
        ),
        "published_at": None,
        "correlation": "gw-gas-n01-1/1/42",
        **changes,
    }
    values.setdefault("observed_at", values["since"])
    values.setdefault("worst", values["level"])
    values.setdefault(
        "alert_id", alert_id(values["rule"], values["mode"], values["subject"], values["since"])
    )
    return Alert(**values)


def changed(alert: Alert, change: str, minutes: float = 1, **changes: Any) -> Alert:
    """The next message of an alert's episode, so many minutes of event time later."""
    level = changes.pop("level", alert.level)
    return replace(
        alert,
        seq=alert.seq + 1,
        change=change,
        level=level,
        worst=min(alert.worst, level),
        state="cleared" if change == "clear" else "active",
        observed_at=alert.observed_at + dt.timedelta(minutes=minutes),
        **changes,
    )


def a_case(**changes: Any) -> Case:
    """A case as it stands just after an alert opened it at noon; clocks follow from its level."""
    values: dict[str, Any] = {
        "case_id": "C-000000000001",
        "version": 1,
        "state": State.detected,
        "level": 3,
        "category": "gas_flow_rate",
        "network": "gas",
        "zone": "shinan-01",
        "district": "shinan",
        "unit": "gas-company",
        "alerts": ("a1",),
        "opened_at": NOON,
        "updated_at": NOON,
        "event_first": NOON,
        "event_last": NOON,
        **changes,
    }
    return lifecycle.opened(Case(**values), actor="dispatch", role="dispatch", evidence={})[0]


def an_actor(*roles: Role, unit: str | None = None, name: str = "li") -> Actor:
    return Actor(name=name, roles=frozenset(roles), unit=unit)


DUTY = an_actor(Role.duty, name="duty")
LEADER = an_actor(Role.leader, name="leader")
CREW = an_actor(Role.unit, unit="gas-company", name="crew")
CHECKER = an_actor(Role.checker, name="checker")
