"""Detectors over blocks: one row at a time, in blocks or all at once is the same, bit for bit where it is one
by one; what each is for is found, and quiet data stays quiet."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import novelty, onestep, plausible, seasonal, spike
from detectors.group import GroupDetector, TooLittle
from detectors.profiles import GROUPS, SERIES
from detectors.recorded import Limits, one_by_one, together
from detectors.registry import GROUP_DETECTORS
from tests.builders import T0

MINUTE = 60_000_000
QUIET = {
    "spike": (spike, spike.Facts(returned=4.0, least=3.0, epoch_s=7200.0)),
    "seasonal": (seasonal, seasonal.Facts(quiet_s=0.0, quiet_readings=5, refractory_s=600.0)),
    "novelty": (novelty, novelty.Facts(limit=1.0, quiet=1, refractory_s=600.0)),
}


def wild(rng: np.random.Generator, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Times that stand still, jump and go back; values that are missing, senseless or far away."""
    steps = rng.choice([0, 10, 60, 60, 60, 600, -300, 90_000], (rows, columns)) * 1_000_000
    at = T0 + np.cumsum(steps, axis=0)
    value = np.cumsum(rng.normal(0, 1, (rows, columns)), axis=0).round(2)
    odd = rng.random((rows, columns))
    value = np.where(odd < 0.05, np.nan, value)
    value = np.where(
        (odd > 0.05) & (odd < 0.08), rng.choice([1e12, -1e12, np.inf, 1e300, 0.0], value.shape), value
    )
    return at, value


@pytest.mark.parametrize("name", QUIET)
@given(seed=st.integers(0, 2**32), data=st.data())
@settings(max_examples=25, deadline=None)
def test_where_a_block_ends_changes_no_bit(name: str, seed: int, data: st.DataObject) -> None:
    module: Any = QUIET[name][0]
    rng = np.random.default_rng(seed)
    rows, columns = data.draw(st.integers(2, 120)), data.draw(st.integers(1, 3))
    at, value = wild(rng, rows, columns)
    table = module.tabulate_facts([QUIET[name][1]] * columns)
    start = module.fresh(table, np.zeros(columns, int))
    kept = copy.deepcopy((table, start, at, value))
    end, whole = module.scan(table, start, at, value)
    np.testing.assert_equal((table, start, at, value), kept)
    cuts = sorted(data.draw(st.lists(st.integers(1, rows - 1), max_size=5)))
    for edges in (cuts, range(1, rows)):
        state, parts = start, []
        for part in np.split(np.arange(rows), edges):
            if len(part):
                state, marks = module.scan(table, state, at[part], value[part])
                parts.append(marks)
        np.testing.assert_array_equal(np.concatenate([m.score for m in parts]), whole.score)
        np.testing.assert_array_equal(np.concatenate([m.alert for m in parts]), whole.alert)
        np.testing.assert_equal(state, end)


def a_group(
    rng: np.random.Generator, rows: int, columns: int
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Columns of two families that follow one cause, every minute."""
    cause = np.sin(np.arange(rows) / 50) + rng.normal(0, 0.1, rows)
    mix = rng.normal(0, 1, columns)
    values = (cause[:, None] * mix + rng.normal(0, 0.05, (rows, columns))).round(3)
    names = tuple(f"{'PF'[i % 2]}_{i}" for i in range(columns))
    return names, T0 + np.arange(rows) * MINUTE, values


@pytest.mark.parametrize("name", GROUP_DETECTORS)
@given(seed=st.integers(0, 2**16), data=st.data())
@settings(max_examples=8, deadline=None)
def test_where_a_block_of_a_group_ends_changes_nothing(name: str, seed: int, data: st.DataObject) -> None:
    detector = GROUP_DETECTORS[name]
    rng = np.random.default_rng(seed)
    names, at, values = a_group(rng, 1200, 4)
    model = detector.learn(detector.settings, names, at, values)
    times, odd = wild(rng, 90, 4)
    kept = copy.deepcopy((model, times, odd))
    state = detector.fresh(model)
    _, whole = detector.scan(model, state, times[:, 0], odd)
    np.testing.assert_equal((model, times, odd), kept)
    scores, alerts = [], []
    for part in np.split(np.arange(90), sorted(data.draw(st.lists(st.integers(1, 89), max_size=4)))):
        if len(part):
            state, marks = detector.scan(model, state, times[part, 0], odd[part])
            scores.append(marks.score)
            alerts.append(marks.alert)
    assert np.isfinite(whole.score).all()
    np.testing.assert_allclose(np.concatenate(scores), whole.score, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(np.concatenate(alerts), whole.alert)


@pytest.mark.parametrize("name", GROUP_DETECTORS)
def test_a_group_is_quiet_while_usual_and_names_the_column_that_is_not(name: str) -> None:
    detector = GROUP_DETECTORS[name]
    if name == "onestep":  # an average of some hours: one row in five hundred is its own quantile
        detector = replace(detector, settings=replace(onestep.Settings(), quantile=0.9999))
    names, at, values = a_group(np.random.default_rng(5), 3600, 4)
    names = ("F_0", "F_1", "P_2", "P_3")
    at = T0 + 60 * (at - T0)
    model = detector.learn(detector.settings, names, at[:3000], values[:3000])
    live = values[3000:].copy()
    state = detector.fresh(model)
    _, marks = detector.scan(model, state, at[3000:], live)
    assert marks.alert[100:].mean() < 0.05
    live[300:330, 2] += 40 * values[:, 2].std()
    _, marks = detector.scan(model, state, at[3000:], live)
    assert marks.alert[300:330].any()
    first = 300 + int(marks.alert[300:330].argmax())
    assert first < 310
    assert marks.top[first] == 2


@pytest.mark.parametrize("name", GROUP_DETECTORS)
def test_a_history_that_is_too_short_is_said_to_be(name: str) -> None:
    detector: GroupDetector = GROUP_DETECTORS[name]
    names, at, values = a_group(np.random.default_rng(5), 40, 3)
    with pytest.raises(TooLittle, match="40 rows of history"):
        detector.learn(detector.settings, names, at, values)


def quiet_course(rng: np.random.Generator, days: int) -> tuple[np.ndarray, np.ndarray]:
    """Five-minute readings with a daily wave and noise."""
    rows = days * 288
    wave = 10 + 2 * np.sin(2 * np.pi * np.arange(rows) / 288)
    return T0 + np.arange(rows) * 5 * MINUTE, (wave + rng.normal(0, 0.1, rows)).round(2)


def alerts_of(profile: str, at: np.ndarray, value: np.ndarray) -> np.ndarray:
    return np.flatnonzero(one_by_one(SERIES[profile], [Limits()], at, value[:, None]).alert)


def test_a_usual_month_is_quiet_for_the_city() -> None:
    at, value = quiet_course(np.random.default_rng(8), 30)
    assert len(alerts_of("city", at, value)) == 0


def test_a_spike_that_returns_is_told_at_its_return() -> None:
    at, value = quiet_course(np.random.default_rng(8), 30)
    value[6000:6003] += 5.0
    found = alerts_of("spikes", at, value)
    assert 6000 in found  # the largest departure so far
    value[6500:6502] += 3.0  # smaller than the record, but it comes back
    assert 6502 in alerts_of("spikes", at, value)


def test_the_same_value_at_another_hour_is_strange() -> None:
    at, value = quiet_course(np.random.default_rng(8), 30)
    noon, midnight = 20 * 288 + 72, 20 * 288 + 216
    value[midnight : midnight + 36] = value[noon : noon + 36]
    found = alerts_of("city", at, value)
    assert len(found) > 0
    assert midnight <= found[0] <= midnight + 12


def test_a_gap_alone_is_no_news() -> None:
    at, value = quiet_course(np.random.default_rng(8), 30)
    kept = np.ones(len(at), bool)
    kept[5000:5400] = False
    assert len(alerts_of("city", at[kept], value[kept])) == 0
    value[5000:5400] = np.nan
    assert len(alerts_of("city", at, value)) == 0


def test_a_code_for_no_data_is_told_and_disturbs_nothing() -> None:
    at, value = quiet_course(np.random.default_rng(8), 30)
    value[5000:5003] = -9999.0
    assert alerts_of("city", at, value).tolist() == [5000, 5001, 5002]


def test_what_is_out_of_range_is_told() -> None:
    table = plausible.tabulate_facts([plausible.Facts(low=0.0, high=14.0)])
    marks = plausible.marks(table, np.array([[7.0], [14.1], [np.nan], [-0.1], [np.inf]]))
    assert marks.alert.ravel().tolist() == [False, True, False, True, True]


def test_a_group_without_history_learns_in_silence_and_too_few_rows_say_nothing() -> None:
    names, at, values = a_group(np.random.default_rng(5), 600, 4)
    values[450:470] += 50.0
    marks = together(GROUPS["machine"], names, at // 60, values)
    assert not marks.score[:400].any()
    assert marks.alert[450:470].all()
    assert not together(GROUPS["machine"], names, at[:300], values[:300]).score.any()
