"""The centre of fire alarm lines: clocks set, posts checked, commands repeated and given up."""

from __future__ import annotations

import pytest

from ingest.connections.fire_centre import ANSWER_WITHIN_US, FireCentre
from ingest.connections.session import MINUTE_US
from ingest.formats import gb26875
from ingest.formats.gb26875 import ACK, NAK, SEND, framed, six_bytes
from ingest.formats.result import Item, Reading, Reply, Seen
from tests.unit.formats.book import named

NOW_US = 1_793_493_015_000_000
PANEL, CENTRE = bytes([1, 0, 0, 0, 0, 0]), bytes(6)
HERE = b"\x18\1\x20\0" + six_bytes(NOW_US)


def sent(command: int, data: bytes = b"", serial: int = 1) -> bytes:
    return framed(serial, (1, 1), NOW_US, PANEL, CENTRE, command, data)


def words(items: list[Item]) -> list[str]:
    return [item.frame for item in items if isinstance(item, Seen)]


@pytest.fixture
def centre() -> FireCentre:
    centre = FireCentre(NOW_US)
    centre.feed(sent(SEND, b"\x15\1\1" + six_bytes(NOW_US)), NOW_US)
    return centre


def test_a_device_that_has_not_spoken_cannot_be_commanded() -> None:
    centre = FireCentre(NOW_US)
    assert centre.set_clock(NOW_US) is None
    fire = centre.feed(named("gb26875", "mk_sys_fire"), NOW_US)
    assert isinstance(fire[0], Reading)
    assert centre.set_clock(NOW_US) is not None


def test_the_clock_is_set_as_the_standard_writes_it(centre: FireCentre) -> None:
    command = centre.set_clock(NOW_US)
    assert command is not None
    assert gb26875.decode(command.data) == [Seen("000000000000", "set_clock")]
    assert command.data[18:24] == PANEL
    assert command.data[27:35] == b"\x5a\1" + six_bytes(NOW_US)
    assert words(centre.feed(sent(ACK), NOW_US)) == ["ack", "set_clock_done"]
    assert centre.due(NOW_US + MINUTE_US) == []


def test_a_command_is_sent_four_times_and_then_has_failed(centre: FireCentre) -> None:
    command = centre.set_clock(NOW_US)
    assert centre.due(NOW_US + ANSWER_WITHIN_US - 1) == []
    for times in (1, 2, 3):
        assert centre.due(NOW_US + times * ANSWER_WITHIN_US) == [command]
    assert centre.due(NOW_US + 4 * ANSWER_WITHIN_US) == [Seen("000000000001", "set_clock_failed")]
    assert centre.due(NOW_US + 9 * ANSWER_WITHIN_US) == []


def test_a_command_may_be_refused_and_an_answer_to_nothing_is_only_seen(centre: FireCentre) -> None:
    centre.set_clock(NOW_US)
    assert words(centre.feed(sent(ACK, serial=77), NOW_US)) == ["ack"]
    assert words(centre.feed(sent(NAK), NOW_US)) == ["nak", "set_clock_refused"]


def test_a_post_is_checked_when_a_person_answers_and_not_when_the_device_does(centre: FireCentre) -> None:
    assert isinstance(centre.check_post(NOW_US, 5), Reply)
    assert words(centre.feed(sent(ACK), NOW_US)) == ["ack"]
    assert centre.due(NOW_US + 4 * MINUTE_US) == []
    assert words(centre.feed(sent(SEND, HERE), NOW_US + 4 * MINUTE_US)) == ["check_post_done"]
    assert centre.due(NOW_US + 9 * MINUTE_US) == []


def test_a_post_where_nobody_answers_in_time_has_failed(centre: FireCentre) -> None:
    centre.check_post(NOW_US, 5)
    centre.feed(sent(ACK), NOW_US)
    assert words(centre.due(NOW_US + 5 * MINUTE_US + 1)) == ["check_post_failed"]


def test_only_minutes_that_fit_a_byte_can_be_asked_for(centre: FireCentre) -> None:
    for minutes in (0, 256):
        with pytest.raises(ValueError, match="1 to 255"):
            centre.check_post(NOW_US, minutes)
