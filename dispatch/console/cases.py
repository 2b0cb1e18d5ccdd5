"""Cases over the API: lists, one with its history, a new one by hand, and what people do to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from dispatch import views
from dispatch.console.answers import CaseAction, CaseDetail, CasePage, NewCase
from dispatch.console.bodies import query_int, query_one_of, query_text, read_json
from dispatch.console.desk import Desk, desk_of
from dispatch.console.endpoint import Endpoint, Query
from dispatch.console.identity import signed_in
from dispatch.console.json_answer import Json
from dispatch.console.problems import Problem, wrong_field
from dispatch.console.scope import scope_of
from dispatch.people import User
from dispatch.store import Conflict, Forbidden, Invalid, Page, Unknown
from schemas.case import Action, Role, State, Verdict
from schemas.clock import to_datetime

LEVEL = Query("level", "1-4, 1 is the most severe", {"type": "integer", "minimum": 1, "maximum": 4})
ZONE = Query("zone", "a zone's id")
CURSOR = Query("cursor", "`next` of the page before")
LIMIT = Query("limit", "items a page", {"type": "integer", "minimum": 1, "maximum": 500, "default": 50})
_STATE = Query("state", "a case state", {"type": "string", "enum": [str(state) for state in State]})
_OPEN = Query("open", "1: only cases that are not ended", {"type": "integer", "enum": [0, 1]})
_NEEDS = re.compile(r"needs (\w+)")
_ACTIONS = tuple(action.value for action in Action)


@contextmanager
def refusals(desk: Desk) -> Iterator[None]:
    """The store's refusals as problems: 404, 403, 422, and 409 with the case as it is."""
    try:
        yield
    except Unknown as error:
        raise Problem(404, str(error)) from None
    except Forbidden as error:
        raise Problem(403, str(error)) from None
    except Conflict as error:
        case = views.case_item(error.case, to_datetime(desk.now()))
        raise Problem(409, str(error), case=case, version=case["version"], state=case["state"]) from None
    except Invalid as error:
        if missing := _NEEDS.search(str(error)):
            errors = [{"field": missing[1], "expected": "a value", "came": "nothing"}]
            raise Problem(422, str(error), errors=errors) from None
        raise Problem(422, str(error)) from None


async def seen_case(desk: Desk, user: User, case_id: str) -> dict[str, Any]:
    """The case with what this user could do. Raises Problem 404, or 403 when it is not theirs to see."""
    case = await desk.store.case(case_id, user.actor, to_datetime(desk.now()))
    if case is None:
        raise Problem(404, f"no case {case_id!r}")
    if not scope_of(user).sees_case(case):
        raise Problem(
            403, f"case {case_id} belongs to {case['unit']} in {case['district']}, not to {user.name}"
        )
    return case


async def case_page(request: Request, user: User, **chosen: Any) -> Page:
    scope = scope_of(user)
    desk = desk_of(request)
    with refusals(desk):
        return await desk.store.cases(unit=scope.unit, districts=scope.districts, **chosen)


async def _list_cases(request: Request) -> Response:
    user = await signed_in(request)
    page = await case_page(
        request,
        user,
        state=query_one_of(request, "state", tuple(State)),
        level=query_int(request, "level", low=1, high=4),
        zone=query_text(request, "zone"),
        open_only=query_int(request, "open", low=0, high=1) == 1,
        cursor=query_text(request, "cursor"),
        limit=query_int(request, "limit", low=1, high=500) or 50,
    )
    return Json({"items": page.items, "next": page.next})


async def _get_case(request: Request) -> Response:
    user = await signed_in(request)
    return Json(await seen_case(desk_of(request), user, request.path_params["case_id"]))


async def _open_case(request: Request) -> Response:
    user = await signed_in(request, Role.duty, Role.leader)
    desk = desk_of(request)
    case = await open_by_hand(desk, user, await read_json(request, NewCase))
    return Json(case, status_code=201, headers={"Location": f"/api/v1/cases/{case['case_id']}"})


async def open_by_hand(desk: Desk, user: User, body: NewCase) -> dict[str, Any]:
    with refusals(desk):
        case = await desk.store.open_case(
            category=body.category,
            zone=body.zone,
            place=body.place,
            text=body.text,
            caller=body.caller,
            actor=user.actor,
            now=to_datetime(desk.now()),
        )
    return await seen_case(desk, user, case.case_id)


async def _act_on_case(request: Request) -> Response:
    user = await signed_in(request)
    body = await read_json(request, CaseAction)
    desk = desk_of(request)
    return Json(await act(desk, user, request.path_params["case_id"], body))


async def act(desk: Desk, user: User, case_id: str, body: CaseAction) -> dict[str, Any]:
    """One action of a person; the case as it is after it."""
    if body.action not in _ACTIONS:
        raise wrong_field("action", f"one of {', '.join(_ACTIONS)}", body.action)
    result = body.result
    if result is None and body.action == "verify" and body.evidence in tuple(Verdict):
        result = str(body.evidence)
    with refusals(desk):
        await desk.store.act(
            case_id,
            action=body.action,
            version=body.version,
            actor=user.actor,
            now=to_datetime(desk.now()),
            unit=body.unit,
            reason=body.reason,
            evidence=body.evidence,
            result=result,
            into=body.into,
        )
    # Not `seen_case`: who hands a case to another unit may not see it any more, but did act.
    case = await desk.store.case(case_id, user.actor, to_datetime(desk.now()))
    assert case is not None
    return case


ENDPOINTS = [
    Endpoint(
        "GET", "/cases", _list_cases, "Cases, newest first", answers=CasePage,
        query=(_STATE, LEVEL, ZONE, _OPEN, CURSOR, LIMIT),
    ),
    Endpoint(
        "POST", "/cases", _open_case, "Open a case by hand", NewCase, CaseDetail, 201,
        roles=(Role.duty, Role.leader),
    ),
    Endpoint(
        "GET", "/cases/{case_id}", _get_case, "A case with its alerts and transitions",
        answers=CaseDetail, refusals=(404,),
    ),
    Endpoint(
        "POST", "/cases/{case_id}/actions", _act_on_case,
        "Do something to a case; 409 with the case as it is when `version` is old or its state forbids it",
        CaseAction, CaseDetail, refusals=(404, 409),
    ),
]  # fmt: skip
