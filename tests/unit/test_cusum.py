"""A small shift that stays is told as fast as theory says, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from cityvigil.rule_checks import wrong_with
from detectors import cusum
from detectors.contract import Batch, Bound, Fall, Scores
from tests.builders import T0
from tests.told_logs import a_scoring_rule

FACTS = cusum.Facts(floor=0.1)
MINUTE = 60_000_000


def said(value: np.ndarray, facts: cusum.Facts = FACTS) -> list[Scores]:
    table = cusum.tabulate([Bound(facts, frozenset({4}), (Fall(),) * 4, ())])
    kind, zero = np.zeros(1, np.int32), np.zeros(1, np.uint8)
    state = cusum.fresh(table, kind)
    found = []
    for number, one in enumerate(value.tolist()):
        at = np.array([T0 + number * MINUTE])
        batch = Batch(kind, at, np.array([one]), np.zeros(1, np.int64), zero, zero)
        state, scores = cusum.step(table, state, batch)
        found.append(scores)
    return found


def told(value: np.ndarray, facts: cusum.Facts = FACTS) -> list[int]:
    return [number for number, scores in enumerate(said(value, facts)) if scores.meets[0]]


def noise(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(5.0, 1.0, rows)


@pytest.mark.parametrize(("shift", "within"), [(1.0, 26 * 3), (-1.0, 26 * 3), (2.0, 9 * 3)])
def test_a_shift_is_told_within_thrice_the_mean_delay_of_page_s_chart(shift: float, within: int) -> None:
    for seed in range(8):
        value = noise(1500, seed)
        value[1000:] += shift
        found = told(value)
        assert found
        assert 1000 < found[0] <= 1000 + within


def test_an_episode_begins_about_where_the_shift_did() -> None:
    value = noise(1500)
    value[1000:] += 1.5
    first = next(scores for scores in said(value) if scores.meets[0])
    assert abs(int(first.since[0]) - (T0 + 1000 * MINUTE)) <= 15 * MINUTE


def test_noise_single_wild_readings_and_values_that_are_none_are_silent() -> None:
    value = noise(20_000)
    value[2000::1000] += 1e12
    value[2500::1000] = np.nan
    assert told(value) == []


def test_a_constant_series_and_its_last_digit_are_silent() -> None:
    value = np.full(5_000, 0.3)
    assert told(value) == []
    value[1_000:] += 0.1 * np.random.default_rng(2).integers(0, 2, 4_000)
    assert told(value) == []


def test_it_is_over_soon_after_the_mean_is_back() -> None:
    value = noise(1_500)
    value[1_000:1_100] += 3.0
    keeps = [bool(scores.keeps[0]) for scores in said(value)]
    assert keeps[1_099]
    assert not any(keeps[1_200:])


def test_a_shift_that_stays_becomes_the_new_normal() -> None:
    value = noise(4_000)
    value[1_000:] += 2.0
    found = told(value, replace(FACTS, memory=500.0))
    assert found
    assert max(found) < 1_000 + 600


def test_what_a_rule_may_set_is_checked() -> None:
    rule = a_scoring_rule("cusum")
    assert wrong_with(rule) == []
    (wrong,) = wrong_with(msgspec.structs.replace(rule, params={"h": 0.0}))
    assert wrong == ("params.h", 0, "expected a number from 1 to 1000, got 0")
