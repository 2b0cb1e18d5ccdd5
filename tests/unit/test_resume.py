"""Episodes taken from what was told: they go on under their own names, and nothing untold counts."""

from __future__ import annotations

from detectors.fold import Partition
from detectors.program import compile_program
from detectors.resume import newest, resume
from schemas.alert import Alert
from schemas.control import Control
from schemas.frame import Frame
from tests.builders import a_frame, a_reading, a_registry, a_rule, a_sensor, a_tick, an_equipment_rule

RULE = a_rule(levels={2: "v>=2.5", 3: "v>=1.0"}, hold="-")
PROGRAM = compile_program(a_registry(a_sensor(1), a_sensor(2)), [RULE], 0)

CALM = (0.1,) * 6  # long enough for both levels to fall


def frames(*values: float, first: int = 0, sensor: int = 1) -> list[Frame | Control]:
    """A reading a minute."""
    return [
        a_frame(a_reading(sensor, 60 * minute, value), sequence=minute + 1)
        for minute, value in enumerate(values, start=first)
    ]


def folded(log: list[Frame | Control]) -> tuple[Partition, list[Alert]]:
    partition = Partition(PROGRAM)
    return partition, partition.fold(log)


def names(found: list[Alert]) -> list[tuple[str, str, int]]:
    return [(message.change, message.alert_id, message.seq) for message in found]


def test_an_episode_that_began_in_what_is_gone_goes_on_under_its_name() -> None:
    gone, rest = frames(0.1, 1.5, 1.5), frames(1.5, 3.0, *CALM, first=3)
    undisturbed, told = folded(gone)
    after, untold = folded(rest[:1])
    assert names(untold) != names(told), "it would have begun a second time"
    assert resume(after, told) == 1
    assert names(after.fold(rest[1:])) == names(undisturbed.fold(rest))
    assert after.open_episodes() == undisturbed.open_episodes() == []


def test_what_was_found_untold_is_told_when_it_still_holds() -> None:
    partition, untold = folded(frames(0.1, 1.5))
    assert len(untold) == 1
    assert resume(partition, []) == 0
    (again,) = partition.fold(frames(1.5, first=2))
    assert (again.change, again.seq) == ("raise", 1)


def test_an_episode_told_as_cleared_is_not_open() -> None:
    _, told = folded(frames(0.1, 1.5, *CALM))
    assert [message.change for message in told] == ["raise", "clear"]
    after, _ = folded(frames(0.1, first=9))
    assert resume(after, told) == 0
    assert after.fold(frames(*CALM, first=10)) == []


def test_an_open_episode_whose_sensor_is_gone_is_cleared() -> None:
    _, told = folded(frames(0.1, 1.5, sensor=2))
    smaller = Partition(compile_program(a_registry(a_sensor(1)), [RULE], 0))
    assert resume(smaller, told) == 0
    (cleared,) = smaller.fold([])
    assert (cleared.change, cleared.alert_id, cleared.seq) == ("clear", told[0].alert_id, 2)


def test_what_other_partitions_told_is_left_to_them() -> None:
    elsewhere = a_registry(a_sensor(9, gateway="gw-9"))
    other = Partition(compile_program(elsewhere, [RULE], 0))
    told = other.fold([a_frame(a_reading(9, 0, 1.5), gateway="gw-9")])
    assert len(told) == 1
    partition, _ = folded(frames(0.1))
    assert resume(partition, told) == 0
    assert partition.fold(frames(0.1, first=1)) == []


def test_a_blind_gateway_stays_blind_until_it_is_heard() -> None:
    program = compile_program(a_registry(a_sensor(1)), [an_equipment_rule("blind-area")], 0)
    gone: list[Frame | Control] = [*frames(0.1), a_tick(900, silent=["gw-1"])]
    undisturbed, after = Partition(program), Partition(program)
    told = undisturbed.fold(gone)
    assert [message.change for message in told] == ["raise"]
    after.fold([a_tick(930, silent=["gw-1"])])
    assert resume(after, told) == 1
    rest = [a_tick(960, silent=["gw-1"]), *frames(0.1, first=17), a_tick(1030)]
    assert names(after.fold(rest)) == names(undisturbed.fold(rest)) == [("clear", told[0].alert_id, 2)]


def test_the_newest_message_of_the_last_episode_counts() -> None:
    _, told = folded(frames(0.1, 1.5, *CALM, 1.5, 3.0))
    assert [message.change for message in told] == ["raise", "clear", "raise", "upgrade"]
    assert newest(told) == newest(reversed(told)) == [told[3]]
