"""The forms of a case: what a button of the detail sends, and the new case of a phone call.

Each answers with the detail as the server has it then, with what was refused in words: nothing is guessed.
"""

from __future__ import annotations

import datetime as dt

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dispatch.console.answers import CaseAction, NewCase
from dispatch.console.case_panel import SHELF_HOURS, WATCH, panel, refused, said_time
from dispatch.console.cases import act, open_by_hand, refusals, seen_case
from dispatch.console.desk import desk_of
from dispatch.console.identity import signed_in
from dispatch.console.problems import Problem, wrong_field
from dispatch.console.render import renderer_of
from dispatch.console.words import language_of, words
from schemas.clock import to_datetime


async def take_action(request: Request) -> Response:
    user = await signed_in(request)
    case_id = request.path_params["case_id"]
    form = await request.form()
    said = words(language_of(request))
    try:
        case = await act(desk_of(request), user, case_id, _action(form))
    except Problem as problem:
        return await refused(request, user, case_id, problem)
    done = said("said.done", action=said(f"done.{form['action']}"))
    return await panel(request, user, case, said_=done)


async def take_acknowledge(request: Request) -> Response:
    """Acknowledges every alert of the case that nobody has: seeing the case is seeing them."""
    user = await signed_in(request, *WATCH)
    desk = desk_of(request)
    case_id = request.path_params["case_id"]
    case = await seen_case(desk, user, case_id)
    said = words(language_of(request))
    told = said("said.acknowledged")
    with refusals(desk):
        waiting = [alert for alert in case["alerts"] if alert["acknowledged_by"] is None]
        for alert in waiting:
            answer = await desk.store.acknowledge(alert["alert_id"], user.actor, to_datetime(desk.now()))
            waiting = waiting[1:] if answer["already"] else waiting
    if not waiting and case["acknowledged_by"]:
        at = said_time(request, case["acknowledged_at"])
        told = said("said.already", who=case["acknowledged_by"], at=at)
    return await panel(request, user, await seen_case(desk, user, case_id), said_=told)


async def take_shelve(request: Request) -> Response:
    hours = str((await request.form()).get("hours", ""))
    if hours not in SHELF_HOURS:
        raise wrong_field("hours", f"one of {', '.join(SHELF_HOURS)}", hours)
    return await _shelf(request, dt.timedelta(hours=int(hours)))


async def take_unshelve(request: Request) -> Response:
    return await _shelf(request, None)


async def _shelf(request: Request, length: dt.timedelta | None) -> Response:
    """Shelves an alert for a time, or takes it down."""
    user = await signed_in(request, *WATCH)
    desk = desk_of(request)
    case_id, alert_id = request.path_params["case_id"], request.path_params["alert_id"]
    form = await request.form()
    now = to_datetime(desk.now())
    said = words(language_of(request))
    try:
        with refusals(desk):
            if length is not None:
                reason = str(form.get("reason", ""))
                await desk.store.shelve(alert_id, user.actor, now + length, reason, now)
            else:
                await desk.store.unshelve(alert_id, user.actor, now)
    except Problem as problem:
        return await refused(request, user, case_id, problem)
    return await panel(request, user, await seen_case(desk, user, case_id), said_=said("said.shelf"))


async def take_new_case(request: Request) -> Response:
    """The form for a phone call; the page opens the case it made."""
    user = await signed_in(request, *WATCH)
    form = await request.form()
    body = NewCase(
        category=str(form.get("category", "")),
        zone=str(form.get("zone", "")) or None,
        place=str(form.get("place", "")) or None,
        text=str(form.get("text", "")),
        caller=str(form.get("caller", "")) or None,
    )
    try:
        case = await open_by_hand(desk_of(request), user, body)
    except Problem as problem:
        return renderer_of(request).page(
            request, "answer.html", status=problem.status, said=problem.detail, bad=True
        )
    trigger = {"HX-Trigger": f'{{"case-opened":"{case["case_id"]}"}}'}
    return renderer_of(request).page(request, "answer.html", headers=trigger, said=case["case_id"], bad=False)


def _action(form: FormData) -> CaseAction:
    def text(name: str) -> str | None:
        return str(form.get(name, "")).strip() or None

    version = text("version") or ""
    if not version.isdigit():
        raise Problem(422, "version: expected the version of the case that was shown")
    return CaseAction(
        action=text("action") or "",
        version=int(version),
        unit=text("unit"),
        reason=text("reason"),
        evidence={"text": text("evidence")} if text("evidence") else None,
        result=text("result"),
        into=text("into"),
    )


ROUTES = [
    Route("/cases", take_new_case, methods=["POST"]),
    Route("/cases/{case_id}/act", take_action, methods=["POST"]),
    Route("/cases/{case_id}/acknowledge", take_acknowledge, methods=["POST"]),
    Route("/cases/{case_id}/alerts/{alert_id}/shelve", take_shelve, methods=["POST"]),
    Route("/cases/{case_id}/alerts/{alert_id}/unshelve", take_unshelve, methods=["POST"]),
]
