"""The city, the rules of every detector and the logs that the laws of detectors are held against.

A log is a story told by hypothesis: frames of several gateways with late, repeated, future and senseless
readings, clocks that are off, duplicated frames, ticks with and without silent gateways, of old and new
generations. Settings are such that something happens in half an hour.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from detectors.fitted import fit
from detectors.program import compile_program
from detectors.registry import DETECTORS
from schemas.catalogue import catalogue
from schemas.control import Control
from schemas.default_rules import default_rules
from schemas.frame import Frame
from schemas.model import Model, packed
from schemas.registry import Registry, Sensor
from schemas.rule import Members, Role, Rule, Selector
from tests.builders import (
    a_frame,
    a_gateway,
    a_reading,
    a_registry,
    a_sensor,
    a_tick,
    after,
    an_equipment_rule,
)

Log = list[Frame | Control]
GATEWAYS = ("gw-1", "gw-2")
CATEGORIES = (
    "gas_manhole_methane",
    "water_main_pressure",
    "heat_primary_return_pressure",
    "fire_smoke_detector_state",
    "bridge_strain",
    "gas_household_co",
    "weather_rain",
    "gas_pipe_pressure_low",
)
NORMAL = {
    "gas_manhole_methane": 0.02,
    "water_main_pressure": 0.35,
    "heat_primary_return_pressure": 0.35,
    "bridge_strain": 40.0,
    "gas_pipe_pressure_low": 2.5,
}
FAULT = {
    "gas_manhole_methane": 3.25,
    "water_main_pressure": 0.275,
    "heat_primary_return_pressure": 0.14,
    "fire_smoke_detector_state": 1.0,
    "bridge_strain": 360.0,
    "gas_household_co": 320.0,
    "weather_rain": 60.0,
    "gas_pipe_pressure_low": 0.9,
}
SENSORS = tuple(
    a_sensor(
        10 * (i + 1) + g,
        category,
        gateway=GATEWAYS[g % 2],
        params={"interval_s": 60.0, "design": 400.0},
    )
    for i, category in enumerate(CATEGORIES)
    for g in range(2 if i else 4)
)


SCORING = {
    "plausible": {},
    "spike": {"returned": 4.0, "least": 4.0},
    "seasonal": {
        "short_limit": 1.0,
        "long_limit": 1.0,
        "quiet_s": 0.0,
        "margin": 0.02,
        "refractory_s": 300.0,
    },
    "cusum": {"k": 0.1, "h": 1.0, "warmup": 3.0, "memory": 10.0},
    "noise-change": {"limit": 1.0, "readings": 5.0, "warmup": 10.0, "memory": 50.0},
    "novelty": {"limit": 1.0, "quiet": 1.0, "refractory_s": 300.0},
}


TOGETHER = {
    "balance": (
        Selector(categories=("heat_primary_return_pressure", "water_main_pressure")),
        {"out": Role(categories=("gas_manhole_methane",))},
        "v>=0.05",
        {"learn_days": 0.0, "span_s": 120.0, "sigma": 0.5},
    ),
    "fitted": (Selector(categories=CATEGORIES[:1]), {}, "v>=1", {}),
    "night-flow": (
        Selector(categories=("heat_primary_return_pressure", "water_main_pressure")),
        {"out": Role(categories=("gas_manhole_methane",))},
        "v>=0.01",
        # T0 is eight in the morning; every hour that begins is a night that ends
        {"learn_nights": 0.0, "from_h": 8.0, "to_h": 8.25, "sigma": 0.0},
    ),
    "modal": (
        Selector(categories=("water_main_pressure",)),
        {"temperature": Role(categories=("heat_primary_return_pressure",))},
        "dev>=1%",
        {},
    ),
    "locate": (Selector(categories=CATEGORIES[:1]), {}, "v>=0.01", {"sensors": 1.0, "sigma": 1.0}),
    "front": (
        Selector(categories=("water_main_pressure",)),
        # what they say counts as seconds of the day, which at T0 has just begun
        {"arrival": Role(categories=("bridge_strain", "weather_rain", "gas_pipe_pressure_low"))},
        "v>=0.05",
        {"sensors": 2.0, "window_s": 400.0},
    ),
    "neighbours": (Selector(categories=CATEGORIES[:1]), {}, "v>=0.05", {"learn_days": 0.0, "sigma": 0.5}),
}


def a_model() -> Model:
    """Of four sensors of the city; what it was fitted on is noise."""
    values = np.random.default_rng(4).normal(0.02, 0.01, (200, 4))
    at = after(0) + np.arange(200) * 60_000_000
    names = tuple(f"{sensor.gateway}/{sensor.point}" for sensor in SENSORS[:4])
    return fit("components", names, at, values, ("", ""))


def a_network() -> Model:
    """Three places that those gauges feel."""
    names = tuple(f"{sensor.gateway}/{sensor.point}" for sensor in SENSORS[:4])
    arrays = {"lon": np.arange(3) / 100, "lat": np.zeros(3), "influence": np.eye(3, 4) + 0.2}
    return Model(detector="locate", names=names, interval_s=60.0, rows=3, first="", last="",
                 arrays=packed(arrays), places=("a", "b", "c"))  # fmt: skip


def a_rule_of_groups(detector: str) -> Rule:
    """Nonsense as a district, and quick to learn: something happens in half an hour."""
    selector, roles, cell, params = TOGETHER[detector]
    return Rule(
        name=detector,
        title_zh=detector,
        title_en=detector,
        detector=detector,  # type: ignore[arg-type]  # from the registry
        network="water",
        mode="live",
        selector=selector,
        members=Members(every_s=60.0, roles=roles),
        model={"fitted": a_model, "locate": a_network}.get(detector, lambda: None)(),
        levels={4: cell},
        params=params,
    )


def a_scoring_rule(detector: str) -> Rule:
    """No default rule names these yet; the limits are low, so that something happens in half an hour."""
    return Rule(
        name=detector,
        title_zh=detector,
        title_en=detector,
        detector=detector,  # type: ignore[arg-type]  # from the registry
        network="device",
        mode="live",
        levels={4: detector},
        params=SCORING[detector],
    )


def rules_of(detector: str) -> list[Rule]:
    found = [rule for rule in default_rules(judgement_live=True) if rule.detector == detector]
    if detector == "ewma":
        return [an_equipment_rule("ewma", params={"lambda": 0.2, "limit": 3.0, "warmup": 3})]
    if detector in TOGETHER:
        return [a_rule_of_groups(detector)]
    if detector in SCORING:
        return [a_scoring_rule(detector)]
    if detector == "stuck":
        return [an_equipment_rule("device-stuck", params={"reports": 8})]
    return found


ALL_RULES = [rule for name in DETECTORS for rule in rules_of(name)]


def a_city(sensors: Sequence[Sensor] = SENSORS) -> Registry:
    return a_registry(*sensors, gateways=[a_gateway(name) for name in GATEWAYS])


ALONE = [name for name, detector in DETECTORS.items() if detector.bind_group is None]
PROGRAMS = {
    "all": compile_program(a_city(), ALL_RULES, 0),
    "groups": compile_program(a_city(), [rule for rule in ALL_RULES if rule.members], 0),
    **{name: compile_program(a_city(), rules_of(name), 0) for name in ALONE},
}


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Some minutes of a city; what befalls each sensor changes now and then."""
    minutes = draw(st.integers(4, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    log: Log = []
    sequence = {name: 0 for name in GATEWAYS}
    now, generation = 0.0, 1
    mood = {sensor.sensor: "normal" for sensor in SENSORS}
    down: set[str] = set()
    clock = dict.fromkeys(GATEWAYS, 0.0)
    for _ in range(minutes):
        now += float(rng.choice([20, 60, 60, 60, 61, 400], p=[0.05, 0.4, 0.25, 0.2, 0.08, 0.02]))
        for number in mood:
            if rng.random() < 0.15:
                mood[number] = str(rng.choice(["normal", "fault", "fault", "stuck", "quiet", "wild"]))
        for name in GATEWAYS:
            if rng.random() < 0.08:
                down ^= {name}
            if name in down:
                continue
            if rng.random() < (0.1 if clock[name] else 0.02):
                clock[name] = 0.0 if clock[name] else float(rng.choice([3600, -3600]))
            readings = []
            for sensor in SENSORS:
                if sensor.gateway != name or mood[sensor.sensor] == "quiet":
                    continue
                for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
                    offset = float(
                        rng.choice([0, -0.5, -1, -90, 200, 400], p=[0.6, 0.2, 0.1, 0.05, 0.03, 0.02])
                    )
                    value = _value(rng, sensor.category or "", mood[sensor.sensor])
                    quality = int(rng.choice([0, 0, 0, 0, 0, 0, 0, 1, 2, 5]))
                    readings.append(a_reading(sensor.sensor, now + clock[name] + offset, value, quality))
            sequence[name] += int(rng.choice([1, 1, 1, 1, 2]))
            frame = a_frame(*readings, gateway=name, sequence=sequence[name], received=now + 1)
            log += [frame] * int(rng.choice([1, 1, 1, 2]))
        generation += int(rng.random() < 0.05)
        if rng.random() < 0.9:
            old = int(rng.random() < 0.1)
            log.append(a_tick(now + 5, silent=sorted(down), generation=generation - old))
    return log


def _value(rng: np.random.Generator, category: str, mood: str) -> float:
    row = catalogue()[category]
    if mood == "wild":
        return float(rng.choice([np.nan, np.inf, -np.inf, 1e12, -1e12, 1e308, 0.0]))
    usual = (FAULT if mood == "fault" else NORMAL).get(category, 0.0)
    if mood == "stuck" or row.is_state or not row.noise:
        return usual
    return usual + float(rng.normal(0, row.noise))
