"""A sensor that somebody works on is still evaluated; what it raises says so; it speaks for no neighbour."""

from __future__ import annotations

from detectors.fold import Partition
from detectors.program import compile_program
from dispatch import grouping, urgent
from schemas.registry import Sensor
from tests.builders import a_frame, a_reading, a_registry, a_rule, a_sensor, after
from tests.case_builders import an_alert

METHANE = "gas_manhole_methane"


def raised(*sensors: Sensor, at: int = 600) -> list[tuple[str, str | None]]:
    """Subject and suppression of what rises when every sensor leaps beyond its limit."""
    partition = Partition(compile_program(a_registry(*sensors), [a_rule(METHANE)], 0))
    calm = [a_reading(sensor.sensor, at - 60, 0.02) for sensor in sensors]
    leap = [a_reading(sensor.sensor, at, 4.5) for sensor in sensors]
    messages = partition.fold([a_frame(*calm, sequence=1), a_frame(*leap, sequence=2)])
    return sorted((one.subject, one.suppressed) for one in messages if one.change == "raise")


def test_sensors_in_commissioning_and_maintenance_raise_what_is_told_to_nobody() -> None:
    states = ("in-service", "commissioning", "maintenance", "retired", "waiting")
    sensors = [a_sensor(i, METHANE, state=state) for i, state in enumerate(states, 1)]
    assert raised(*sensors) == [
        ("sensor/gw-1/p1", None),
        ("sensor/gw-1/p2", "commissioning"),
        ("sensor/gw-1/p3", "maintenance"),
    ]


def test_a_window_suppresses_from_its_begin_up_to_its_end() -> None:
    window = a_sensor(1, METHANE, maintenance_from=after(600), maintenance_to=after(1200))
    assert [raised(window, at=at)[0][1] for at in (540, 600, 1140, 1200)] == [
        None,
        "maintenance",
        "maintenance",
        None,
    ]


def test_who_is_worked_on_speaks_for_no_neighbour() -> None:
    program = compile_program(
        a_registry(a_sensor(1, METHANE), a_sensor(2, METHANE, state="maintenance"), a_sensor(3, METHANE)),
        [],
        0,
    )
    (peers,) = program.peers.values()
    assert program.numbers[peers].tolist() == [1, 3]


def test_a_suppressed_alert_needs_no_case_and_no_way_out_without_a_database() -> None:
    alert = an_alert(level=1)
    suppressed = an_alert(level=1, suppressed="maintenance")
    assert grouping.needs_case(alert, None, worse=True)
    assert not grouping.needs_case(suppressed, None, worse=True)
    assert urgent.is_due(alert)
    assert not urgent.is_due(suppressed)
