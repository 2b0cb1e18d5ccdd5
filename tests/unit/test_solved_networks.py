"""Mains and sewers answer as solved networks do: a burst is felt around it, rain finds what is blocked."""

from __future__ import annotations

import numpy as np
import pytest

from simulators.city import WHOLE, City
from simulators.faults import FaultSpec, plant
from simulators.grids import table
from simulators.simulation import Simulation

START_US = 1_790_000_000_000_000
ZONE = "shinan-01"


@pytest.fixture(scope="module")
def city() -> City:
    return City.build(5, zones=1, density=0.6, networks=WHOLE)


def _fault(kind: str, magnitude: float = 0.0) -> FaultSpec:
    return FaultSpec(kind, ZONE, 0.0, 120.0, magnitude, None, None)


def _highest(city: City, category: str, *specs: FaultSpec) -> float:
    """The most that the devices of a category saw in two hours."""
    faults = [plant(spec, city, START_US, 60) for spec in specs]
    simulation = Simulation(city, faults, START_US, step_s=60)
    at, most = city.find(category, ZONE), 0.0
    for _ in range(110):
        for report in simulation.step():
            seen = report.values[np.isin(report.sensors, at)]
            most = max(most, float(seen.max(initial=0.0)))
    return most


@pytest.mark.parametrize("kind", ["main-burst", "gas-main-rupture", "heat-pump-trip"])
def test_what_breaks_is_felt_most_where_it_breaks_and_less_around(city: City, kind: str) -> None:
    (part,) = plant(_fault(kind, 0.075), city, START_US, 60).parts
    assert part.share.max() == pytest.approx(1.0)
    assert 0.25 <= part.share.min() < 1.0
    assert len(set(part.at.tolist())) == len(part.at) > 1


def test_an_ordinary_rain_stays_in_the_sewer_and_a_blocked_trunk_lifts_it(city: City) -> None:
    rain = _fault("rainstorm", 30.0)
    dry = _highest(city, "drain_manhole_level")
    wet = _highest(city, "drain_manhole_level", rain)
    blocked = _highest(city, "drain_manhole_level", rain, _fault("trunk-blocked"))
    assert dry < wet < blocked
    assert _highest(city, "drain_manhole_level", _fault("trunk-blocked")) == dry
    assert wet < min(city.sensors[i].params["pipe_d"] for i in city.find("drain_manhole_level", ZONE)) * 1.2


def test_a_pump_that_does_not_run_lifts_its_sump_when_it_rains(city: City) -> None:
    rain = _fault("rainstorm", 30.0)
    assert _highest(city, "drain_pump_forebay_level", rain) < 3.0
    assert _highest(city, "drain_pump_forebay_level", rain, _fault("underpass-pump-out")) > 3.5


def test_solved_tables_are_shares_and_whole() -> None:
    for name in ("water", "gas", "heat"):
        for key, values in table(name).items():
            assert np.isfinite(values).all(), key
        influence = table(name)["influence"]
        assert influence.min() >= 0
        assert influence.max() <= 1
