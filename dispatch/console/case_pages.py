"""One case: its own page (a crew's phone), its part of the duty screen, and the forms on both.

A form's answer is the part as the server has it now, with what was refused in words: nothing is guessed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dispatch.console import charts
from dispatch.console.answers import CaseAction, NewCase
from dispatch.console.cases import act, open_by_hand, refusals, seen_case
from dispatch.console.desk import desk_of
from dispatch.console.duty_page import health_for
from dispatch.console.feed import Feed
from dispatch.console.identity import signed_in
from dispatch.console.problems import Problem, wrong_field
from dispatch.console.render import boot, own_units, renderer_of, shown_time, unit_names, zone_names
from dispatch.console.words import Words, language_of, words
from dispatch.lifecycle import TABLE
from dispatch.people import User
from schemas.case import ENDED, Role
from schemas.clock import to_datetime

NEEDS_REASON = frozenset(action.value for action, row in TABLE.items() if "reason" in row.needs)
SHELF_HOURS = ("1", "4", "12", "24")
WATCH = frozenset({Role.duty, Role.leader})


async def show_case(request: Request) -> Response:
    user = await signed_in(request)
    desk = desk_of(request)
    feed: Feed = request.app.state.feed
    said = words(language_of(request))
    live_from = await feed.newest()
    case = await seen_case(desk, user, request.path_params["case_id"])
    values = await _values(request, user, said, case)
    health = health_for(user, await feed.health())
    booted = boot(request, user, said, values["zones"], live_from=live_from, health=health)
    return renderer_of(request).page(request, "case_page.html", user=user, boot=booted, **values)


async def show_panel(request: Request) -> Response:
    user = await signed_in(request)
    case = await seen_case(desk_of(request), user, request.path_params["case_id"])
    return await _panel(request, user, case)


async def take_action(request: Request) -> Response:
    user = await signed_in(request)
    case_id = request.path_params["case_id"]
    form = await request.form()
    said = words(language_of(request))
    try:
        case = await act(desk_of(request), user, case_id, _action(form))
    except Problem as problem:
        return await _refused(request, user, case_id, problem)
    done = said("said.done", action=said(f"done.{form['action']}"))
    return await _panel(request, user, case, said_=done)


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
        at = _time(request, case["acknowledged_at"])
        told = said("said.already", who=case["acknowledged_by"], at=at)
    return await _panel(request, user, await seen_case(desk, user, case_id), said_=told)


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
        return await _refused(request, user, case_id, problem)
    return await _panel(request, user, await seen_case(desk, user, case_id), said_=said("said.shelf"))


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


async def _refused(request: Request, user: User, case_id: str, problem: Problem) -> Response:
    """The case as it is, and why not: on 409 somebody else was quicker, and the page says who."""
    said = words(language_of(request))
    case = await seen_case(desk_of(request), user, case_id)
    told = problem.detail
    if problem.status == 409 and case["transitions"]:
        last = case["transitions"][-1]
        told = said(
            "said.conflict",
            state=said(f"state.{case['state']}"),
            who=last["actor"],
            action=said(f"done.{last['action']}"),
            at=_time(request, last["at"]),
        )
    elif problem.status == 403:
        told = said("said.forbidden", detail=problem.detail)
    elif problem.status == 422:
        told = said("said.invalid", detail=problem.detail)
    return await _panel(request, user, case, said_=told, bad=True, status=problem.status)


def _time(request: Request, text: str) -> str:
    return shown_time(text, desk_of(request).now())


async def _panel(
    request: Request,
    user: User,
    case: Mapping[str, Any],
    *,
    said_: str = "",
    bad: bool = False,
    status: int = 200,
) -> Response:
    values = await _values(request, user, words(language_of(request)), case)
    return renderer_of(request).page(
        request, "case_panel.html", status=status, **{**values, "said": said_, "bad": bad}
    )


async def _values(request: Request, user: User, said: Words, case: Mapping[str, Any]) -> dict[str, Any]:
    desk = desk_of(request)
    alert = charts.shown_alert(case["alerts"])
    watches = bool(user.roles & WATCH)
    unseen = any(one["acknowledged_by"] is None for one in case["alerts"])
    return {
        "case": case,
        "alerts": case["alerts"],
        "transitions": case["transitions"],
        "acts": case["actions"],
        "alert": alert,
        "chart": await charts.of_alert(desk, alert) if alert else None,
        "unseen": watches and unseen and case["state"] not in ENDED,
        "may_shelve": watches,
        "shelf_hours": SHELF_HOURS,
        "needs_reason": NEEDS_REASON,
        "own_units": own_units(),
        "roles": tuple(Role),
        "zones": await zone_names(desk, said.language),
        "note_of": lambda step: _note(step, said),
        "said": "",
        "bad": False,
    }


def _note(step: Mapping[str, Any], said: Words) -> str:
    """What a line of the timeline adds: result, unit, text, clock, reason."""
    evidence = step["evidence"]
    units = unit_names(said.language)
    parts = [
        said.texts.get(f"verdict.{evidence.get('result')}", ""),
        units.get(evidence.get("unit", ""), "") if step["action"] == "dispatch" else "",
        said.texts.get(f"clock.{evidence.get('clock')}", ""),
        str(evidence.get("text_zh" if said.language == "zh-CN" else "text_en") or evidence.get("text") or ""),
        str(evidence.get("into") or evidence.get("merged") or ""),
        step["reason"] or "",
    ]
    return " · ".join(part for part in parts if part)


ROUTES = [
    Route("/cases", take_new_case, methods=["POST"]),
    Route("/cases/{case_id}", show_case),
    Route("/cases/{case_id}/panel", show_panel),
    Route("/cases/{case_id}/act", take_action, methods=["POST"]),
    Route("/cases/{case_id}/acknowledge", take_acknowledge, methods=["POST"]),
    Route("/cases/{case_id}/alerts/{alert_id}/shelve", take_shelve, methods=["POST"]),
    Route("/cases/{case_id}/alerts/{alert_id}/unshelve", take_unshelve, methods=["POST"]),
]
