"""Sensors over the API, and the readings of one in a window. Times are event time of the city."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from dispatch.console.answers import ReadingItem, ReadingPage, SensorItem, SensorPage
from dispatch.console.bodies import query_int, query_text, query_time
from dispatch.console.cases import ZONE
from dispatch.console.desk import Desk, desk_of
from dispatch.console.endpoint import Endpoint, Query
from dispatch.console.identity import signed_in
from dispatch.console.json_answer import Json
from dispatch.console.problems import Problem, wrong_field
from dispatch.people import User
from schemas.clock import to_datetime
from schemas.reading import Quality

HOUR_US = 3_600_000_000
MOST_READINGS = 100_000
_TIME = {"type": "string", "format": "date-time"}


async def _list_sensors(request: Request) -> Response:
    user = await signed_in(request)
    limit = query_int(request, "limit", low=1, high=10_000) or 1000
    rows = await desk_of(request).history.sensors(
        zone=query_text(request, "zone"),
        category=query_text(request, "category"),
        state=query_text(request, "state"),
        after=query_int(request, "cursor", low=0, high=2**31) or 0,
        limit=limit,
    )
    items = [row for row in rows if _sees(user, row)]
    return Json({"items": items, "next": str(rows[-1]["sensor"]) if len(rows) == limit else None})


async def _get_sensor(request: Request) -> Response:
    user = await signed_in(request)
    return Json(await seen_sensor(desk_of(request), user, request.path_params["sensor"]))


async def seen_sensor(desk: Desk, user: User, number: int) -> Mapping[str, Any]:
    """The sensor's row. Raises Problem 404, or 403 outside the user's districts."""
    row = await desk.history.sensor(number) if number < 2**31 else None
    if row is None:
        raise Problem(404, f"no sensor {number}")
    if not _sees(user, row):
        raise Problem(403, f"sensor {number} is not in a district of {user.name}")
    return row


async def _list_readings(request: Request) -> Response:
    user = await signed_in(request)
    desk = desk_of(request)
    sensor = request.path_params["sensor"]
    await seen_sensor(desk, user, sensor)
    to_us = query_time(request, "to") or desk.clock.city_us(desk.now())
    from_us = query_time(request, "from")
    from_us = to_us - HOUR_US if from_us is None else from_us
    if from_us > to_us:
        raise wrong_field("from", "a time before `to`", query_text(request, "from"))
    limit = query_int(request, "limit", low=1, high=MOST_READINGS) or 1000
    points = await desk.history.window(sensor, from_us, to_us, limit)
    items = [
        ReadingItem(
            to_datetime(point.time),
            point.value if math.isfinite(point.value) else None,
            Quality(point.quality).name,
        )
        for point in points
    ]
    return Json(ReadingPage(sensor, items))


def _sees(user: User, row: Mapping[str, Any]) -> bool:
    return not user.districts or row.get("district") in user.districts


def _up_to(most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": 1000}


ENDPOINTS = [
    Endpoint(
        "GET", "/sensors", _list_sensors, "Sensors by number", answers=SensorPage,
        query=(
            ZONE,
            Query("category", "a catalogue key"),
            Query("state", "in-service, waiting, commissioning, maintenance or retired"),
            Query("cursor", "`next` of the page before", {"type": "integer"}),
            Query("limit", "items a page", _up_to(10_000)),
        ),
    ),
    Endpoint("GET", "/sensors/{sensor:int}", _get_sensor, "One sensor", answers=SensorItem, refusals=(404,)),
    Endpoint(
        "GET", "/sensors/{sensor:int}/readings", _list_readings,
        "Readings of a window, oldest first, thinned to `limit` so that a chart keeps its shape",
        answers=ReadingPage,
        query=(
            Query("from", "event time, inclusive; default an hour before `to`", _TIME),
            Query("to", "event time, exclusive; default the city's now", _TIME),
            Query("limit", "at most", _up_to(MOST_READINGS)),
        ),
        refusals=(404,),
    ),
]  # fmt: skip
