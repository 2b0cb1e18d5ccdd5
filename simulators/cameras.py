"""Cameras of the simulated city: moving test pictures over HTTP, a snapshot address each.

A picture is bars, a block that moves, and the clock, drawn when somebody asks and as a PNG; no library of
pictures is needed for that. The city gets one camera a zone and kind of view; what they look at is nothing.
"""

from __future__ import annotations

import datetime as dt
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.clock import to_datetime
from simulators.city import Zone

WIDTH, HEIGHT = 320, 180
_COLOURS = "b4b4b4 b4b410 10b4b4 10b410 b410b4 b41010 1010b4"
_BARS = np.frombuffer(bytes.fromhex(_COLOURS), np.uint8).reshape(-1, 3)
# Segments top, upper right, lower right, bottom, lower left, upper left, middle of each digit.
_DIGITS = (
    "1111110",
    "0110000",
    "1101101",
    "1111001",
    "0110011",
    "1011011",
    "1011111",
    "1110000",
    "1111111",
    "1111011",
)
_SEGMENTS = (
    (0, 1, 2, 7),
    (1, 7, 6, 8),
    (8, 14, 6, 8),
    (13, 14, 2, 7),
    (8, 14, 1, 2),
    (1, 7, 1, 2),
    (7, 8, 2, 7),
)
_OFFSETS = ((0.0, 0.0, None), (0.004, 0.002, 225.0), (-0.004, -0.002, 45.0), (0.002, -0.004, 340.0))


class Camera(NamedTuple):
    """`bearing` None: it turns."""

    camera: str
    name: str
    lon: float
    lat: float
    bearing: float | None
    angle: float
    range_m: float
    owner: str
    zone: str
    snapshot: str


def cameras_of(zones: Sequence[Zone], address: str) -> Iterator[Camera]:
    """Four a zone: one that turns and sees it all, three that look its way."""
    for zone in zones:
        for i, (east, north, bearing) in enumerate(_OFFSETS, 1):
            camera = f"cam-{zone.zone}-{i}"
            lon, lat = round(zone.lon + east, 6), round(zone.lat + north, 6)
            yield Camera(
                camera=camera,
                name=f"{zone.name_zh}{i}号",
                lon=lon,
                lat=lat,
                bearing=bearing,
                angle=90.0,
                range_m=2500.0 if bearing is None else 1200.0,
                owner="公安" if i % 2 else "城管",
                zone=zone.zone,
                snapshot=f"{address}/cameras/{camera}.png",
            )


def routes(now_us: Callable[[], int]) -> list[Route]:
    """Where the cameras answer."""

    async def show(request: Request) -> Response:
        content = picture(to_datetime(now_us()), request.path_params["camera"])
        return Response(content, media_type="image/png", headers={"Cache-Control": "no-store"})

    return [Route("/cameras/{camera}.png", show)]


def picture(now: dt.datetime, camera: str) -> bytes:
    """What a camera shows at a time, as PNG."""
    shift = zlib.crc32(camera.encode()) % len(_BARS)
    bars = np.roll(_BARS, shift, axis=0)[np.arange(WIDTH) * len(_BARS) // WIDTH]
    frame = np.broadcast_to(bars, (HEIGHT, WIDTH, 3)).copy()
    along = int((now.timestamp() % 8) / 8 * (WIDTH - 40))
    frame[120:160, along : along + 40] = 255
    frame[8:36, 8:160] = 0
    local = now.astimezone(dt.timezone(dt.timedelta(hours=8)))
    for place, sign in enumerate(local.strftime("%H%M%S")):
        left = 14 + place * 20 + place // 2 * 10
        for lit, (top, bottom, start, end) in zip(_DIGITS[int(sign)], _SEGMENTS, strict=True):
            if lit == "1":
                frame[12 + top : 12 + bottom + 1, left + start : left + end + 1] = 255
    return _png(frame)


def _png(frame: np.ndarray) -> bytes:
    rows = np.concatenate([np.zeros((HEIGHT, 1), np.uint8), frame.reshape(HEIGHT, -1)], axis=1)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes(), 1)),
        (b"IEND", b""),
    ]
    chunks = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
