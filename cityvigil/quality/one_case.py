"""Alerts into cases as dispatch would, without its database: what one duty officer has on the desk.

The grouping is dispatch/grouping.py's own; nobody works on these cases, so all stay open and none ends.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from detectors.correlation import linked
from dispatch import grouping
from dispatch.grouping import Candidate
from schemas.alert import Alert
from schemas.case import Case, State


def cases_of(alerts: Iterable[Alert]) -> dict[str, str]:
    """alert_id -> case_id, of alerts in the order in which they came."""
    zones: dict[str | None, list[Candidate]] = {}
    home: dict[str, str] = {}
    worst: dict[str, int] = {}
    for alert in alerts:
        open_here = zones.setdefault(alert.zone, [])
        if alert.alert_id in home:
            if alert.worst < worst[alert.alert_id]:
                _heard(open_here, home[alert.alert_id], alert)
        elif grouping.needs_case(alert, None, worse=True):
            home[alert.alert_id] = _placed(open_here, alert)
        worst[alert.alert_id] = min(alert.worst, worst.get(alert.alert_id, alert.worst))
    return home


def _placed(open_here: list[Candidate], alert: Alert) -> str:
    near = [
        candidate
        for candidate in open_here
        if candidate.case.event_first is not None
        and candidate.case.event_last is not None
        and candidate.case.event_first <= alert.observed_at + grouping.LINK_WITHIN
        and candidate.case.event_last >= alert.observed_at - grouping.LINK_WITHIN
    ]
    found = grouping.joins(alert, near, linked)
    if found is not None:
        case_id = found[0].case_id
        _heard(open_here, case_id, alert, joins=True)
        return case_id
    case = Case(
        case_id=grouping.case_id_of(grouping.origin_of(alert, ended=False)),
        version=1,
        state=State.detected,
        level=alert.worst,
        category=alert.category or alert.rule.replace("-", "_"),
        network=alert.network,
        zone=alert.zone,
        district=alert.district,
        unit=None,
        alerts=(alert.alert_id,),
        opened_at=alert.observed_at,
        updated_at=alert.observed_at,
        event_first=alert.observed_at,
        event_last=alert.observed_at,
    )
    open_here.append(Candidate(case, [alert]))
    return case.case_id


def _heard(open_here: list[Candidate], case_id: str, alert: Alert, joins: bool = False) -> None:
    """A case is as long in event time as its alerts that joined or got worse."""
    at = next(i for i, candidate in enumerate(open_here) if candidate.case.case_id == case_id)
    case, held = open_here[at].case, open_here[at].alerts
    assert case.event_first is not None
    assert case.event_last is not None
    changes = {"event_last": max(case.event_last, alert.observed_at)}
    if joins:
        changes["event_first"] = min(case.event_first, alert.observed_at)
        held = [*held, alert]
    ids = (*case.alerts, alert.alert_id) if joins else case.alerts
    open_here[at] = Candidate(msgspec.structs.replace(case, alerts=ids, **changes), held)
