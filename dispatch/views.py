"""Alerts and cases as JSON-able dicts, the way lists, details and live events show them. Pure.

Times become RFC 3339 in UTC. What is derived (due, overdue, how many alerts) is derived here, so that
a list, a page and a live event never disagree.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from detectors.correlation import Cause
from dispatch import clocks
from schemas.alert import Alert
from schemas.case import Case, Transition

_ALERT_FIELDS = Alert.__struct_fields__
_ALERT_EXTRA = (
    "raised_at",
    "updated_at",
    "acknowledged_by",
    "acknowledged_at",
    "silenced_until",
    "shelved_by",
    "shelved_until",
    "shelved_reason",
    "case_id",
)


def alert_item(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `alerts`: the Alert's fields, and what people did to it. `condition` repeats `state`:
    the other two axes are the acknowledgement and the case's work."""
    item = {name: row[name] for name in (*_ALERT_FIELDS, *_ALERT_EXTRA)}
    shown: dict[str, Any] = plain({**item, "condition": row["state"]})
    return shown


def case_item(case: Case, now: dt.datetime) -> dict[str, Any]:
    """A case with `alerts_n`, `due_at` (of the next clock) and `overdue` (clocks that ran out)."""
    item: dict[str, Any] = plain(msgspec.structs.asdict(case))
    item["alerts_n"] = len(case.alerts)
    item["due_at"] = plain(clocks.due_at(case))
    item["overdue"] = list(clocks.overdue(case, now))
    return item


def cause_item(cause: Cause | None, alerts: Sequence[Alert] = ()) -> dict[str, Any] | None:
    """What probably caused the other alerts of a case, by which links they follow from it, and where it is
    if one of them could tell."""
    placed = max((a for a in alerts if a.evidence.place), key=lambda a: a.observed_at, default=None)
    root = cause.alert if cause is not None else placed
    if root is None:
        return None
    place = placed.evidence.place if placed is not None else None
    return {
        **_named(root),
        "effects": [
            {**_named(effect), "link": link.name, "text_zh": link.text_zh, "text_en": link.text_en}
            for effect, link in (cause.effects if cause is not None else ())
        ],
        "place": None if place is None else msgspec.structs.asdict(place),
    }


def _named(alert: Alert) -> dict[str, Any]:
    names = ("alert_id", "subject", "category", "network", "asset")
    return {name: getattr(alert, name) for name in names}


def transition_item(transition: Transition) -> dict[str, Any]:
    item: dict[str, Any] = plain(msgspec.structs.asdict(transition))
    return item


def plain(value: Any) -> Any:
    """JSON-able, with every time in UTC."""
    return msgspec.to_builtins(_in_utc(value))


def _in_utc(value: Any) -> Any:
    match value:
        case dt.datetime():
            return value.astimezone(dt.UTC)
        case dict():
            return {key: _in_utc(item) for key, item in value.items()}
        case list() | tuple():
            return [_in_utc(item) for item in value]
    return value
