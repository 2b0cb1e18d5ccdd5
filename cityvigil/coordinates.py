"""Places as the field writes them, turned into WGS-84, which is what the city keeps.

Pure. GCJ-02 and BD-09 have no published definition: what is here are the formulae that everybody uses since
they were recovered from map services (the same as in the libraries eviltransform and coordtransform), with
the inverse iterated to 1 mm. Against the map services themselves that is good to about a metre. CGCS2000
(EPSG:4490) is taken as it is: the two frames agree within centimetres, and the ground's own way since the
epoch 2000.0, some 3 cm a year in eastern China, is not taken out: less than 1 m.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

DATUMS = ("EPSG:4326", "EPSG:4490", "GCJ-02", "BD-09")
SHIFTED = ("GCJ-02", "BD-09")

_A = 6378245.0  # Krasovsky 1940, as the formulae have it
_E2 = 0.00669342162296594323
_BAIDU = math.pi * 3000.0 / 180.0
_CLOSE_DEG = 1e-8  # 1 mm
STEPS = 20
_Shift = Callable[[Any, Any, Any], tuple[Any, Any]]
"""Longitude and latitude, numbers or arrays, with the module whose functions fit them."""
_SPLIT = re.compile(r"[°º度:\s]+|[′'’分]+|[″\"”秒]+")
_SIGNS = {"N": 1, "E": 1, "S": -1, "W": -1, "北": 1, "东": 1, "南": -1, "西": -1}


def degrees(text: str) -> float:
    """Decimal degrees, or degrees, minutes and seconds in any usual writing. Raises ValueError.

    >>> degrees("120.384583"), round(degrees("120°23'04.5\\"E"), 6), round(degrees("36度03分57.6秒"), 6)
    (120.384583, 120.384583, 36.066)
    >>> degrees("36:4:0"), degrees("-0:30"), degrees("N36°6′")
    (36.06666666666667, -0.5, 36.1)
    """
    body = text.strip().upper().removesuffix("纬").removesuffix("经")
    for word in ("东经", "西经", "北纬", "南纬"):
        body = body.replace(word, word[0])
    sign = 1
    for end in (body[:1], body[-1:]):
        if end in _SIGNS and end:
            sign, body = _SIGNS[end], body.removeprefix(end).removesuffix(end).strip()
            break
    if body.startswith(("-", "+")):
        sign, body = (-sign if body[0] == "-" else sign), body[1:]
    parts = [part for part in _SPLIT.split(body.strip()) if part]
    if not 1 <= len(parts) <= 3 or not all(re.fullmatch(r"\d+(\.\d+)?", part) for part in parts):
        raise ValueError(f"{text!r} is no angle")
    if any("." in part for part in parts[:-1]):
        raise ValueError(f"{text!r}: only the last part may have a fraction")
    whole, minutes, seconds = (float(part) for part in (*parts, "0", "0")[:3])
    if minutes >= 60 or seconds >= 60:
        raise ValueError(f"{text!r}: minutes and seconds are below 60")
    return sign * (whole + minutes / 60 + seconds / 3600)


def in_china(lon: float, lat: float) -> bool:
    """The rectangle in which map services shift places."""
    return 72.004 <= lon <= 137.8347 and 0.8293 <= lat <= 55.8271


def to_wgs84(lon: float, lat: float, datum: str) -> tuple[float, float]:
    """A place in a datum of DATUMS, in WGS-84.

    >>> [round(part, 5) for part in to_wgs84(120.3900, 36.0660, "GCJ-02")]
    [120.38487, 36.06572]
    """
    if datum == "BD-09":
        lon, lat = _inverse(_bd09, lon, lat)
    if datum in SHIFTED and in_china(lon, lat):
        return _inverse(_gcj02, lon, lat)
    return lon, lat


def all_to_wgs84(places: Sequence[tuple[float, float]], datum: str) -> list[tuple[float, float]]:
    """As `to_wgs84`, of many places in China at once: a hundredth of the time."""
    if not places or datum not in SHIFTED:
        return list(places)
    lon, lat = np.array(places, float).T
    if datum == "BD-09":
        lon, lat = _inverses(_bd09, lon, lat)
    lon, lat = _inverses(_gcj02, lon, lat)
    return list(zip(lon.tolist(), lat.tolist(), strict=True))


def gcj02_of(lon: float, lat: float) -> tuple[float, float]:
    """A place of WGS-84 as map services show it."""
    return _gcj02(lon, lat, math) if in_china(lon, lat) else (lon, lat)


def bd09_of(lon: float, lat: float) -> tuple[float, float]:
    """A place of GCJ-02 as Baidu shows it."""
    return _bd09(lon, lat, math)


def _gcj02(lon: Any, lat: Any, m: Any) -> tuple[Any, Any]:
    """Of numbers with the functions of `math`, of arrays with numpy's."""
    x, y = lon - 105.0, lat - 35.0
    both = 20.0 * m.sin(6.0 * x * m.pi) + 20.0 * m.sin(2.0 * x * m.pi)
    north = both + 20.0 * m.sin(y * m.pi) + 40.0 * m.sin(y / 3.0 * m.pi)
    north += 160.0 * m.sin(y / 12.0 * m.pi) + 320.0 * m.sin(y / 30.0 * m.pi)
    east = both + 20.0 * m.sin(x * m.pi) + 40.0 * m.sin(x / 3.0 * m.pi)
    east += 150.0 * m.sin(x / 12.0 * m.pi) + 300.0 * m.sin(x / 30.0 * m.pi)
    root = m.sqrt(abs(x))
    north = north * 2 / 3 - 100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root
    east = east * 2 / 3 + 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root
    latitude = m.radians(lat)
    squash = 1 - _E2 * m.sin(latitude) ** 2
    d_lat = m.degrees(north / (_A * (1 - _E2) / squash**1.5))
    d_lon = m.degrees(east / (_A / m.sqrt(squash) * m.cos(latitude)))
    return lon + d_lon, lat + d_lat


def _bd09(lon: Any, lat: Any, m: Any) -> tuple[Any, Any]:
    far = m.sqrt(lon * lon + lat * lat) + 0.00002 * m.sin(lat * _BAIDU)
    turn = m.atan2(lat, lon) + 0.000003 * m.cos(lon * _BAIDU)
    return far * m.cos(turn) + 0.0065, far * m.sin(turn) + 0.006


def _inverse(forward: _Shift, lon: float, lat: float) -> tuple[float, float]:
    """The shift changes slowly, so taking off the shift of the guess closes in quickly."""
    x, y = lon, lat
    for _ in range(STEPS):
        there_x, there_y = forward(x, y, math)
        x, y = x + lon - there_x, y + lat - there_y
        if max(abs(there_x - lon), abs(there_y - lat)) < _CLOSE_DEG:
            break
    return x, y


def _inverses(forward: _Shift, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `_inverse`: each place takes the steps that it would take alone, whatever stands beside it."""
    x, y, open_ = lon, lat, np.ones(len(lon), bool)
    for _ in range(STEPS):
        there_x, there_y = forward(x, y, np)
        x, y = np.where(open_, x + lon - there_x, x), np.where(open_, y + lat - there_y, y)
        open_ = open_ & (np.maximum(abs(there_x - lon), abs(there_y - lat)) >= _CLOSE_DEG)
        if not open_.any():
            break
    return x, y
