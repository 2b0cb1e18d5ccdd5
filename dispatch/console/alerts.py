"""Alerts over the API: lists, one, and what people do to them: acknowledge, silence, shelve, unshelve."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from dispatch.console.answers import AlertItem, AlertPage, Shelve
from dispatch.console.bodies import query_int, query_one_of, query_text, read_json
from dispatch.console.cases import CURSOR, LEVEL, LIMIT, ZONE, refusals
from dispatch.console.desk import desk_of
from dispatch.console.endpoint import Endpoint, Query
from dispatch.console.identity import signed_in
from dispatch.console.json_answer import Json
from dispatch.console.problems import Problem
from dispatch.console.scope import scope_of
from schemas.case import Role
from schemas.clock import to_datetime

_STATES = ("active", "cleared")
_STATE = Query("state", "active or cleared", {"type": "string", "enum": list(_STATES)})
_WATCH = (Role.duty, Role.leader)


async def _list_alerts(request: Request) -> Response:
    user = await signed_in(request)
    scope = scope_of(user)
    desk = desk_of(request)
    with refusals(desk):
        page = await desk.store.alerts(
            state=query_one_of(request, "state", _STATES),
            level=query_int(request, "level", low=1, high=4),
            zone=query_text(request, "zone"),
            unit=scope.unit,
            districts=scope.districts,
            cursor=query_text(request, "cursor"),
            limit=query_int(request, "limit", low=1, high=500) or 50,
        )
    return Json({"items": page.items, "next": page.next})


async def _get_alert(request: Request) -> Response:
    user = await signed_in(request)
    scope = scope_of(user)
    desk = desk_of(request)
    alert = await desk.store.alert(request.path_params["alert_id"])
    if alert is None:
        raise Problem(404, f"no alert {request.path_params['alert_id']!r}")
    case = await desk.store.case(alert["case_id"]) if scope.unit and alert["case_id"] else None
    if not scope.sees_alert(alert) or (scope.unit and not (case and scope.sees_case(case))):
        raise Problem(403, f"this alert is not {user.name}'s to see")
    return Json(alert)


def _doing(name: str) -> Callable[[Request], Awaitable[Response]]:
    """Acknowledge, silence and unshelve: they take no body."""

    async def handle(request: Request) -> Response:
        user = await signed_in(request, *_WATCH)
        desk = desk_of(request)
        do = getattr(desk.store, name)
        with refusals(desk):
            return Json(await do(request.path_params["alert_id"], user.actor, to_datetime(desk.now())))

    handle.__name__ = f"{name}_alert"
    return handle


async def _shelve_alert(request: Request) -> Response:
    user = await signed_in(request, *_WATCH)
    body = await read_json(request, Shelve)
    if body.until.tzinfo is None:
        raise Problem(422, "until: expected a time with an offset")
    desk = desk_of(request)
    with refusals(desk):
        shelved = await desk.store.shelve(
            request.path_params["alert_id"], user.actor, body.until, body.reason, to_datetime(desk.now())
        )
    return Json(shelved)


_ONE = "/alerts/{alert_id}"
ENDPOINTS = [
    Endpoint(
        "GET", "/alerts", _list_alerts, "Alerts, newest first", answers=AlertPage,
        query=(_STATE, LEVEL, ZONE, CURSOR, LIMIT),
    ),
    Endpoint("GET", _ONE, _get_alert, "One alert", answers=AlertItem, refusals=(404,)),
    Endpoint(
        "POST", f"{_ONE}/acknowledge", _doing("acknowledge"),
        "Say that somebody has seen it; `already` if somebody had", answers=AlertItem, refusals=(404,),
        roles=_WATCH,
    ),
    Endpoint(
        "POST", f"{_ONE}/silence", _doing("silence"),
        "Stop its tone for 60 s; not an acknowledgement", answers=AlertItem, refusals=(404,), roles=_WATCH,
    ),
    Endpoint(
        "POST", f"{_ONE}/shelve", _shelve_alert, "Set it aside until a time, 24 h at most",
        Shelve, AlertItem, refusals=(404,), roles=_WATCH,
    ),
    Endpoint(
        "POST", f"{_ONE}/unshelve", _doing("unshelve"), "Take it down again",
        answers=AlertItem, refusals=(404, 422), roles=_WATCH,
    ),
]  # fmt: skip
