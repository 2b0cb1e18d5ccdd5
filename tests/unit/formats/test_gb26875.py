"""Fire panels: states, values, operations, and the answer that keeps a device from repeating itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.formats import gb26875
from ingest.formats.gb26875 import DEVICE_WORDS, PART_WORDS, SYSTEM_WORDS, framed, six_bytes
from ingest.formats.result import Bad, Reading, Seen
from schemas.reading import Reason

WHEN_US = 1_793_493_015_000_000
PANEL, CENTRE = bytes([1, 0, 0, 0, 0, 0]), bytes(6)
Words = tuple[str | tuple[str, str], ...]


def sent(data: bytes, command: int = gb26875.SEND, serial: int = 7) -> bytes:
    return framed(serial, (1, 1), WHEN_US, PANEL, CENTRE, command, data)


def said(bits: int, words: Words) -> str:
    named = [word[bits & 1] if isinstance(word, tuple) else word for word in words]
    return ",".join(word for bit, word in enumerate(named) if bit == 0 or bits >> bit & 1)


@given(
    objects=st.lists(
        st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 0xFFFF)), min_size=1, max_size=102
    )
)
def test_system_states_come_back_as_they_were_sent(objects: list[tuple[int, int, int]]) -> None:
    data = bytes([1, len(objects)]) + b"".join(
        bytes([kind, address]) + state.to_bytes(2, "little") + six_bytes(WHEN_US)
        for kind, address, state in objects
    )
    assert gb26875.decode(sent(data)) == [
        Reading("000000000001", f"{kind}.{address}.state", WHEN_US, said(state, SYSTEM_WORDS))
        for kind, address, state in objects
    ]


@given(
    part=st.integers(0, 2**32 - 1),
    state=st.integers(0, 0xFFFF),
    text=st.text(st.characters(codec="gb2312", categories=["L", "N"]), min_size=1, max_size=15),
)
def test_a_part_comes_back_with_the_place_that_the_panel_names(part: int, state: int, text: str) -> None:
    place = text.encode("gb18030").ljust(31, b"\0")
    data = b"\2\1\1\3\x28" + part.to_bytes(4, "little") + state.to_bytes(2, "little") + place
    (found,) = gb26875.decode(sent(data + six_bytes(WHEN_US)))
    assert found == Reading(
        "000000000001", f"1.3.40.{part}.state", WHEN_US, said(state, PART_WORDS), note=text
    )


@given(kind=st.integers(1, 12), value=st.integers(-(2**15), 2**15 - 1))
def test_an_analogue_value_comes_back_in_the_unit_of_its_kind(kind: int, value: int) -> None:
    data = b"\3\1\1\1\x2a" + (9).to_bytes(4, "little") + bytes([kind])
    (found,) = gb26875.decode(sent(data + value.to_bytes(2, "little", signed=True) + six_bytes(WHEN_US)))
    assert isinstance(found, Reading)
    assert found.unit is not None
    assert found.value in (value, value / 10, value / 100)


def test_an_unknown_kind_of_analogue_value_is_kept_raw_without_a_unit() -> None:
    data = b"\3\1\1\1\x2a" + bytes(4) + b"\x81\x2a\0" + six_bytes(WHEN_US)
    assert gb26875.decode(sent(data)) == [Reading("000000000001", "1.1.42.0.129", WHEN_US, 42.0)]


@given(state=st.integers(0, 255))
def test_the_devices_own_state_comes_back(state: int) -> None:
    (found,) = gb26875.decode(sent(b"\x15\1" + bytes([state]) + six_bytes(WHEN_US)))
    assert found == Reading("000000000001", "device.state", WHEN_US, said(state, DEVICE_WORDS))


def test_an_operation_at_a_panel_is_a_reading() -> None:
    data = b"\4\1\1\1\3\0" + six_bytes(WHEN_US)
    assert gb26875.decode(sent(data)) == [Reading("000000000001", "1.1.operation", WHEN_US, "reset,silence")]


def test_the_person_on_duty_who_answers_the_check_post_is_seen() -> None:
    found = gb26875.decode(sent(b"\x18\1\x20\0" + six_bytes(WHEN_US)))
    assert found == [Reading("000000000001", "device.operation", WHEN_US, "check_post_answer")]


def test_a_time_that_is_no_date_is_none() -> None:
    (found,) = gb26875.decode(sent(b"\x15\1\1" + bytes(6)))
    assert isinstance(found, Reading)
    assert found.time_us is None


def test_a_count_that_does_not_fit_the_objects_is_refused_and_no_objects_divide_nothing() -> None:
    for data in (b"", b"\1", b"\1\0", b"\1\2" + bytes(10), b"\2\1" + bytes(10)):
        (found,) = gb26875.decode(sent(data))
        assert isinstance(found, Bad)
        assert found.reason is Reason.syntax


def test_what_a_maker_invented_is_unsupported_and_answered_all_the_same() -> None:
    for frame in (sent(b"\x80\1xyz"), sent(b"\x63\1xyz"), sent(b"?", command=200)):
        (found,) = gb26875.decode(frame)
        assert isinstance(found, Bad)
        assert found.reason is Reason.unsupported
        answer = gb26875.answer(frame, WHEN_US)
        assert answer is not None
        assert gb26875.decode(answer) == [Seen("000000000000", "ack")]


def test_a_damaged_frame_and_an_answer_are_not_answered() -> None:
    damaged = bytearray(sent(b"\x15\1\1" + six_bytes(WHEN_US)))
    damaged[29] ^= 1
    assert gb26875.answer(bytes(damaged), WHEN_US) is None
    for command in (gb26875.ACK, gb26875.NAK, gb26875.ANSWER, gb26875.CONTROL, gb26875.REQUEST):
        assert gb26875.answer(sent(b"", command=command), WHEN_US) is None


def test_the_answer_carries_the_answerers_clock() -> None:
    answer = gb26875.answer(sent(b"\x15\1\1" + six_bytes(0)), WHEN_US)
    assert answer is not None
    assert answer[6:12] == six_bytes(WHEN_US)


def test_types_of_the_standard_that_hold_no_reading_are_named() -> None:
    words = {5: "software_version", 6: "system_config", 7: "part_config", 8: "system_time", 28: "device_time"}
    for kind, word in words.items():
        assert gb26875.decode(sent(bytes([kind, 1, 0]))) == [Seen("000000000001", word)]
    assert gb26875.decode(sent(b"\x5b\1\x05", command=gb26875.CONTROL)) == [
        Seen("000000000001", "check_post")
    ]
