"""Windows over the last T agree with what a list of all readings would say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import windows
from detectors.windows import FUNCTIONS, RING, Spec

MINUTE = 60_000_000
SPAN = 60 * MINUTE
WIDTH = SPAN // (RING - 1)
START = 1_772_409_600_000_000


def run(name: str, readings: list[tuple[int, float]], need: int = 1, span: int = SPAN) -> list[float]:
    """What the window shows after each reading."""
    spec = Spec(
        np.array([FUNCTIONS.index(name)]),
        np.array([span]),
        np.array([need]),
        np.array([2.0]),
        np.array([9.0]),
    )
    ring, shown = windows.fresh(1), []
    for at, value in readings:
        ring, result = windows.step(spec, ring, np.array([at]), np.array([value]))
        shown.append(float(result[0]))
    return shown


histories = st.lists(
    st.tuples(st.integers(1, 3 * WIDTH), st.integers(0, 1000).map(float)), min_size=1, max_size=60
).map(lambda steps: [(START + sum(s for s, _ in steps[: i + 1]), v) for i, (_, v) in enumerate(steps)])


@given(histories)
def test_extremes_and_sums_lie_between_the_window_and_one_bucket_more(
    readings: list[tuple[int, float]],
) -> None:
    tops, sums = run("max", readings), run("sum", readings)
    for i, (at, _) in enumerate(readings):
        inside = [v for t, v in readings[: i + 1] if t > at - SPAN]
        wider = [v for t, v in readings[: i + 1] if t > at - SPAN - WIDTH]
        assert max(inside) <= tops[i] <= max(wider)
        assert (
            sum(wider) + 1e-6
            >= sums[i]
            >= sum(v for t, v in readings[: i + 1] if t > at - SPAN + WIDTH) - 1e-6
        )


@given(st.lists(st.tuples(st.integers(WIDTH, 3 * WIDTH), st.floats(-50, 50)), min_size=2, max_size=40))
def test_a_change_is_against_the_oldest_reading_within_the_span(steps: list[tuple[int, float]]) -> None:
    readings, at = [], START
    for step, value in steps:
        at += step
        readings.append((at, value))
    for i, shown in enumerate(run("roc", readings)):
        now, value = readings[i]
        inside = [(t, v) for t, v in readings[: i + 1] if t >= now - SPAN]
        if len(inside) < 2:
            assert math.isnan(shown)
        else:
            assert shown == pytest.approx(value - inside[0][1])


def test_a_change_over_five_minutes_sees_the_reading_of_exactly_five_minutes_ago() -> None:
    readings = [(START + i * MINUTE, float(i)) for i in range(8)]
    assert run("roc", readings, span=5 * MINUTE)[1:] == [1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0]


def test_aligned_readings_make_an_exact_sum() -> None:
    readings = [(START + i * 5 * MINUTE, 2.0) for i in range(1, 40)]
    assert run("sum", readings)[-1] == pytest.approx(24.0)  # 12 readings in (t - 1 h, t]


def test_one_report_is_too_sparse_for_a_change_or_a_mean() -> None:
    assert math.isnan(run("roc", [(START, 5.0)])[0])
    shown = run("mean", [(START + i * 15 * MINUTE, 5.0) for i in range(4)], need=3)
    assert [math.isnan(x) for x in shown] == [True, True, False, False]


def test_many_reports_within_minutes_do_not_fill_an_hour() -> None:
    shown = run("rise", [(START + i * MINUTE, 5.0) for i in range(40)], need=2)
    first_known = next(i for i, x in enumerate(shown) if not math.isnan(x))
    assert 25 <= first_known <= 35
    assert not any(math.isnan(x) for x in shown[first_known:])


def test_after_a_gap_longer_than_the_span_nothing_old_counts() -> None:
    readings = [(START, 9.0), (START + MINUTE, 9.0), (START + 10 * SPAN, 1.0)]
    assert math.isnan(run("roc", readings)[-1])
    assert run("max", readings)[-1] == 1.0
    assert run("drop", readings, need=1)[-1] == 0.0


def test_windows_of_different_functions_do_not_disturb_one_another() -> None:
    readings = [(START + i * MINUTE, float(7 * i % 5)) for i in range(100)]
    n = len(FUNCTIONS)
    spec = Spec(np.arange(n), np.full(n, SPAN), np.ones(n, np.int64), np.full(n, 2.0), np.full(n, 9.0))
    ring = windows.fresh(n)
    for at, value in readings:
        before = [array.copy() for array in ring]
        fresh, together = windows.step(spec, ring, np.full(n, at), np.full(n, value))
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, ring, strict=True))
        ring = fresh
    alone = [run(name, readings)[-1] for name in FUNCTIONS]
    assert together.tolist() == pytest.approx(alone, nan_ok=True)
