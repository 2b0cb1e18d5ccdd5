"""The devices: sensors and gateways searched and filtered, and the page of one sensor with its last day.

234,000 of them are a list of pages, each asked for by the last key of the one before. Only shows: what waits
for a category is dispatch/console/unknown_page.py's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dispatch.console.bodies import query_int, query_one_of, query_text
from dispatch.console.desk import Unjudged, desk_of
from dispatch.console.framed import devices_of, framed
from dispatch.console.identity import signed_in
from dispatch.console.scope import scope_of
from dispatch.console.sensors import seen_sensor
from schemas.catalogue import catalogue
from schemas.clock import to_datetime

PAGE = 50
HEALTHS = ("silent", "late", "poor", "twice")
GUARDS = ("unguarded", "learning", "learning_alone")
STATES = ("in-service", "commissioning", "maintenance", "waiting", "retired")
MOST_NUMBER = 2**31 - 1


async def list_devices(request: Request) -> Response:
    user = await signed_in(request)
    desk = desk_of(request)
    asked: dict[str, Any] = {
        "q": query_text(request, "q"),
        "zone": query_text(request, "zone"),
        "category": query_text(request, "category"),
        "state": query_one_of(request, "state", STATES),
        "health": query_one_of(request, "health", HEALTHS),
        "guard": query_one_of(request, "guard", GUARDS),
    }
    picture = desk.guard() if desk.guard is not None else None
    now = to_datetime(desk.clock.city_us(desk.now()))
    rows = await devices_of(desk).sensors(
        now=now,
        districts=user.districts,
        after=query_int(request, "after", low=0, high=MOST_NUMBER) or 0,
        limit=PAGE + 1,
        only=guarded(picture or {}, asked["guard"]) if asked["guard"] else None,
        **{name: value for name, value in asked.items() if name != "guard"},
    )
    shown = rows[:PAGE]
    return await framed(
        request,
        user,
        "devices.html",
        page="devices",
        tab="sensors",
        rows=[told(row, now) for row in shown],
        asked=asked,
        categories=sorted(catalogue()),
        states=STATES,
        healths=HEALTHS,
        guards=GUARDS,
        guard=None
        if picture is None or scope_of(user).districts
        else {name: len(guarded(picture, name)) for name in GUARDS},
        waiting=await devices_of(desk).waiting(),
        following=_next("/devices", asked, shown[-1]["sensor"]) if len(rows) > PAGE else None,
        first="after" not in request.query_params,
        now=now,
    )


async def list_gateways(request: Request) -> Response:
    user = await signed_in(request)
    desk = desk_of(request)
    asked: dict[str, Any] = {"q": query_text(request, "q"), "zone": query_text(request, "zone")}
    now = to_datetime(desk.clock.city_us(desk.now()))
    rows = await devices_of(desk).gateways(
        now=now,
        districts=user.districts,
        after=query_text(request, "after") or "",
        limit=PAGE + 1,
        **asked,
    )
    shown = rows[:PAGE]
    return await framed(
        request,
        user,
        "gateways.html",
        page="devices",
        tab="gateways",
        rows=[{**row, **shares(row), **gateway_shares(row)} for row in shown],
        asked=asked,
        waiting=await devices_of(desk).waiting(),
        following=_next("/devices/gateways", asked, shown[-1]["gateway"]) if len(rows) > PAGE else None,
        first="after" not in request.query_params,
        now=now,
    )


async def show_device(request: Request) -> Response:
    user = await signed_in(request)
    desk = desk_of(request)
    devices = devices_of(desk)
    sensor = await seen_sensor(desk, user, request.path_params["sensor"])
    now = to_datetime(desk.clock.city_us(desk.now()))
    (row,) = await devices.sensors(now=now, after=sensor["sensor"] - 1, limit=1)
    gateways = await devices.gateways(now=now, q=sensor["gateway"], limit=50)
    gateway = next((one for one in gateways if one["gateway"] == sensor["gateway"]), None)
    refused = await devices.refused(sensor["sensor"], now)
    picture = desk.guard() if desk.guard is not None else None
    return await framed(
        request,
        user,
        "device.html",
        page="devices",
        sensor={**sensor, **told(row, now), "reject_share": _share(refused, refused + (row["n"] or 0))},
        category=catalogue().get(sensor["category"] or ""),
        days=[{**day, **shares(day)} for day in await devices.health(sensor["sensor"])],
        gateway={**gateway, **gateway_shares(gateway)} if gateway else None,
        unjudged=None if picture is None else [unjudged(one) for one in picture.get(sensor["sensor"], ())],
        from_=(now - dt.timedelta(days=1)).isoformat(),
        to=now.isoformat(),
        now=now,
    )


def guarded(picture: Mapping[int, Sequence[Unjudged]], how: str) -> list[int]:
    """The sensors of which something is not judged, or is still learned, or that nothing else guards
    meanwhile."""
    fits = {
        "unguarded": lambda one: not one.learns,
        "learning": lambda one: one.learns,
        "learning_alone": lambda one: one.alone,
    }[how]
    return sorted(sensor for sensor, parts in picture.items() if any(map(fits, parts)))


def unjudged(one: Unjudged) -> dict[str, Any]:
    until = None if one.until_us is None else to_datetime(one.until_us)
    return {"rule": one.rule, "what": one.what, "learns": one.learns, "begun": one.begun, "until": until,
            "alone": one.alone}  # fmt: skip


def told(row: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    """A row with its state as of now and its shares."""
    return {**row, **shares(row), "state": state_now(row, now), "silent": is_silent(row, now)}


def is_silent(row: Mapping[str, Any], now: dt.datetime) -> bool:
    return row["last_at"] is None or row["last_at"] < now - dt.timedelta(days=1)


def state_now(row: Mapping[str, Any], now: dt.datetime) -> str:
    """As schemas.registry.Sensor.state_at says, of a row of the mirror."""
    state = str(row["state"])
    if row["maintenance_from"] is None or row["maintenance_to"] is None:
        return state
    guarded = state in ("in-service", "commissioning", "maintenance")
    if row["maintenance_from"] <= now < row["maintenance_to"] and guarded:
        return "maintenance"
    return "in-service" if state == "maintenance" else state


def shares(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Late, poor and repeated readings of all; None where there were none, which is not zero."""
    return {f"{what}_share": _share(row[what], row["n"]) for what in ("late", "poor", "twice")}


def gateway_shares(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Of a gateway: readings said before or twice in the log, frames sent again, readings rejected."""
    return {
        "repeat_share": _share(row["repeats"] + (row["twice"] or 0), row["repeats"] + (row["n"] or 0)),
        "again_share": _share(row["again"], row["again"] + row["frames"]),
        "reject_share": _share(row["rejected"], row["rejected"] + row["stored"]),
    }


def _share(part: int | None, whole: int | None) -> float | None:
    return (part or 0) / whole if whole else None


def _next(path: str, asked: Mapping[str, Any], last: object) -> str:
    query = {name: value for name, value in asked.items() if value is not None}
    return f"{path}?{urlencode({**query, 'after': str(last)})}"


ROUTES = [
    Route("/devices", list_devices),
    Route("/devices/gateways", list_gateways),
    Route("/devices/{sensor:int}", show_device),
]
