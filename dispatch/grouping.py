"""Which case an alert belongs to. Pure, and by event time only.

An alert joins the open case of its zone and network if it was raised within 30 minutes of event time of
that case's alerts; or one, of any network, that correlation links (a gas leak and methane in the sewer beside
it), however much later the effect may come; or one that already holds such an alert of its network. Else it
opens one. The answer depends on the log alone: not on when messages arrived, in which batch, or how often.
So only alerts of one zone are compared, which one partition keeps in order; one without a zone stands alone.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from detectors.correlation import LONGEST_LAG_S, Link
from schemas.alert import Alert
from schemas.case import ENDED, Case

DEVICE = "device"
JOIN_WITHIN = dt.timedelta(minutes=30)
LINK_WITHIN = max(JOIN_WITHIN, dt.timedelta(seconds=LONGEST_LAG_S))

Linked = Callable[[Alert, Alert], Link | None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An open case with the alerts that it holds."""

    case: Case
    alerts: Sequence[Alert]


def case_id_of(origin: str) -> str:
    """The id of the case that began with `origin` (an alert's id): the same for every reader.

    >>> case_id_of("d221cb66a1c735d592726c01486d7959")
    'C-893c02d49550'
    """
    return "C-" + hashlib.sha256(origin.encode()).hexdigest()[:12]


def origin_of(alert: Alert, ended: bool) -> str:
    """What names the case that this alert opens; an alert that got worse after its case `ended`
    opens a second one, which needs a name of its own."""
    return f"{alert.alert_id}/{alert.seq}" if ended else alert.alert_id


def joins(alert: Alert, candidates: Iterable[Candidate], linked: Linked) -> tuple[Case, Link | None] | None:
    """The case that this alert joins, and the link if a link made it. None: it opens one."""
    held = {candidate.case.case_id: candidate for candidate in candidates}
    for case in in_question(alert, (candidate.case for candidate in held.values())):
        if takes(alert, case):
            return case, None
        fits, link = takes_by_alerts(alert, held[case.case_id], linked)
        if fits:
            return case, link
    return None


def in_question(alert: Alert, cases: Iterable[Case]) -> list[Case]:
    """Those that this alert may join, in the order of preference: its own network before another's, then
    the newest in event time."""
    found = [
        (case.network == alert.network, case.event_last, case.case_id, case)
        for case in cases
        if alert.zone is not None and case.zone == alert.zone and case.state not in ENDED
        if case.event_first is not None and case.event_last is not None
    ]
    return [case for *_, case in sorted(found, key=lambda entry: entry[:3], reverse=True)]


def takes(alert: Alert, case: Case) -> bool:
    """Whether a case in question takes the alert in, whatever alerts it holds."""
    return case.network == alert.network and _near(alert, case)


def takes_by_alerts(alert: Alert, candidate: Candidate, linked: Linked) -> tuple[bool, Link | None]:
    """Whether a case in question takes the alert in for an alert that it holds, and the link if one did."""
    link = _link(alert, candidate, linked)
    like = candidate.case.network != alert.network and _holds_its_like(alert, candidate)
    return link is not None or like, link


def needs_case(alert: Alert, case: Case | None, worse: bool) -> bool:
    """Whether an alert looks for a case: when it is active and nobody works on it. After its case
    ended it does so again only when it gets worse, as what was decided was decided for less. Suppressed
    ones never do: somebody works on the sensor itself."""
    if alert.mode == "shadow" or alert.state != "active" or alert.suppressed is not None:
        return False
    return case is None or (case.state in ENDED and worse)


def _near(alert: Alert, case: Case) -> bool:
    if case.event_first is None or case.event_last is None:  # begun by a person: merged by a person
        return False
    return case.event_first - JOIN_WITHIN <= alert.observed_at <= case.event_last + JOIN_WITHIN


def _holds_its_like(alert: Alert, candidate: Candidate) -> bool:
    """Whether an alert of the same network was taken in before: what follows belongs with it."""
    return alert.network != DEVICE and any(
        known.network == alert.network and abs(known.observed_at - alert.observed_at) <= JOIN_WITHIN
        for known in candidate.alerts
    )


def _link(alert: Alert, candidate: Candidate, linked: Linked) -> Link | None:
    if DEVICE in (alert.network, candidate.case.network):  # a stuck gas sensor is no gas leak
        return None
    return next((link for known in candidate.alerts if (link := linked(known, alert))), None)
