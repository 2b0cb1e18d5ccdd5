"""The detail of one case as the server has it: what, why, what can be done, and what was done.

Used by the case's own page, by the duty screen, and as the answer of every form on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from dispatch.console import charts, response_card
from dispatch.console.cases import seen_case
from dispatch.console.desk import desk_of
from dispatch.console.problems import Problem
from dispatch.console.render import own_units, renderer_of, shown_time, unit_names, zone_names
from dispatch.console.words import Words, language_of, words
from dispatch.lifecycle import TABLE
from dispatch.people import User
from schemas.case import ENDED, Role

NEEDS_REASON = frozenset(action.value for action, row in TABLE.items() if "reason" in row.needs)
SHELF_HOURS = ("1", "4", "12", "24")
WATCH = frozenset({Role.duty, Role.leader})


async def panel(
    request: Request,
    user: User,
    case: Mapping[str, Any],
    *,
    said_: str = "",
    bad: bool = False,
    status: int = 200,
) -> Response:
    values = await values_of(request, user, words(language_of(request)), case)
    return renderer_of(request).page(
        request, "case_panel.html", status=status, **{**values, "said": said_, "bad": bad}
    )


async def refused(request: Request, user: User, case_id: str, problem: Problem) -> Response:
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
            at=said_time(request, last["at"]),
        )
    elif problem.status == 403:
        told = said("said.forbidden", detail=problem.detail)
    elif problem.status == 422:
        told = said("said.invalid", detail=problem.detail)
    return await panel(request, user, case, said_=told, bad=True, status=problem.status)


def said_time(request: Request, text: str) -> str:
    return shown_time(text, desk_of(request).now())


async def values_of(request: Request, user: User, said: Words, case: Mapping[str, Any]) -> dict[str, Any]:
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
        "card": await response_card.of_alert(desk, alert, case["level"], said.language) if alert else None,
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
