"""Scales collide: each term of each is mapped by name, and what nobody stated is refused."""

from __future__ import annotations

import pytest

from schemas.alert import Level
from schemas.scales import level_of, scales, term_of


def test_every_scale_begins_with_its_most_severe_term() -> None:
    for scale, terms in scales().items():
        levels = list(terms.values())
        assert levels == sorted(levels), scale


def test_the_first_alarm_of_a_gas_detector_is_its_milder_one() -> None:
    assert level_of("gb50493", "一级报警") > level_of("gb50493", "二级报警")
    assert level_of("emergency", "一级") < level_of("emergency", "二级")


def test_a_highway_bridge_states_its_order() -> None:
    assert level_of("jt1037-first-worst", "一级") == level_of("jt1037-third-worst", "三级") == Level.red
    assert "jt1037" not in scales()


def test_cap_and_colours_are_ours_both_ways() -> None:
    for level in Level:
        for scale in ("cap", "colour", "emergency"):
            term = term_of(scale, level)
            assert term is not None
            assert level_of(scale, term) == level


def test_a_term_that_a_scale_does_not_have_is_refused() -> None:
    with pytest.raises(KeyError):
        level_of("cap", "Unknown")
    assert term_of("lifeline-bridge", Level.blue) is None
