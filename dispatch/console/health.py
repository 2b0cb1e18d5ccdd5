"""`GET /api/v1/health`: how far the city's picture can be believed, and what is open."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from dispatch.console.answers import Health
from dispatch.console.endpoint import Endpoint
from dispatch.console.feed import Feed
from dispatch.console.identity import signed_in
from dispatch.console.json_answer import Json


async def _get_health(request: Request) -> Response:
    await signed_in(request)
    feed: Feed = request.app.state.feed
    return Json(await feed.health())


ENDPOINTS = [Endpoint("GET", "/health", _get_health, "Trust, gateways, rejects, counts", answers=Health)]
