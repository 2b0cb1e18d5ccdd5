"""A sensor that drifts away from its neighbours of the same category.

Its value less the median of the nearest others (three at least) takes the day's course, weather and demand
out of it, whatever they are; what is left is smoothed over hours and held against the same hour of other
days (detectors/usual.py). Spatial consistency tests of weather networks: Barnes 1964 and WMO-No. 8, part IV;
the median is Tukey's. A fault that its neighbours share is none of this detector's.
"""

from __future__ import annotations

import numpy as np

from detectors.departing import Kind, Quantity, detector
from detectors.members import Member

LEAST_OTHERS = 3


@np.errstate(all="ignore")
def apart(signs: np.ndarray, values: np.ndarray) -> Quantity:
    """
    >>> apart(np.array([[1.0, -1, -1, -1]]), np.array([[0.5, 0.3, 0.31, 0.32]])).value.round(6).tolist()
    [0.19]
    """
    others = np.sort(np.where(signs < 0, values, np.nan), axis=1)  # the unknown last
    count = np.isfinite(others).sum(axis=1)
    rows = np.arange(len(others))
    middle = (others[rows, np.maximum(count - 1, 0) // 2] + others[rows, count // 2 * (count > 0)]) / 2
    value = np.where(count >= LEAST_OTHERS, values[:, 0] - middle, np.nan)
    return Quantity(value, np.abs(values[:, 0]), np.full(values.shape, np.nan))


def signs_of(members: tuple[Member, ...]) -> tuple[float, ...]:
    return (1.0, *(-1.0 for _ in members[1:]))


DETECTOR = detector(
    Kind(
        "neighbours",
        frozenset(),
        frozenset({"v", "sigma"}),
        apart,
        signs_of,
        both_ways=True,
        each=True,
        lays=False,
        span_s=6 * 3600.0,
        least_noises=2.0,
    )
)
