"""The map's data, and the detail of one sensor that was clicked on it."""

from __future__ import annotations

import datetime as dt
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dispatch.console.desk import desk_of
from dispatch.console.identity import signed_in
from dispatch.console.json_answer import Json
from dispatch.console.render import renderer_of, zone_names
from dispatch.console.scope import scope_of
from dispatch.console.sensors import seen_sensor
from dispatch.console.words import language_of, words
from schemas.clock import to_datetime

MOST_SENSORS = 20_000
"""Dots on the schematic; a larger city needs tiles, which are not here."""

MOST_ALERTS = 500


async def list_map(request: Request) -> Response:
    """Sensors as rows of numbers into lists of names: 5,000 sensors are 200 kB before compression."""
    user = await signed_in(request)
    desk = desk_of(request)
    scope = scope_of(user)
    gateways, categories, zones = _Names(), _Names(), _Names()
    sensors = [
        [
            row["sensor"],
            gateways.number(row["gateway"]),
            row["point"],
            round(row["lon"], 6),
            round(row["lat"], 6),
            categories.number(row["category"]),
            zones.number(row["zone"]),
        ]
        for row in await desk.history.sensors(limit=MOST_SENSORS)
        if row["lon"] is not None
        and row["lat"] is not None
        and (not scope.districts or row.get("district") in scope.districts)
    ]
    alerts = await desk.store.alerts(
        state="active", unit=scope.unit, districts=scope.districts, limit=MOST_ALERTS
    )
    shown = ("alert_id", "subject", "level", "state", "zone", "case_id")
    return Json(
        {
            "sensors": sensors,
            "gateways": gateways.list,
            "categories": categories.list,
            "zone_ids": zones.list,
            "alerts": [{name: alert[name] for name in shown} for alert in alerts.items],
        }
    )


async def show_sensor(request: Request) -> Response:
    user = await signed_in(request)
    desk = desk_of(request)
    sensor = await seen_sensor(desk, user, request.path_params["sensor"])
    to = to_datetime(desk.clock.city_us(desk.now()))
    return renderer_of(request).page(
        request,
        "sensor_panel.html",
        sensor=sensor,
        zones=await zone_names(desk, words(language_of(request)).language),
        from_=(to - dt.timedelta(hours=3)).isoformat(),
        to=to.isoformat(),
    )


class _Names:
    """Each name once, in the order of first use."""

    def __init__(self) -> None:
        self.list: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def number(self, name: Any) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self.list)
            self.list.append(name)
        return self._numbers[name]


ROUTES = [Route("/map.json", list_map), Route("/sensors/{sensor:int}/panel", show_sensor)]
