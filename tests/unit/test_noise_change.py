"""Much more noise or much less is told, whatever slow course lies under it, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from detectors import noise_change
from detectors.contract import Batch, Bound, Fall, Scores
from tests.builders import T0

FACTS = noise_change.Facts(floor=0.05)
MINUTE = 60_000_000


def said(value: np.ndarray, at: np.ndarray | None = None) -> list[Scores]:
    at = T0 + 5 * MINUTE * np.arange(len(value)) if at is None else at
    table = noise_change.tabulate([Bound(FACTS, frozenset({4}), (Fall(),) * 4, ())])
    kind, zero = np.zeros(1, np.int32), np.zeros(1, np.uint8)
    state = noise_change.fresh(table, kind)
    found = []
    for one, when in zip(value.tolist(), at.tolist(), strict=True):
        batch = Batch(kind, np.array([when]), np.array([one]), np.zeros(1, np.int64), zero, zero)
        state, scores = noise_change.step(table, state, batch)
        found.append(scores)
    return found


def told(value: np.ndarray, at: np.ndarray | None = None) -> list[int]:
    return [number for number, scores in enumerate(said(value, at)) if scores.meets[0]]


def course(rows: int, seed: int = 0) -> np.ndarray:
    """Noise of one on a day of forty."""
    noise = np.random.default_rng(seed).normal(0.0, 1.0, rows)
    daily: np.ndarray = noise + 20 * np.sin(2 * np.pi * np.arange(rows) / 288)
    return daily


def scaled(times: float, seed: int) -> np.ndarray:
    value, slow = course(3_000, seed), 20 * np.sin(2 * np.pi * np.arange(3_000) / 288)
    value[2_000:] = slow[2_000:] + times * (value - slow)[2_000:]
    return value


@pytest.mark.parametrize("times", [4.0, 0.25])
def test_four_times_the_noise_or_a_quarter_of_it_is_told_within_some_hours(times: float) -> None:
    for seed in range(6):
        value = scaled(times, seed)
        found = told(value)
        assert found
        assert 2_000 <= found[0] < 2_100
        ratio = next(float(scores.score[0]) for scores in said(value) if scores.meets[0])
        assert (ratio > 1.5) if times > 1 else (ratio < 0.7)


def test_noise_as_usual_on_a_daily_course_is_silent() -> None:
    assert told(course(20_000, 3)) == []


def test_a_step_and_a_spike_are_no_noise() -> None:
    value = course(4_000)
    value[2_000] += 1e9
    value[3_000:] += 50.0
    assert told(value) == []


def test_what_lies_beyond_a_gap_is_not_successive() -> None:
    value, at = course(4_000), T0 + 5 * MINUTE * np.arange(4_000)
    for row in range(2_000, 3_000, 4):
        at[row:] += 120 * MINUTE
        value[row:] += 40.0 * (-1) ** (row // 4)
    assert told(value, at) == []


def test_a_constant_series_and_its_last_digit_are_silent() -> None:
    value = np.full(4_000, 7.0)
    assert told(value) == []
    value[2_000:] += 0.05 * np.random.default_rng(1).integers(0, 2, 2_000)
    assert told(value) == []


def test_values_that_are_none_change_nothing() -> None:
    value = course(3_000)
    value[2_000::7] = np.nan
    value[2_001::7] = np.inf
    assert told(value) == []
