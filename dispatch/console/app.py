"""The console as an ASGI application, made from what it is given.

Routes come from each area's table; the API's table also makes its OpenAPI document. No work at import,
nothing global: two consoles in one process do not know each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import psycopg
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from dispatch.console import (
    accounts,
    alerts,
    camera_pages,
    case_forms,
    case_pages,
    cases,
    devices_page,
    duty_page,
    endpoint,
    health,
    ledger_page,
    live,
    login_page,
    map_page,
    openapi,
    problems,
    reference,
    rejects_page,
    sensors,
    session,
    unknown_page,
)
from dispatch.console.desk import Desk
from dispatch.console.endpoint import Endpoint
from dispatch.console.feed import Feed
from dispatch.console.headers import Secured
from dispatch.console.json_answer import Json
from dispatch.console.metrics import Counted
from dispatch.console.render import HERE, Renderer


def endpoints() -> list[Endpoint]:
    """The whole API."""
    areas = (session, alerts, cases, sensors, reference, accounts, health, live)
    table = [one for area in areas for one in area.ENDPOINTS]
    return [*table, Endpoint("GET", "/openapi.json", _describe, "This document", open=True)]


async def _describe(request: Request) -> Response:
    return Json(request.app.state.openapi)


def build_console(desk: Desk, feed: Feed, routes: Sequence[BaseRoute] = ()) -> Starlette:
    """`routes` are the health routes that the front door hands in."""
    renderer = Renderer()
    table = endpoints()
    static = StaticFiles(directory=HERE / "static")
    app = Starlette(
        routes=[
            *routes,
            *endpoint.routes(table),
            Route("/live", live.stream_live),
            *login_page.ROUTES,
            *duty_page.ROUTES,
            *case_pages.ROUTES,
            *case_forms.ROUTES,
            *map_page.ROUTES,
            *rejects_page.ROUTES,
            *ledger_page.ROUTES,
            *devices_page.ROUTES,
            *camera_pages.ROUTES,
            *unknown_page.ROUTES,
            Mount(f"/static/{renderer.static_version}", static, name="static"),
        ],
        middleware=[
            Middleware(Counted),
            Middleware(Secured),
            Middleware(GZipMiddleware, minimum_size=1000, compresslevel=5),
        ],
        exception_handlers={
            problems.Problem: problems.on_problem,
            HTTPException: problems.on_http_error,
            psycopg.OperationalError: problems.on_database_away,
            psycopg.DataError: problems.on_unstorable,
        },
    )
    app.state.desk = desk
    app.state.feed = feed
    app.state.renderer = renderer
    app.state.openapi = openapi.document(table, version("cityvigil"))
    return app
