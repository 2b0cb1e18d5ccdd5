"""What an unknown point probably is: siblings, units, names; and values that do not fit speak against."""

from __future__ import annotations

import doctest
import math

from hypothesis import given
from hypothesis import strategies as st

from dispatch import suggest as module
from dispatch.suggest import MOST, suggest
from schemas.catalogue import catalogue


def best(
    point: str, unit: str | None, values: list[float], siblings: list[tuple[str, str]] | None = None
) -> str | None:
    found = suggest(point, unit, values, siblings or [])
    return found[0].category if found else None


def test_points_that_differ_from_a_known_one_by_a_number_are_its_like() -> None:
    siblings = [("AI-01", "water_main_pressure"), ("DI-01", "drain_road_water_depth")]
    assert best("AI-07", None, [0.3], siblings) == "water_main_pressure"
    assert suggest("AI-07", None, [0.3], siblings)[0].why[0] == "sibling"


def test_what_measures_in_another_unit_is_not_suggested() -> None:
    siblings = [("p-1", "water_main_pressure")]
    assert all(
        catalogue()[one.category].unit in ("Cel", "1") for one in suggest("p-2", "Cel", [20.0], siblings)
    )


def test_values_that_the_category_cannot_have_speak_against_it() -> None:
    assert best("ch4-01", "%{vol}", [0.03, 0.05]) is not None
    assert best("ch4-01", "%{vol}", [350.0, 420.0]) is None


def test_chinese_names_are_understood() -> None:
    assert best("道路积水-3", "m", [0.0, 0.12]) == "drain_road_water_depth"


def test_a_name_that_says_nothing_is_no_guess() -> None:
    assert suggest("AI-07", None, [1.0, 2.0]) == []


@given(
    point=st.text(max_size=30),
    unit=st.sampled_from([None, "Cel", "MPa", "%{vol}", "?"]),
    values=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=5),
)
def test_any_point_gets_a_few_suggestions_in_order(point: str, unit: str | None, values: list[float]) -> None:
    found = suggest(point, unit, values)
    assert len(found) <= MOST
    assert all(math.isfinite(one.score) for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_the_examples_in_the_text_are_true() -> None:
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)
