"""The city's video channels as a register: where each stands, where it looks and how far. No pictures.

In the columns that `cityvigil cameras import` reads. Ids are of the national form: district, type 132
(camera) and a number; places scatter about the zones. The same seed and count give the same rows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import NamedTuple, TextIO

import numpy as np

from simulators.city import ZONES

OWNERS = ("police", "urban-management", "traffic-police", "property", "education")
REGION = {"shinan": 370202, "shibei": 370203, "huangdao": 370211, "laoshan": 370212, "licang": 370213,
          "chengyang": 370214}  # fmt: skip
TURNING_SHARE = 0.25
AT_ONCE = 10_000


class Channel(NamedTuple):
    camera: str
    name: str
    lon: float
    lat: float
    bearing: float | None  # None: it turns
    angle: float
    range_m: float
    owner: str
    zone: str
    stream: str
    snapshot: str
    state: str


def channels(seed: int, count: int) -> Iterator[Channel]:
    """`count` of them, the zones in turn."""
    rng = np.random.default_rng([seed, 2])
    for first in range(0, count, AT_ONCE):
        n = min(AT_ONCE, count - first)
        east, north = rng.normal(0, 0.012, n), rng.normal(0, 0.010, n)
        bearing, angle = rng.uniform(0, 360, n).round(), rng.choice((60.0, 75.0, 90.0, 110.0), n)
        reach, owner = rng.choice((40.0, 60.0, 100.0, 150.0), n), rng.integers(len(OWNERS), size=n)
        turning = rng.uniform(0, 1, n) < TURNING_SHARE
        for i in range(n):
            number = first + i
            zone = ZONES[number % len(ZONES)]
            name = f"{REGION[zone.district]}0000132{number:07d}"
            yield Channel(
                name,
                f"{zone.name_zh}{number // len(ZONES) + 1:05d}",
                round(zone.lon + float(east[i]), 6),
                round(zone.lat + float(north[i]), 6),
                None if turning[i] else float(bearing[i]),
                float(angle[i]),
                float(reach[i]),
                OWNERS[int(owner[i])],
                zone.zone,
                f"rtsp://video.invalid/{name}",
                f"http://video.invalid/{name}.jpg",
                "in-service",
            )


def write(seed: int, count: int, file: TextIO) -> int:
    """A CSV of all of them; how many there are."""
    writer = csv.writer(file)
    writer.writerow(Channel._fields)
    for channel in channels(seed, count):
        writer.writerow("" if value is None else value for value in channel)
    return count
