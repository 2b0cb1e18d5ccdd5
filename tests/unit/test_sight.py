"""Cameras that can see a place are those that one finds by looking at each of them."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dispatch.sight import METRES_A_DEGREE, Sight

near = st.floats(-0.01, 0.01)
camera = st.tuples(
    near, near, st.one_of(st.none(), st.floats(0, 359)), st.floats(10, 180), st.floats(20, 1500)
)


def by_hand(
    cameras: list[tuple[float, float, float | None, float, float]], lon: float, lat: float
) -> list[int]:
    found = []
    for i, (c_lon, c_lat, bearing, angle, reach) in enumerate(cameras):
        east = (lon - c_lon) * math.cos(math.radians(lat)) * METRES_A_DEGREE
        north = (lat - c_lat) * METRES_A_DEGREE
        far = math.hypot(east, north)
        towards = math.degrees(math.atan2(east, north)) % 360
        off = 0.0 if bearing is None else abs((towards - bearing + 180) % 360 - 180)
        if far <= reach and (far < 1 or off <= angle / 2):
            found.append((far, i))
    return [i for _, i in sorted(found)]


def a_sight(cameras: list[tuple[float, float, float | None, float, float]]) -> Sight:
    columns = list(zip(*cameras, strict=True)) or [()] * 5
    bearing = [math.nan if one is None else one for one in columns[2]]
    return Sight(columns[0], columns[1], bearing, columns[3], columns[4])


@given(st.lists(camera, max_size=30), near, near)
def test_they_are_those_that_looking_at_each_one_finds(
    cameras: list[tuple[float, float, float | None, float, float]], lon: float, lat: float
) -> None:
    placed = [(120.4 + c[0], 36.1 + c[1], *c[2:]) for c in cameras]
    found = a_sight(placed).seeing(120.4 + lon, 36.1 + lat, limit=100)
    assert sorted(one.camera for one in found) == sorted(by_hand(placed, 120.4 + lon, 36.1 + lat))
    assert [one.distance_m for one in found] == sorted(one.distance_m for one in found)


def test_a_camera_that_looks_away_does_not_see_and_one_that_turns_does() -> None:
    north_of_it = (120.0, 36.001)
    cameras = [
        (120.0, 36.0, 180.0, 60.0, 500.0),
        (120.0, 36.0, None, 60.0, 500.0),
        (120.0, 36.0, 350.0, 60.0, 500.0),
    ]
    assert [one.camera for one in a_sight(cameras).seeing(*north_of_it)] == [1, 2]
    assert a_sight(cameras).seeing(*north_of_it)[0].bearing == 0.0


def test_a_camera_without_a_place_sees_nothing_and_no_camera_is_no_trouble() -> None:
    assert Sight([math.nan], [math.nan], [0.0], [90.0], [100.0]).seeing(120.0, 36.0) == []
    assert Sight([], [], [], [], []).seeing(120.0, 36.0) == []


def test_a_city_of_cameras_gives_the_nearest_of_those_that_see() -> None:
    rng = np.random.default_rng(3)
    n = 20_000
    lon, lat = 120 + rng.random(n), 36 + rng.random(n) * 0.5
    bearing = np.where(rng.random(n) < 0.2, np.nan, rng.random(n) * 360)
    angle, reach = 30 + rng.random(n) * 60, 50 + rng.random(n) * 2000
    sight = Sight(lon, lat, bearing, angle, reach)
    rows = list(
        zip(lon.tolist(), lat.tolist(), bearing.tolist(), angle.tolist(), reach.tolist(), strict=True)
    )
    cameras = [(a, b, None if math.isnan(c) else c, d, e) for a, b, c, d, e in rows]
    for place in ((120.5, 36.25), (120.01, 36.01)):
        assert [one.camera for one in sight.seeing(*place, limit=5)] == by_hand(cameras, *place)[:5]
