"""A page of tables below the trust bar, with what its scripts need: the frame that such pages share."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from dispatch.console.desk import Desk, Devices, desk_of
from dispatch.console.duty_page import health_for
from dispatch.console.feed import Feed
from dispatch.console.problems import Problem
from dispatch.console.render import boot, renderer_of, zone_names
from dispatch.console.words import language_of, words
from dispatch.people import User


async def framed(
    request: Request, user: User, template: str, *, page: str, status: int = 200, **values: Any
) -> Response:
    """The template with `zones` and `boot` beside its own values."""
    feed: Feed = request.app.state.feed
    said = words(language_of(request))
    zones = await zone_names(desk_of(request), said.language)
    booted = boot(
        request,
        user,
        said,
        zones,
        live_from=await feed.newest(),
        health=health_for(user, await feed.health()),
    )
    return renderer_of(request).page(
        request, template, status=status, page=page, user=user, boot=booted, zones=zones, **values
    )


def devices_of(desk: Desk) -> Devices:
    """Raises Problem where this console was given no registry."""
    if desk.devices is None:
        raise Problem(503, "this console has no registry to show")
    return desk.devices
