"""What an analytics box says of its cameras: events as JSON, each with the address of its picture.

The platform's own form (docs/protocols.md), written from there. Each sensor is a camera that looks for one
thing; its code is made as GB/T 28181 makes them (3702.., type 132). There is no picture behind the address.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.clock import to_datetime

EVENTS = {
    "camera_smoke_fire": "smoke",
    "fire_lane_blocked": "fire-lane",
    "drain_road_water_depth": "ponding",
    "public_place_crowd_count": "crowd",
}
"""Category -> what its event is called; another one's is its category."""


def camera(box: int, at: int) -> str:
    """
    >>> camera(7, 2)
    '37020000001320007002'
    """
    return f"37020000001320{box:03d}{at:03d}"


def point(box: int, at: int, category: str) -> str:
    return f"{camera(box, at)}/{EVENTS.get(category, category)}"


def events(device: str, box: int, time_us: int, said: Sequence[tuple[int, str, str, bool | float]]) -> bytes:
    """`said`: place, category, unit and value of each; a state is a start or an end."""
    when = to_datetime(time_us).isoformat()
    found: list[dict[str, object]] = []
    for at, category, unit, value in said:
        which = camera(box, at)
        event: dict[str, object] = {"camera": which, "event": EVENTS.get(category, category), "time": when}
        if isinstance(value, bool):
            event["state"] = "start" if value else "end"
        else:
            event |= {"value": value, "unit": unit}
        found.append(event | {"picture": f"https://box.example/{which}/{time_us // 1_000}.jpg"})
    return msgspec.json.encode({"device": device, "events": found})
