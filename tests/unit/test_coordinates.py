"""Places in the datums of Chinese maps: known pairs, and there and back again to a millimetre."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityvigil import cells, column_names, coordinates, sensor_files

CITY = {"lon": st.floats(118, 124), "lat": st.floats(34, 40)}

# WGS-84 and GCJ-02, as the libraries that recovered the formulae publish them in their tests.
KNOWN = [
    ((121.5272106, 31.1774276), (121.531541859215, 31.17530398364597)),
    ((113.912316, 22.543847), (113.9171764808363, 22.540796131694766)),
    ((116.377817, 39.911954), (116.38404722455657, 39.91334545536069)),
]


@pytest.mark.parametrize(("earth", "chart"), KNOWN)
def test_known_places_come_out_where_everybody_has_them(
    earth: tuple[float, float], chart: tuple[float, float]
) -> None:
    assert coordinates.gcj02_of(*earth) == pytest.approx(chart, abs=1e-9)
    assert coordinates.to_wgs84(*chart, "GCJ-02") == pytest.approx(earth, abs=2e-8)


@given(**CITY)
@settings(max_examples=40)
def test_there_and_back_again_is_the_same_place_to_a_millimetre(lon: float, lat: float) -> None:
    chart = coordinates.gcj02_of(lon, lat)
    assert coordinates.to_wgs84(*chart, "GCJ-02") == pytest.approx((lon, lat), abs=2e-8)
    assert coordinates.to_wgs84(*coordinates.bd09_of(*chart), "BD-09") == pytest.approx((lon, lat), abs=3e-8)


@pytest.mark.parametrize("datum", coordinates.SHIFTED)
@given(places=st.lists(st.tuples(st.floats(73, 137), st.floats(1, 55)), max_size=30))
@settings(max_examples=40)
def test_many_places_at_once_come_out_as_each_alone(datum: str, places: list[tuple[float, float]]) -> None:
    together = coordinates.all_to_wgs84(places, datum)
    alone = [coordinates.to_wgs84(*place, datum) for place in places]
    assert [pytest.approx(place, abs=1e-12) for place in alone] == together


@settings(max_examples=40)
@given(st.integers(0, 179), st.integers(0, 59), st.integers(0, 59))
def test_degrees_minutes_and_seconds_are_read_in_every_writing(
    whole: int, minutes: int, seconds: int
) -> None:
    expected = pytest.approx(whole + minutes / 60 + seconds / 3600)
    for text in ("{}°{}′{}″", "{}°{}'{}\"E", "{}度{}分{}秒", "{}:{}:{}", "{} {} {}", "东经{}°{}'{}\""):
        assert coordinates.degrees(text.format(whole, minutes, seconds)) == expected
    assert coordinates.degrees(f"{whole}:{minutes}:{seconds}W") == pytest.approx(
        -coordinates.degrees(f"{whole}:{minutes}:{seconds}")
    )


@pytest.mark.parametrize("text", ["", "x", "1:60", "1:2:60", "1.5:2", "1:2:3:4", "--1", "N", "1°2′3″4"])
def test_what_is_no_angle_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"angle|fraction|below 60"):
        coordinates.degrees(text)


@pytest.mark.parametrize("module", [cells, coordinates, column_names, sensor_files])
def test_the_examples_in_the_text_are_true(module: ModuleType) -> None:
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)
