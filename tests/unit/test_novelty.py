"""A shape that a sensor has not shown before: told once, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from cityvigil.rule_checks import wrong_with
from detectors import novelty
from detectors.marks import NEVER
from tests.builders import T0
from tests.told_logs import a_scoring_rule

MINUTE = 60_000_000
FACTS = novelty.Facts(floor=0.05)


def told(value: np.ndarray, at: np.ndarray | None = None, facts: novelty.Facts = FACTS) -> list[int]:
    at = T0 + 5 * MINUTE * np.arange(len(value)) if at is None else at
    table = novelty.tabulate_facts([facts])
    state = novelty.fresh(table, np.zeros(1, int))
    return np.flatnonzero(novelty.scan(table, state, at[:, None], value[:, None])[1].alert).tolist()


def waves(rows: int, seed: int = 4) -> np.ndarray:
    """Of four hours, with noise."""
    rng = np.random.default_rng(seed)
    return 10 + 2 * np.sin(2 * np.pi * np.arange(rows) / 48) + rng.normal(0, 0.1, rows)


def test_another_shape_within_the_usual_range_is_told_once_before_it_ends() -> None:
    value = waves(4000)
    value[3000:3024] = 10 + 2 * np.sin(2 * np.pi * np.arange(24) / 6)
    found = told(value)
    assert len(found) == 1
    assert 3000 < found[0] < 3024


def test_a_shape_that_was_shown_often_is_no_longer_told() -> None:
    value = waves(8000)
    for start in range(3000, 7000, 240):
        value[start : start + 24] = 10 + 2 * np.sin(2 * np.pi * np.arange(24) / 6)
    found = told(value)
    assert found
    assert max(found) < 4500


@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_and_a_usual_course_are_silent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    daily = 10 + 2 * np.sin(2 * np.pi * np.arange(30 * 288) / 288) + rng.normal(0, 0.1, 30 * 288)
    assert told(waves(30 * 288, seed)) == []
    assert told(rng.normal(0, 1, 30 * 288)) == []
    assert told(daily) == []


def test_the_last_digit_of_a_constant_series_is_no_shape() -> None:
    rng = np.random.default_rng(3)
    value = np.full(20_000, 0.35)
    assert told(value) == []
    value[10_000:] += 0.05 * rng.integers(0, 2, 10_000)
    assert told(value) == []


def test_a_gap_alone_is_no_news_and_nothing_is_judged_before_the_ring_is_full_again() -> None:
    value, at = waves(4000), T0 + 5 * MINUTE * np.arange(4000)
    kept = np.ones(4000, bool)
    kept[3000:3007] = False
    assert told(value[kept], at[kept]) == []
    value[3007:3018] += 30.0
    value[3018:] += 15.0
    assert all(row >= 3000 + novelty.STEPS - 1 for row in told(value[kept], at[kept]))


def test_readings_that_come_faster_are_merged_into_steps() -> None:
    value = waves(4000)
    value[3000:3024] = 10 + 2 * np.sin(2 * np.pi * np.arange(24) / 6)
    at = T0 + 5 * MINUTE * np.arange(4000)
    often = np.repeat(at[200:], 3) + np.tile([0, 20_000_000, 40_000_000], 3800)
    found = told(np.concatenate((value[:200], np.repeat(value[200:], 3))), np.concatenate((at[:200], often)))
    assert len(found) == 1
    assert 200 + 3 * 2800 < found[0] < 200 + 3 * 2824


def test_senseless_values_and_times_that_go_back_leave_the_state_as_it_was() -> None:
    table = novelty.tabulate_facts([FACTS])
    state = novelty.fresh(table, np.zeros(1, int))
    at = T0 + 5 * MINUTE * np.arange(500)
    before, _ = novelty.scan(table, state, at[:, None], waves(500)[:, None])
    late = np.array([[at[-1] + MINUTE], [at[-1] + MINUTE], [at[-1] - MINUTE]])
    after, marks = novelty.scan(table, before, late, np.array([[np.nan], [np.inf], [5.0]]))
    np.testing.assert_equal(after, before)
    assert not marks.alert.any()


def test_the_state_of_a_sensor_takes_at_most_1500_bytes() -> None:
    state = novelty.fresh(novelty.tabulate_facts([FACTS]), np.zeros(1, int))
    assert sum(array.nbytes for array in state) <= 1500
    assert state.spoke[0] == NEVER


def test_a_parameter_that_cannot_be_is_refused_with_its_range() -> None:
    rule = a_scoring_rule("novelty")
    assert [wrong for wrong in wrong_with(rule) if wrong.place.startswith("params")] == []
    wrong = wrong_with(replace(rule, params={"limit": 0.0, "shapes": 3.0, "near": float("nan")}))
    assert [(w.place, w.what) for w in wrong if w.place.startswith("params")] == [
        ("params.limit", "expected a number from 1 to 100, got 0"),
        ("params.shapes", "expected one of merge, near, limit, memory, quiet, refractory_s"),
        ("params.near", "expected a number from 0.1 to 10, got nan"),
    ]
