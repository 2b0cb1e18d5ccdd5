"""A case's own page, as a crew has it on a phone, and its detail for the duty screen."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dispatch.console.case_panel import panel, values_of
from dispatch.console.cases import seen_case
from dispatch.console.desk import desk_of
from dispatch.console.duty_page import health_for
from dispatch.console.feed import Feed
from dispatch.console.identity import signed_in
from dispatch.console.render import boot, renderer_of
from dispatch.console.words import language_of, words


async def show_case(request: Request) -> Response:
    user = await signed_in(request)
    desk = desk_of(request)
    feed: Feed = request.app.state.feed
    said = words(language_of(request))
    live_from = await feed.newest()
    case = await seen_case(desk, user, request.path_params["case_id"])
    values = await values_of(request, user, said, case)
    health = health_for(user, await feed.health())
    booted = boot(request, user, said, values["zones"], live_from=live_from, health=health)
    return renderer_of(request).page(request, "case_page.html", user=user, boot=booted, **values)


async def show_panel(request: Request) -> Response:
    user = await signed_in(request)
    case = await seen_case(desk_of(request), user, request.path_params["case_id"])
    return await panel(request, user, case)


ROUTES = [Route("/cases/{case_id}", show_case), Route("/cases/{case_id}/panel", show_panel)]
