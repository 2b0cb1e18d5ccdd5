"""Simulated cameras show pictures that move, and stand in every zone of the city."""

from __future__ import annotations

import datetime as dt
import struct
import zlib

import numpy as np

from simulators.cameras import HEIGHT, WIDTH, cameras_of, picture
from simulators.city import ZONES

NOON = dt.datetime(2026, 3, 1, 4, tzinfo=dt.UTC)


def pixels(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, body = 8, b""
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        content = png[at + 8 : at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size : at + 12 + size])[0] == zlib.crc32(
            png[at + 4 : at + 8 + size]
        )
        body += content if png[at + 4 : at + 8] == b"IDAT" else b""
        at += 12 + size
    rows = np.frombuffer(zlib.decompress(body), np.uint8).reshape(HEIGHT, 1 + WIDTH * 3)
    return rows[:, 1:].reshape(HEIGHT, WIDTH, 3)


def test_a_picture_moves_and_its_clock_with_it() -> None:
    first, later = (pixels(picture(NOON + dt.timedelta(seconds=s), "cam-1")) for s in (0, 1))
    assert not np.array_equal(first[120:160], later[120:160])
    assert not np.array_equal(first[8:36], later[8:36])
    assert np.array_equal(first[40:110], later[40:110])


def test_every_zone_has_cameras_with_an_address_of_their_own() -> None:
    cameras = list(cameras_of(ZONES, "http://127.0.0.1:1"))
    assert {camera.zone for camera in cameras} == {zone.zone for zone in ZONES}
    assert len({camera.snapshot for camera in cameras}) == len(cameras) == 4 * len(ZONES)
