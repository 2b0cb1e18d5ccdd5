"""Links between networks: one cause seen twice is one matter."""

import datetime as dt

import pytest

from detectors.correlation import linked
from detectors.fold import Partition
from detectors.program import compile_program
from schemas.alert import Alert
from tests.builders import a_frame, a_reading, a_registry, a_rule, a_sensor


def an_alert(category: str, value: float, seconds: float = 0.0, zone: str = "shinan-01") -> Alert:
    sensor = a_sensor(1, category, zone=zone)
    partition = Partition(compile_program(a_registry(sensor), [a_rule(category, hold="-")], 0))
    return partition.fold([a_frame(a_reading(1, seconds, value))])[0]


def test_methane_in_the_sewer_beside_a_leak_is_the_leak() -> None:
    leak, sewer = an_alert("gas_manhole_methane", 4.5), an_alert("drain_sewer_methane", 3.6, seconds=1800)
    link = linked(leak, sewer)
    assert link is not None
    assert link == linked(sewer, leak)
    assert link.name == "gas-leak-sewer"


@pytest.mark.parametrize(
    "other",
    [
        an_alert("drain_sewer_methane", 3.6, seconds=1801),
        an_alert("drain_sewer_methane", 3.6, zone="shinan-02"),
        an_alert("gas_station_leak", 60.0),
        an_alert("water_main_pressure", 0.01),
    ],
    ids=["too late", "elsewhere", "same network", "another matter"],
)
def test_other_alerts_are_not_linked(other: Alert) -> None:
    leak = an_alert("gas_manhole_methane", 4.5)
    assert linked(leak, other) is None
    assert abs(other.since - leak.since) <= dt.timedelta(hours=1)
