"""Laws that every detector of the registry keeps.

Whatever log is told (tests/told_logs.py), cutting it anywhere, restoring anywhere and listing sensors in
another order change nothing.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.around import by_category
from detectors.contract import Batch, Bound
from detectors.fold import Partition
from detectors.members import groups
from detectors.program import Program, compile_program
from detectors.registry import DETECTORS
from detectors.snapshot import SnapshotError, pack
from schemas import alert as alerts
from schemas.catalogue import catalogue
from schemas.default_rules import default_rules
from schemas.frame import Frame
from schemas.reading import FUTURE_SUSPECT_US
from schemas.registry import Sensor
from tests.builders import (
    a_frame,
    a_reading,
    a_registry,
    a_rule,
    a_sensor,
    a_tick,
    after,
)
from tests.told_logs import ALL_RULES, ALONE, FAULT, PROGRAMS, SENSORS, Log, a_city, logs, rules_of


def messages(program: Program, log: Log, cuts: Sequence[int] = ()) -> list[bytes]:
    partition = Partition(program)
    edges = [0, *sorted(cuts), len(log)]
    return [
        alerts.encode(message)
        for start, end in itertools.pairwise(edges)
        for message in partition.fold(log[start:end])
    ]


slowly = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.mark.parametrize("name", [*ALONE, "groups", "all"])
@slowly
@given(log=logs(), data=st.data())
def test_cutting_the_log_anywhere_changes_no_message(name: str, log: Log, data: st.DataObject) -> None:
    whole = messages(PROGRAMS[name], log)
    cuts = data.draw(st.lists(st.integers(0, len(log)), max_size=8))
    assert messages(PROGRAMS[name], log, cuts) == whole
    assert messages(PROGRAMS[name], log, range(len(log))) == whole


@pytest.mark.parametrize("name", [*ALONE, "groups", "all"])
@slowly
@given(log=logs(), data=st.data())
def test_a_snapshot_anywhere_changes_no_message(name: str, log: Log, data: st.DataObject) -> None:
    program = PROGRAMS[name]
    cut = data.draw(st.integers(0, len(log)))
    partition = Partition(program)
    found = partition.fold(log[:cut])
    data_before = partition.snapshot()
    restored = Partition.restore(program, data_before)
    assert restored.snapshot() == data_before
    found += restored.fold(log[cut:])
    assert [alerts.encode(message) for message in found] == messages(program, log)


@slowly
@given(log=logs(), data=st.data())
def test_a_whole_snapshot_and_the_rows_changed_since_are_the_state_itself(
    log: Log, data: st.DataObject
) -> None:
    program = PROGRAMS["all"]
    base_at, cut = sorted(data.draw(st.tuples(st.integers(0, len(log)), st.integers(0, len(log)))))
    partition = Partition(program)
    partition.fold(log[:base_at])
    base = b"".join(pack(partition.copy()))
    middle = data.draw(st.integers(base_at, cut))
    partition.fold(log[base_at:middle])
    earlier = b"".join(pack(partition.copy(whole=False)))
    partition.fold(log[middle:cut])
    changes = partition.copy(whole=False)
    whole_then = partition.snapshot()
    partition.fold(log[cut:])  # before the copy is packed: folding on must not reach into it
    restored = Partition.restore(program, base, b"".join(pack(changes)))
    assert restored.snapshot() == whole_then
    assert Partition.restore(program, base, earlier).changed.all()
    with pytest.raises(SnapshotError):
        Partition.restore(program, base, base)
    with pytest.raises(SnapshotError):
        Partition.restore(program, earlier)


def test_a_snapshot_of_any_size_is_read_again() -> None:
    sensors = [a_sensor(number) for number in range(1, 65)]
    sizes = set()
    for count in range(1, len(sensors) + 1):
        program = compile_program(a_registry(*sensors[:count]), [a_rule("gas_manhole_methane")], 0)
        head, directory, *parts = pack(Partition(program).copy())
        sizes.add(bytes(directory)[-1])
        snapshot = b"".join((head, directory, *parts))
        assert Partition.restore(program, snapshot).snapshot() == snapshot
    assert ord(" ") in sizes, "a directory that ends like padding by spaces"


def test_changes_hold_only_the_rows_that_changed() -> None:
    partition = Partition(PROGRAMS["all"])
    readings = [a_reading(s.sensor, 0, 0.0) for s in SENSORS if s.gateway == "gw-1"]
    partition.fold([a_frame(*readings)])
    whole = partition.copy()
    assert partition.changed_share() == 0.0
    partition.fold([a_frame(a_reading(SENSORS[0].sensor, 60, 0.0), sequence=2)])
    changes = partition.copy(whole=False)
    assert changes.arrays.only is not None
    assert changes.arrays.only.tolist() == [0]
    assert changes.copied_bytes < whole.copied_bytes / 4
    again = partition.copy(whole=False).arrays.only
    assert again is not None
    assert again.tolist() == [0], "counted from the whole copy on, not from the last one"


@slowly
@given(log=logs(), order=st.permutations(SENSORS))
def test_the_order_of_sensors_and_rules_in_the_registry_is_of_no_matter(
    log: Log, order: list[Sensor]
) -> None:
    program = compile_program(a_city(order), list(reversed(ALL_RULES)), 0)
    assert messages(program, log) == messages(PROGRAMS["all"], log)


@slowly
@given(log=logs())
def test_the_numbers_of_an_episode_rise_by_one_and_it_ends_cleared(log: Log) -> None:
    partition = Partition(PROGRAMS["all"])
    last: dict[str, alerts.Alert] = {}
    for message in partition.fold(log):
        before = last.get(message.alert_id)
        assert message.seq == (before.seq + 1 if before else 1)
        assert (message.change == "raise") == (before is None or before.state == "cleared")
        assert message.worst <= message.level
        # A device's clock may run ahead by what is not yet suspect.
        assert message.since <= message.observed_at + dt.timedelta(microseconds=FUTURE_SUSPECT_US)
        last[message.alert_id] = message
    open_now = {message.alert_id: message for message in partition.open_episodes()}
    assert open_now == {key: message for key, message in last.items() if message.state == "active"}


@slowly
@given(log=logs())
def test_the_log_itself_is_not_changed(log: Log) -> None:
    before = [copy.deepcopy(entry) for entry in log]
    messages(PROGRAMS["all"], log)
    for a, b in zip(before, log, strict=True):
        if isinstance(a, Frame) and isinstance(b, Frame):
            assert a.records.tobytes() == b.records.tobytes()
            assert a.segments.tobytes() == b.segments.tobytes()
        else:
            assert a == b


@slowly
@given(log=logs())
def test_an_adopted_program_goes_on_as_if_it_had_always_been(log: Log) -> None:
    """Adding a sensor that says nothing, half way, changes nothing for the others."""
    half = len(log) // 2
    partition = Partition(PROGRAMS["all"])
    found = partition.fold(log[:half])
    more = a_sensor(5, "distribution_box_temp", zone="elsewhere", gateway="gw-1")
    found += partition.adopt(compile_program(a_city([more, *SENSORS]), ALL_RULES, 0))
    found += partition.fold(log[half:])
    counting = ("blind-area", "gateway-clock")  # their texts count the gateway's points
    whole = [alerts.decode(data) for data in messages(PROGRAMS["all"], log)]
    assert [m for m in found if m.rule not in counting] == [m for m in whole if m.rule not in counting]


def bounds_of(name: str) -> list[Bound]:
    detector = DETECTORS[name]
    rule = rules_of(name)[0]
    if detector.bind_group is not None:
        found, _ = groups(rule, SENSORS, ["z"] * len(SENSORS), by_category(SENSORS), each=detector.each)
        return [
            detector.bind_group(rule, catalogue()[group.members[0].sensor.category or ""], group.members)
            for group in found
        ]
    if name == "threshold":
        return [
            detector.bind(a_rule(s.category or ""), s, catalogue()[s.category or ""], 60.0)
            for s in SENSORS[:8]
        ]
    return [detector.bind(rule, sensor, catalogue()[sensor.category or ""], 60.0) for sensor in SENSORS[:8]]


@pytest.mark.parametrize("name", DETECTORS)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_a_step_changes_no_argument_and_permuting_tracks_permutes_scores(
    name: str, seed: int, steps: int
) -> None:
    detector = DETECTORS[name]
    rng = np.random.default_rng(seed)
    bounds = [b for b in bounds_of(name) if b.levels]
    width = max(b.width for b in bounds)
    bounds = [b for b in bounds if b.width == width]
    table = detector.tabulate(bounds)
    sources = max(len(b.sources) for b in bounds)
    n = 12
    kind = rng.integers(0, len(bounds), n).astype(np.int32)
    order = rng.permutation(n)
    one, other = detector.fresh(table, kind), detector.fresh(table, kind[order])
    at = np.full(n, after(0))
    for _ in range(steps):
        at = at + rng.integers(1, 90_000_000, n)
        value = rng.choice([0.0, 0.02, 0.35, 1.0, 3.25, 60.0, 1e12, np.nan], n)
        level = rng.integers(0, 5, n).astype(np.uint8)
        batch = Batch(kind, at, value, np.zeros(n, np.int64), level, np.full(n, 255, np.uint8))
        if detector.bind_group is not None:
            inputs = rng.choice([0.0, 0.02, 0.35, 1.0, 1e12, np.nan], (n, sources))
            batch = batch._replace(inputs=inputs, inputs_at=at[:, None] - rng.integers(0, 60, inputs.shape))
        shuffled = Batch(*(array[order] for array in batch[:6]))
        if batch.inputs is not None and batch.inputs_at is not None:
            shuffled = shuffled._replace(inputs=batch.inputs[order], inputs_at=batch.inputs_at[order])
        kept = copy.deepcopy((table, one, batch))
        fresh, scores = detector.step(table, one, batch)
        assert _same(kept, (table, one, batch))
        one = fresh
        other, permuted = detector.step(table, other, shuffled)
        assert _same(tuple(array[order] for array in scores), permuted)
        assert _same(tuple(array[order] for array in one), other)
        assert ((scores.keeps > 0) | (scores.meets == 0)).all() or name == "threshold"


def _same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if a is None or b is None:
        return a is b
    if dataclasses.is_dataclass(a):
        names = [field.name for field in dataclasses.fields(a)]
        return type(a) is type(b) and all(_same(getattr(a, name), getattr(b, name)) for name in names)
    if not isinstance(a, tuple) or not isinstance(b, tuple):
        return a == b
    return all(_same(x, y) for x, y in zip(a, b, strict=True))


def test_a_day_of_normal_traffic_raises_nothing() -> None:
    """Five networks at a report a minute, with the catalogue's noise, a daily wave and values rounded."""
    rng = np.random.default_rng(20260302)
    waves: dict[str, Callable[[float], float]] = {
        "gas_manhole_methane": lambda t: 0.02,
        "water_main_pressure": lambda t: 0.35 + 0.05 * np.sin(2 * np.pi * t / 1440),
        "heat_primary_return_pressure": lambda t: 0.35,
        "bridge_strain": lambda t: 60.0 * np.sin(2 * np.pi * t / 1440),
        "fire_smoke_detector_state": lambda t: 0.0,
    }
    params = {"interval_s": 60.0, "design": 800.0}
    sensors = [a_sensor(i + 1, key, params=params) for i, key in enumerate([*waves] * 8)]
    rules = [rule for rule in default_rules(judgement_live=True) if rule.detector != "ewma"]
    partition = Partition(compile_program(a_registry(*sensors), rules, 0))
    for minute in range(1440):
        readings = []
        for sensor in sensors:
            row = catalogue()[sensor.category or ""]
            value = waves[row.key](minute) + (row.noise or 0.0) * rng.normal()
            value = max(row.plausible_min, round(value / row.resolution) * row.resolution)
            readings.append(a_reading(sensor.sensor, 60 * minute, value))
        frame = a_frame(*readings, sequence=minute + 1, received=60 * minute + 2)
        assert partition.fold([frame, a_tick(60 * minute + 30)]) == [], minute


def test_messages_survive_the_wire() -> None:
    log = [
        a_frame(*(a_reading(s.sensor, 0, FAULT[s.category or ""]) for s in SENSORS if s.gateway == "gw-1"))
    ]
    found = Partition(PROGRAMS["all"]).fold([*log, a_tick(120)])
    assert {message.category for message in found} >= {"bridge_strain", "fire_smoke_detector_state"}
    for message in found:
        assert alerts.decode(alerts.encode(message)) == message
        assert msgspec.json.decode(alerts.encode(message))["evidence"]["text_zh"]
