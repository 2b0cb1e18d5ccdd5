"""Alerts of one cause across networks, decided over alerts alone and in event time.

Two alerts are linked when they stand in one zone and one's category can be caused by the other's, and the
effect began within the link's lag of its cause. From the links of a case follows its probable cause: the
alert that explains most of the others. A link says what physics allows; a person verifies.

The table (`links.py`) says which categories; this module looks at nothing but alerts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detectors.links import LINKS, LONGEST_LAG_S, Link
from schemas.alert import Alert

__all__ = ["LINKS", "LONGEST_LAG_S", "Cause", "Link", "linked", "probable_cause"]


@dataclass(frozen=True, slots=True)
class Cause:
    """`alert` explains the alerts of `effects`, nearest effects first, each by the link beside it."""

    alert: Alert
    effects: tuple[tuple[Alert, Link], ...]


def linked(a: Alert, b: Alert) -> Link | None:
    """The first link of the table between two alerts, in either order; None if there is none."""
    return caused(a, b) or caused(b, a)


def caused(cause: Alert, effect: Alert) -> Link | None:
    """The first link by which the one may have caused the other."""
    if cause.zone is None or cause.zone != effect.zone or cause.alert_id == effect.alert_id:
        return None
    lag_s = (effect.since - cause.since).total_seconds()
    for link in LINKS:
        if cause.category in link.cause and effect.category in link.effect:
            earliest, latest = link.lag_s
            if earliest <= lag_s <= latest:
                return link
    return None


def probable_cause(alerts: Sequence[Alert]) -> Cause | None:
    """The alert from which most of the others follow, directly or through one another; None without a link.

    Of several, the one that nothing else explains, then the one that began first. The same for any order.
    """
    best: tuple[tuple[int, bool, float, str], Cause] | None = None
    for alert in alerts:
        effects = _effects(alert, alerts)
        if not effects:
            continue
        explained = any(caused(other, alert) for other in alerts)
        rank = (-len(effects), explained, alert.since.timestamp(), alert.alert_id)
        if best is None or rank < best[0]:
            best = rank, Cause(alert, effects)
    return best[1] if best else None


def _effects(root: Alert, alerts: Sequence[Alert]) -> tuple[tuple[Alert, Link], ...]:
    """What follows from `root`, breadth first, earlier effects first."""
    order = sorted(alerts, key=lambda one: (one.since, one.alert_id))
    reached = {root.alert_id}
    found: list[tuple[Alert, Link]] = []
    wave = [root]
    while wave:
        following = []
        for cause in wave:
            for effect in order:
                if effect.alert_id not in reached and (link := caused(cause, effect)):
                    reached.add(effect.alert_id)
                    found.append((effect, link))
                    following.append(effect)
        wave = following
    return tuple(found)
