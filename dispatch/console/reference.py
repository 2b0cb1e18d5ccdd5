"""What stands: handling units and rules, over the API. Read only; changed elsewhere."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from dispatch.console.answers import RulePage, UnitPage
from dispatch.console.desk import desk_of
from dispatch.console.endpoint import Endpoint
from dispatch.console.identity import signed_in
from dispatch.console.json_answer import Json


async def _list_units(request: Request) -> Response:
    await signed_in(request)
    return Json({"items": await desk_of(request).store.units(), "next": None})


async def _list_rules(request: Request) -> Response:
    await signed_in(request)
    rules = await desk_of(request).rules()
    items = [{**msgspec.structs.asdict(rule), "version": rule.version} for rule in rules]
    return Json({"items": items, "next": None})


ENDPOINTS = [
    Endpoint("GET", "/units", _list_units, "Handling units", answers=UnitPage),
    Endpoint("GET", "/rules", _list_rules, "Rules as they are now, with their version", answers=RulePage),
]
