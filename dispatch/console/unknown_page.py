"""Points that nobody registered: what they sent, what they probably are, and a person's word on it.

The answer goes into the registry as an import does; the page shows what the registry then says.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dispatch.console.bodies import query_int
from dispatch.console.desk import Classified, Desk, desk_of
from dispatch.console.devices_page import MOST_NUMBER
from dispatch.console.framed import devices_of, framed
from dispatch.console.identity import signed_in
from dispatch.console.problems import Problem
from dispatch.console.sensors import seen_sensor
from dispatch.console.words import language_of, words
from dispatch.people import User
from dispatch.suggest import suggest
from schemas.case import Role
from schemas.catalogue import catalogue
from schemas.clock import to_datetime, to_us

MAY_CLASSIFY = frozenset({Role.engineer, Role.admin})
EXAMPLES = 5
LOOKED_BACK = dt.timedelta(days=1)
READINGS_LOOKED_AT = 200
UNKNOWN_PAGE = 20


async def list_unknown(request: Request) -> Response:
    user = await signed_in(request)
    return await _shown(request, user)


async def take_category(request: Request) -> Response:
    """A person says what a point is."""
    user = await signed_in(request, *MAY_CLASSIFY)
    desk = desk_of(request)
    form = await request.form()
    number, category = str(form.get("sensor", "")), str(form.get("category", "")).strip()
    if not number.isascii() or not number.isdigit():
        raise Problem(422, "sensor: expected the number of a waiting point")
    row = await seen_sensor(desk, user, int(number))
    said = words(language_of(request))
    key = _key_of(category)
    if desk.classify is None:
        raise Problem(503, "this console cannot write to the registry")
    if row["state"] != "waiting":
        return await _shown(request, user, said("unknown.not_waiting", point=row["point"]), bad=True)
    if key is None:
        return await _shown(request, user, said("unknown.no_category", category=category), bad=True)
    try:
        version = await desk.classify([Classified(row["gateway"], row["point"], key)], user.name)
    except ValueError as error:
        return await _shown(request, user, said("unknown.refused", why=str(error)), bad=True)
    told = said("unknown.entered", point=row["point"], category=said.category(key), version=version)
    return await _shown(request, user, told, entered=row["sensor"])


async def _shown(
    request: Request, user: User, said_: str = "", *, bad: bool = False, entered: int | None = None
) -> Response:
    desk = desk_of(request)
    devices = devices_of(desk)
    now = to_datetime(desk.clock.city_us(desk.now()))
    rows = await devices.sensors(
        now=now,
        state="waiting",
        districts=user.districts,
        after=query_int(request, "after", low=0, high=MOST_NUMBER) or 0,
        limit=UNKNOWN_PAGE + 1,
    )
    # The mirror follows the registry within a second: what was just entered is not shown as waiting again.
    shown = [row for row in rows[:UNKNOWN_PAGE] if row["sensor"] != entered]
    siblings = await devices.siblings(sorted({row["gateway"] for row in shown}))
    of_gateway: dict[str, list[tuple[str, str]]] = {}
    for one in siblings:
        of_gateway.setdefault(one["gateway"], []).append((one["point"], one["category"]))
    said = words(language_of(request))
    more = len(rows) > UNKNOWN_PAGE
    return await framed(
        request,
        user,
        "unknown.html",
        page="devices",
        tab="unknown",
        status=422 if bad else 200,
        rows=[await _with_examples(desk, row, of_gateway.get(row["gateway"], []), now) for row in shown],
        names={key: said.category(key) for key in catalogue()},
        waiting=await devices.waiting(),
        may_classify=bool(user.roles & MAY_CLASSIFY),
        following=f"/devices/unknown?after={rows[UNKNOWN_PAGE - 1]['sensor']}" if more else None,
        now=now,
        said=said_,
        bad=bad,
    )


async def _with_examples(
    desk: Desk, row: Mapping[str, Any], siblings: list[tuple[str, str]], now: dt.datetime
) -> dict[str, Any]:
    to_us_ = to_us(now)
    from_us = to_us(now - LOOKED_BACK)
    points = await desk.history.window(row["sensor"], from_us, to_us_ + 1, READINGS_LOOKED_AT)
    values = [point.value for point in points if math.isfinite(point.value)]
    return {
        **row,
        "examples": values[-EXAMPLES:],
        "lowest": min(values, default=None),
        "highest": max(values, default=None),
        "suggested": suggest(row["point"], row["unit"], values, siblings),
    }


def _key_of(text: str) -> str | None:
    """A category by its key or one of its names."""
    if text in catalogue():
        return text
    plain = text.casefold()
    for language in ("zh-CN", "en"):
        for key, name in words(language).categories().items():
            if name.casefold() == plain:
                return key
    return None


ROUTES = [
    Route("/devices/unknown", list_unknown),
    Route("/devices/unknown", take_category, methods=["POST"]),
]
