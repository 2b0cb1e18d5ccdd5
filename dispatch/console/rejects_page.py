"""Rejects and gateways: what came in and was refused, by gateway and reason, and who is silent."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dispatch.console.desk import desk_of
from dispatch.console.duty_page import health_for
from dispatch.console.feed import Feed
from dispatch.console.identity import signed_in
from dispatch.console.render import boot, renderer_of, zone_names
from dispatch.console.words import language_of, words


async def show_rejects(request: Request) -> Response:
    user = await signed_in(request)
    feed: Feed = request.app.state.feed
    said = words(language_of(request))
    values = await _values(request)
    booted = boot(
        request,
        user,
        said,
        values["zones"],
        live_from=await feed.newest(),
        health=health_for(user, await feed.health()),
    )
    return renderer_of(request).page(
        request, "rejects.html", page="rejects", user=user, boot=booted, **values
    )


async def show_tables(request: Request) -> Response:
    await signed_in(request)
    return renderer_of(request).page(request, "rejects_tables.html", **await _values(request))


async def _values(request: Request) -> dict[str, Any]:
    feed: Feed = request.app.state.feed
    zones = await zone_names(desk_of(request), words(language_of(request)).language)
    return {"trust": await feed.health(), "zones": zones}


ROUTES = [Route("/rejects", show_rejects), Route("/rejects/tables", show_tables)]
