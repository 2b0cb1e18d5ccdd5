"""Settings by purpose: which detectors look at a recorded series or group, and how strictly.

`city` is the default and keeps to the city's budget of false alerts; `nab` is what suits the NAB benchmark.
For several columns that are one group `choose_group` picks by facts that need no label: how often rows come,
and whether there is a clean history to fit.
"""

from __future__ import annotations

from dataclasses import dataclass

from detectors import components, deviation, novelty, onestep, regime, seasonal, spike
from detectors.group import GroupDetector

DAY_S = 86400.0


@dataclass(frozen=True)
class Series:
    """For columns that are judged one by one; values that cannot be are always told."""

    name: str
    spike: spike.Facts | None = None
    seasonal: seasonal.Facts | None = None
    novelty: novelty.Facts | None = None


@dataclass(frozen=True)
class Group:
    """For columns that are one vector. Without a clean history it learns from its first rows, in silence."""

    name: str
    detector: GroupDetector
    learn_rows: int
    learn_s: float = 0.0


SERIES = {
    profile.name: profile
    for profile in (
        Series("city", spike.Facts(), seasonal.CITY),
        Series("nab", None, seasonal.Facts()),
        Series("spikes", spike.Facts(), None),
        Series("shapes", novelty=novelty.Facts()),
    )
}
GROUPS = {
    profile.name: profile
    for profile in (
        Group("machine", components.DETECTOR, 400),
        Group("place", deviation.DETECTOR, 400, 10 * DAY_S),
        Group("plant", regime.DETECTOR, 2000, 120 * DAY_S),
        Group("network", onestep.DETECTOR, 2000, 120 * DAY_S),
    )
}
NAMES = (*SERIES, *GROUPS)
MACHINE_S = 10.0  # rows at least as close as this are a machine's
NETWORK_S = 900.0  # and as far apart as this, with a clean history, a network's


def choose_group(interval_s: float, *, fitted: bool) -> Group:
    if interval_s <= MACHINE_S:
        return GROUPS["machine"]
    if fitted and interval_s >= NETWORK_S:
        return GROUPS["network"]
    return GROUPS["place"]
