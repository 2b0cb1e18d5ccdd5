"""The duty screen: queue, map and detail on one page, and the lists its scripts read again."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dispatch.console.answers import Health
from dispatch.console.cases import case_page
from dispatch.console.desk import desk_of
from dispatch.console.feed import Feed
from dispatch.console.identity import signed_in
from dispatch.console.json_answer import Json
from dispatch.console.render import boot, renderer_of, zone_names
from dispatch.console.scope import scope_of
from dispatch.console.words import language_of, words
from dispatch.people import User
from schemas.case import Role
from schemas.catalogue import catalogue

MOST = 500


async def show_duty(request: Request) -> Response:
    user = await signed_in(request)
    desk = desk_of(request)
    feed: Feed = request.app.state.feed
    said = words(language_of(request))
    # The id first: what changes while the lists are read comes again over the stream.
    live_from = await feed.newest()
    zones = await zone_names(desk, said.language)
    networks = dict.fromkeys([*(row.domain for row in catalogue().values()), "device"])
    return renderer_of(request).page(
        request,
        "duty.html",
        page="duty",
        user=user,
        sound=bool(user.roles & {Role.duty, Role.leader}),
        may_open=bool(user.roles & {Role.duty, Role.leader}),
        zones=zones,
        categories=said.categories(),
        networks={key: said(f"network.{key}") for key in networks},
        boot=boot(
            request,
            user,
            said,
            zones,
            live_from=live_from,
            cases=await _queue(request, user, open_only=True),
            health=health_for(user, await feed.health()),
        ),
    )


def health_for(user: User, health: Health) -> dict[str, Any]:
    """JSON-able; the counts are the whole city's and not shown to who sees a part of it."""
    plain: dict[str, Any] = msgspec.to_builtins(health)
    scope = scope_of(user)
    if scope.unit or scope.districts:
        plain["counts"] = None
    return plain


async def list_queue(request: Request) -> Response:
    user = await signed_in(request)
    return Json(await _queue(request, user, open_only=request.query_params.get("open") == "1"))


async def _queue(request: Request, user: User, *, open_only: bool) -> dict[str, Any]:
    """The newest cases, and every open one of level 1 and 2 (up to as many again): in a flood the gravest
    are on the screen however old they are."""
    page = await case_page(request, user, open_only=open_only, limit=MOST)
    found = {case["case_id"]: case for case in page.items}
    if page.next is not None:
        for level in (1, 2):
            grave = await case_page(request, user, level=level, open_only=True, limit=MOST)
            found |= {case["case_id"]: case for case in grave.items}
    return {"items": list(found.values()), "next": page.next}


ROUTES = [Route("/", show_duty), Route("/queue", list_queue)]
