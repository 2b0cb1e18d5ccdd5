"""Whom a level 1 alert is told to without a database: (alert, what is known) -> recipients. Pure.

The duty desk, and the unit that the alert's own category and zone lead to; never a unit outside the house.
Alerts of one scene (zone, network, half an hour of event time) are told once, as dispatch would find them in
one case. Dispatch names its notices of level 1 by the same key, so whichever of the two comes first, the
other knows. How a notice travels, and who may send it now, is decided elsewhere.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from dispatch.grouping import JOIN_WITHIN
from dispatch.routing import route
from dispatch.views import plain
from schemas.alert import Alert
from schemas.catalogue import catalogue
from schemas.unit import DUTY_DESK, Unit

STEP = "level-1"
SETTLED = dt.timedelta(seconds=60)
"""A case opened by what was told so long before a snapshot stands in it, or has ended since."""


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Where and when, in event time, level 1 has been told; `told_at` is wall time."""

    zone: str
    network: str
    first: dt.datetime
    last: dt.datetime
    told_at: dt.datetime


class Person(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    roles: tuple[str, ...]
    unit: str | None = None
    districts: tuple[str, ...] = ()


class Roster(msgspec.Struct, frozen=True, kw_only=True):
    """What was known when PostgreSQL last answered: units and their people, and scenes that are being
    worked on. `taken_at` None: it has never answered, and the units are those that the program came with."""

    taken_at: dt.datetime | None = None
    units: tuple[Unit, ...] = ()
    people: tuple[Person, ...] = ()
    scenes: tuple[Scene, ...] = ()


def key_of(alert_id: str, recipient: str) -> str:
    """The notice's identity, whoever sends it; a channel is appended before it leaves the house.

    >>> key_of("d221cb66", "gas-company")
    'd221cb66/level-1/gas-company'
    """
    return f"{alert_id}/{STEP}/{recipient}"


def is_urgent(key: str) -> bool:
    """Whether a notice's key is of this kind."""
    return key.split("/")[1:2] == [STEP]


def is_due(alert: Alert) -> bool:
    """Whether this message is the one by which an alert becomes level 1."""
    return (
        alert.level == 1
        and alert.change in ("raise", "upgrade")
        and alert.state == "active"
        and alert.mode != "shadow"
        and alert.suppressed is None
    )


def told_already(alert: Alert, told: Sequence[Scene], roster: Roster) -> bool:
    """Whether an alert belongs to a scene that was told. What the snapshot must know is believed to it
    alone: a case that people ended since keeps nobody from hearing of the next."""
    return any(_near(alert, scene) for scene in (*_since(told, roster), *roster.scenes))


def recipients(alert: Alert, roster: Roster) -> list[str]:
    """Unit ids, the duty desk first."""
    known = {unit.unit: unit for unit in roster.units}
    lead = known.get(route(alert.category, alert.network, alert.zone, known).lead)
    units = [DUTY_DESK, *([lead.unit] if lead is not None and not lead.outside else [])]
    return list(dict.fromkeys(units))


def scene_of(alert: Alert, told: Sequence[Scene], roster: Roster, now: dt.datetime) -> Scene | None:
    """The scene that an alert begins or reaches further; it was told when it began. None without a zone."""
    if alert.zone is None:
        return None
    near = [scene for scene in (*_since(told, roster), *roster.scenes) if _near(alert, scene)]
    return Scene(
        zone=alert.zone,
        network=alert.network,
        first=min([alert.observed_at, *(scene.first for scene in near)]),
        last=max([alert.observed_at, *(scene.last for scene in near)]),
        told_at=min([now, *(scene.told_at for scene in near)]),
    )


def merged(told: Sequence[Scene], scene: Scene) -> tuple[Scene, ...]:
    """With one scene more, in place of those that it covers."""
    place = (scene.zone, scene.network)
    kept = (
        other
        for other in told
        if (other.zone, other.network) != place or other.first < scene.first or other.last > scene.last
    )
    return (*kept, scene)


def payload(alert: Alert, recipient: str, roster: Roster) -> dict[str, Any]:
    """What is said: as dispatch says it, without a case, and with the people of the unit."""
    unit = next((unit for unit in roster.units if unit.unit == recipient), None)
    row = catalogue().get(alert.category or "")
    place = alert.asset or alert.zone or ""
    name_zh, name_en = (row.name_zh, row.quantity) if row else (alert.rule, alert.rule)
    return {
        "step": STEP,
        "to": recipient,
        "to_zh": unit.name_zh if unit else recipient,
        "phone": unit.phone if unit else "",
        "people": people_of(recipient, alert.district, roster.people),
        "case_id": None,
        "level": 1,
        "category": alert.category,
        "zone": alert.zone,
        "district": alert.district,
        "place": alert.asset,
        "unit": recipient,
        "subject": alert.subject,
        "alert_id": alert.alert_id,
        "correlation": alert.correlation,
        "at": plain(alert.observed_at),
        "since": plain(alert.since),
        "text_zh": f"【一级报警】{place} {name_zh}：{alert.evidence.text_zh}",
        "text_en": f"[level 1] {place}, {name_en}: {alert.evidence.text_en}",
    }


def people_of(recipient: str, district: str | None, people: Iterable[Person]) -> list[str]:
    """Who of the roster answers for a unit in a district; the desk is whoever has a role there."""
    return [
        person.name
        for person in people
        if (
            person.unit == recipient
            or (recipient == DUTY_DESK and not {"duty", "leader"}.isdisjoint(person.roles))
        )
        and (not person.districts or district is None or district in person.districts)
    ]


def _since(told: Sequence[Scene], roster: Roster) -> list[Scene]:
    if roster.taken_at is None:
        return list(told)
    return [scene for scene in told if scene.told_at > roster.taken_at - SETTLED]


def _near(alert: Alert, scene: Scene) -> bool:
    if (alert.zone, alert.network) != (scene.zone, scene.network):
        return False
    return scene.first - JOIN_WITHIN <= alert.observed_at <= scene.last + JOIN_WITHIN
