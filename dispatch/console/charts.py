"""Which readings show why an alert rose: its sensor, and the window around its onset.

Pure but for looking the sensor up. Times are the city's event time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dispatch.console.desk import Desk
from schemas.clock import to_datetime

BEFORE = dt.timedelta(hours=2)
AFTER = dt.timedelta(minutes=30)
LONGEST = dt.timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Chart:
    sensor: int
    name: str
    unit: str | None
    from_: str
    to: str
    onset: str
    limit: float | None
    live: bool
    """Whether what comes belongs to it."""


def shown_alert(alerts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The one that stands for the case: active before cleared, gravest, then first."""
    order = sorted(alerts, key=lambda one: (one["state"] != "active", one["level"], one["raised_at"]))
    return order[0] if order else None


async def of_alert(desk: Desk, alert: Mapping[str, Any]) -> Chart | None:
    """None for an alert about no single sensor, or one the registry does not know."""
    kind, _, rest = str(alert["subject"]).partition("/")
    gateway, _, point = rest.partition("/")
    sensor = await desk.history.sensor_by_point(gateway, point) if kind == "sensor" else None
    if sensor is None:
        return None
    city_now = to_datetime(desk.clock.city_us(desk.now()))
    from_, to, live = window(alert, city_now)
    return Chart(
        sensor=sensor["sensor"],
        name=f"{gateway}/{point}",
        unit=sensor["unit"],
        from_=from_.isoformat(),
        to=to.isoformat(),
        onset=str(alert["since"]),
        limit=alert["evidence"].get("limit"),
        live=live,
    )


def window(alert: Mapping[str, Any], city_now: dt.datetime) -> tuple[dt.datetime, dt.datetime, bool]:
    """From two hours (or two of the rule's windows) before the onset to now, or to half an hour after it
    ended, and whether it goes on; data of another year has its own now."""
    since, seen = (dt.datetime.fromisoformat(alert[name]) for name in ("since", "observed_at"))
    looked = alert["evidence"].get("window") or {}
    span = since - dt.datetime.fromisoformat(looked["from"]) if "from" in looked else dt.timedelta()
    from_ = since - max(BEFORE, 2 * span)
    live = alert["state"] == "active" and dt.timedelta() <= city_now - seen < LONGEST
    to = city_now if live else seen + AFTER
    return from_, min(to, from_ + LONGEST), live and to < from_ + LONGEST
