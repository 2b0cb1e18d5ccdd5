"""What flows into a district and does not come out of it: the mass balance of a water district, loop or main.

The balance is the sum of the selector's meters, less those of role `out` and of role `used` (metered
consumers): for a district it is what its people use and what it loses, for a closed heat loop or a gas main
it is nearly nothing. Held against the same hour of other days (detectors/usual.py), more than usual is a leak
(water balance: Lambert and Hirner 2000, "Losses from water supply systems", IWA; CJJ 92-2016). All meters
must be known; what is missing pauses the rule. Less than usual is not judged.
"""

from __future__ import annotations

import numpy as np

from detectors.departing import Kind, Quantity, detector
from detectors.members import Member

TAKEN = frozenset({"out", "used"})
"""Roles whose meters are subtracted; a rule of this detector knows no others."""


def balance(signs: np.ndarray, values: np.ndarray) -> Quantity:
    """
    >>> found = balance(np.array([[1.0, -1.0]]), np.array([[120.0, 90.0]]))
    >>> found.value.tolist(), found.whole.tolist()
    ([30.0], [120.0])
    """
    there = signs != 0
    complete = (np.isfinite(values) | ~there).all(axis=1)
    flows = np.where(there, values, 0.0)
    total = np.where(complete, (signs * flows).sum(axis=1), np.nan)
    inflow = np.where(complete, np.where(signs > 0, flows, 0.0).sum(axis=1), np.nan)
    return Quantity(total, inflow, np.where(there, signs, np.nan))


def signs_of(members: tuple[Member, ...]) -> tuple[float, ...]:
    return tuple(-1.0 if member.role in TAKEN else 1.0 for member in members)


DETECTOR = detector(Kind("balance", TAKEN, frozenset({"v", "dev", "sigma"}), balance, signs_of))
