"""A window that is thinned keeps its extremes, its ends and its order, and no more than was asked for."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.history import thinned


@given(st.lists(st.floats(-1e9, 1e9), max_size=300), st.integers(4, 100))
def test_extremes_and_ends_stay_and_the_limit_holds(values: list[float], limit: int) -> None:
    line = np.array(values)
    kept = thinned(line, limit)
    assert len(kept) == min(len(values), limit) if len(values) <= limit else len(kept) <= limit
    assert np.all(np.diff(kept) > 0)
    if values:
        assert {0, len(values) - 1} <= set(kept.tolist())
        assert (line[kept].min(), line[kept].max()) == (line.min(), line.max())


def test_a_limit_too_small_for_a_shape_gives_the_newest() -> None:
    assert thinned(np.arange(10.0), 2).tolist() == [8, 9]
    assert thinned(np.arange(10.0), 0).tolist() == []


def test_values_that_are_no_number_do_not_hide_the_others() -> None:
    line = np.array([1.0, np.nan, 5.0, np.nan, -3.0, 1.0, 1.0, 1.0])
    assert {2, 4} <= set(thinned(line, 6).tolist())
