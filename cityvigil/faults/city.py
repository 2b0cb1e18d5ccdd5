"""The city of a fault run: a small one whose faults come one after another for as long as the run may take.

Kinds and zones go round, so that faults of every network begin, last and heal while something is being
killed. The same seed and length give the same city. Pure.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from simulators import scenario
from simulators.faults import FaultSpec
from simulators.scenario import Scenario

EVERY_S = 6.0
FIRST_S = 6.0
LASTS_S = 40.0
MAGNITUDES = {
    "gas-leak": 3.25,
    "main-burst": 0.075,
    "heat-pipe-leak": 0.075,
    "bridge-strain-shift": 0.9,
    "building-fire": 1.0,
}
ZONES = ("shinan-01", "shibei-01", "licang-01", "laoshan-01", "chengyang-01", "huangdao-01")


def for_run(seed: int, seconds: float) -> Scenario:
    """Seconds are of wall time; a zone has a kind of fault once at most."""
    found = replace(scenario.load("first-light"), name="faults", seed=seed, zones=len(ZONES), density=0.25)
    kinds = list(MAGNITUDES)
    # Kinds and zones turn together, and the zones one further each time round.
    pairs = [
        (kind, ZONES[(number + shift) % len(ZONES)])
        for shift in range(len(ZONES))
        for number, kind in enumerate(kinds)
    ]
    onsets = itertools.takewhile(lambda onset: onset < seconds, itertools.count(FIRST_S, EVERY_S))
    faults = tuple(
        FaultSpec(kind, zone, onset, LASTS_S, MAGNITUDES[kind], 2, "any")
        for (kind, zone), onset in zip(pairs, onsets, strict=False)
    )
    return replace(found, faults=faults)
