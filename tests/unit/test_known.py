"""What compilations share changes nothing: a program is what it is when it is compiled alone."""

from __future__ import annotations

import math
import random

import msgspec
import numpy as np
import pytest

from detectors.known import Known
from detectors.nearest import nearest
from detectors.program import Program, compile_program
from schemas.catalogue import catalogue
from schemas.default_rules import default_rules
from schemas.registry import Gateway, Registry, Sensor, Zone

PARTITIONS = 3
MOST = 8


def a_city(seed: int) -> Registry:
    rng = random.Random(seed)
    keys = [row.key for row in catalogue().values() if row.role == "alarm" and row.key != "device_silence"]
    registry = Registry()
    for i in range(6):
        registry.apply(Zone(f"z{i}", "d", "", "", i % PARTITIONS))
        registry.apply(Gateway(f"g{i}", f"z{i}", interval_s=(60.0, 5.0)[i % 2]))
    for number in range(1, 400):
        registry.apply(
            Sensor(
                number,
                f"g{rng.randrange(7)}",
                f"p{number}",
                rng.choice(keys[:40]) if rng.random() < 0.97 else None,
                None,
                None,
                asset=rng.choice([None, "a", "b"]),
                state=rng.choice(["in-service"] * 9 + ["retired"]),
                lon=120 + rng.random(),
                lat=36 + rng.random(),
                params={"design": rng.choice([400.0, 500.0]), "depth": 3.0},
            )
        )
    return registry


def same(found: Program, expected: Program) -> bool:
    def facts(program: Program) -> list[object]:
        return [
            program.sensors, program.gateways, program.rules, program.unguarded, program.zones,
            program.numbers.tolist(), program.gateway.tolist(), program.districts,
            [(key, rows.tolist()) for key, rows in program.peers.items()],
        ]  # fmt: skip

    assert len(found.lanes) == len(expected.lanes)
    for mine, other in zip(found.lanes, expected.lanes, strict=True):
        assert (mine.detector, mine.rules, mine.bounds) == (other.detector, other.rules, other.bounds)
        for name in ("row", "kind", "rule", "track_of"):
            assert np.array_equal(getattr(mine, name), getattr(other, name)), name
        assert (mine.sources is None) == (other.sources is None)
        if mine.sources is not None and other.sources is not None:
            for name, array in mine.sources._asdict().items():
                assert np.array_equal(array, getattr(other.sources, name)), name
    return facts(found) == facts(expected)


def test_a_program_is_what_it_is_when_compiled_alone() -> None:
    """With another registry and another version of a rule in between, for every partition."""
    rules = default_rules(judgement_live=True)
    milder = [msgspec.structs.replace(rule, hold="-", clear="") for rule in rules[:20]] + rules[20:]
    known = Known()
    for registry, used in ((a_city(1), rules), (a_city(2), rules), (a_city(2), milder)):
        for number in range(PARTITIONS + 1):
            shared = compile_program(registry, used, number, known)
            assert same(shared, compile_program(registry, used, number)), number
    assert sum(len(lane.row) for lane in shared.lanes) == 0  # a partition that nobody stands in


def test_a_partition_that_a_change_does_not_touch_keeps_its_program() -> None:
    registry, changed, rules, known = a_city(1), a_city(1), default_rules(judgement_live=True), Known()
    one = next(s for s in registry.sensors.values() if s.gateway == "g1" and s.category is not None)
    changed.apply(msgspec.structs.replace(one, state="maintenance"))
    before = [compile_program(registry, rules, number, known) for number in range(PARTITIONS)]
    after = [compile_program(changed, rules, n, known, before[n]) for n in range(PARTITIONS)]
    assert [after[n] is before[n] for n in range(PARTITIONS)] == [True, False, True]
    assert same(after[1], compile_program(changed, rules, 1))
    milder = [msgspec.structs.replace(rules[0], hold="-"), *rules[1:]]
    assert compile_program(registry, milder, 0, known, before[0]) is not before[0]
    elsewhere = a_city(1)
    elsewhere.apply(Zone("z0", "another", "", "", 0))
    assert compile_program(elsewhere, rules, 0, known, before[0]).districts["z0"] == "another"


def a_place(kind: str, count: int) -> list[Sensor]:
    """`grid` has many that are equally far, `one-spot` all of them, `towns` some that are far from all."""
    rng = random.Random(count)
    spots = {
        "anywhere": lambda: (120 + rng.random(), 36 + rng.random()),
        "grid": lambda: (120 + rng.randrange(8) / 100, 36 + rng.randrange(8) / 100),
        "one-spot": lambda: (120.0, 36.0),
        "towns": lambda: (120 + rng.gauss(0, 1) ** 3, 36 + rng.gauss(0, 1) ** 3),
    }
    found = []
    for i in range(count):
        lon, lat = spots[kind]()
        known = rng.random() < 0.9
        number = rng.randrange(10**6) * 1000 + i
        found.append(
            Sensor(number, "g", "p", "c", None, None, lon=lon if known else None, lat=lat if known else None)
        )
    return found


@pytest.mark.parametrize("kind", ["anywhere", "grid", "one-spot", "towns"])
@pytest.mark.parametrize("count", [1, 9, 10, 60, 600])
def test_the_nearest_are_those_that_sorting_all_of_them_gives(kind: str, count: int) -> None:
    sensors = a_place(kind, count)
    rows = list(range(0, count, 2)) or [0]

    def away(row: int, other: int) -> tuple[float, int]:
        (lon, lat), (east, north) = [(sensors[one].lon, sensors[one].lat) for one in (row, other)]
        if lon is None or lat is None or east is None or north is None:
            return math.inf, sensors[other].sensor
        return math.hypot((east - lon) * math.cos(math.radians(lat)), north - lat), sensors[other].sensor

    found = nearest(sensors, rows, MOST)
    assert sorted(found) == rows
    for row in rows:
        others = [other for other in rows if other != row]
        assert found[row] == sorted(others, key=lambda other: away(row, other))[:MOST]
