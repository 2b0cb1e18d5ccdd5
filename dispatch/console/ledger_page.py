"""The zero-loss ledger: of each gateway what it said and where all of it is, as it is while it is looked at.

For those who answer for the data: duty officers, leaders, engineers, auditors, administrators. It shows what
the historian counted and judges nothing; who works in a district sees that district's gateways.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dispatch.console.desk import FrameLedger, desk_of
from dispatch.console.duty_page import health_for
from dispatch.console.feed import Feed
from dispatch.console.identity import signed_in
from dispatch.console.problems import Problem
from dispatch.console.render import boot, renderer_of, zone_names
from dispatch.console.words import language_of, words
from dispatch.people import User
from schemas.case import Role

ROWS = 200
ROLES = (Role.duty, Role.leader, Role.engineer, Role.auditor, Role.admin)


async def show_ledger(request: Request) -> Response:
    user = await signed_in(request, *ROLES)
    feed: Feed = request.app.state.feed
    values = await _values(request, user)
    booted = boot(
        request,
        user,
        words(language_of(request)),
        values["zones"],
        live_from=await feed.newest(),
        health=health_for(user, await feed.health()),
    )
    return renderer_of(request).page(request, "ledger.html", page="ledger", user=user, boot=booted, **values)


async def show_table(request: Request) -> Response:
    user = await signed_in(request, *ROLES)
    return renderer_of(request).page(request, "ledger_table.html", **await _values(request, user))


async def _values(request: Request, user: User) -> dict[str, Any]:
    desk = desk_of(request)
    ledger = _ledger(desk.ledger)
    return {
        "totals": await ledger.totals(user.districts),
        "rows": await ledger.worst(user.districts, ROWS),
        "zones": await zone_names(desk, words(language_of(request)).language),
    }


def _ledger(found: FrameLedger | None) -> FrameLedger:
    if found is None:
        raise Problem(503, "this console has no ledger to show")
    return found


ROUTES = [Route("/ledger", show_ledger), Route("/ledger/table", show_table)]
