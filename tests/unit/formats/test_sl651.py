"""Hydrological stations: elements, missing values, lists, and the centre's confirmation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats import sl651
from ingest.formats.digits import to_bcd
from ingest.formats.result import Bad, Reading, Seen
from schemas.reading import Quality, Reason

STATION = bytes.fromhex("0012345678")
HEAD = bytes.fromhex("0001261101083000")
OBSERVED = bytes.fromhex("F1F1001234567848F0F02611010830")
WHEN_US = 1_793_493_000_000_000
FIVE_MINUTES_US = 300_000_000


def report(elements: bytes, function: int = 0x32, end: int = sl651.ETX) -> bytes:
    return sl651.framed(b"\1" + STATION, b"\x12\x34", function, HEAD + OBSERVED + elements, end)


def element(code: int, digits: int, size: int, decimals: int) -> bytes:
    return bytes([code, size << 3 | decimals]) + to_bcd(digits, size)


ELEMENT = st.integers(1, 5).flatmap(
    lambda size: st.tuples(
        st.sampled_from([0x1A, 0x20, 0x26, 0x27, 0x38, 0x39, 0x3B, 0x46, 0x70]),
        st.integers(0, 10 ** (2 * size) - 1),
        st.just(size),
        st.integers(0, 7),
    )
)


@given(st.lists(ELEMENT, min_size=1, max_size=10))
def test_elements_come_back_as_they_were_sent(elements: list[tuple[int, int, int, int]]) -> None:
    found = sl651.decode(report(b"".join(element(*one) for one in elements)))
    assert found == [
        Reading("0012345678", f"{code:02X}", WHEN_US, digits / 10**decimals, sl651.UNITS.get(code))
        for code, digits, _, decimals in elements
    ]


def test_all_bits_set_is_a_value_that_the_station_does_not_have() -> None:
    assert sl651.decode(report(bytes.fromhex("3923FFFFFFFF"))) == [
        Reading("0012345678", "39", WHEN_US, None, "m", Quality.suspect)
    ]


def test_a_value_below_zero_has_a_byte_of_ones_before_its_digits() -> None:
    (found,) = sl651.decode(report(bytes.fromhex("0219FF0125")))
    assert isinstance(found, Reading)
    assert (found.value, found.unit) == (-12.5, "Cel")


def test_digits_that_are_none_refuse_their_element_alone() -> None:
    found = sl651.decode(report(bytes.fromhex("3923000A0127") + element(0x38, 1115, 2, 2)))
    assert isinstance(found[0], Bad)
    assert found[0].reason is Reason.syntax
    assert found[1:] == [Reading("0012345678", "38", WHEN_US, 11.15, "V")]


def test_an_element_that_is_longer_than_the_frame_is_refused_and_what_came_before_is_kept() -> None:
    found = sl651.decode(report(element(0x38, 1115, 2, 2) + b"\x39\xff\x01"))
    assert [type(item) for item in found] == [Reading, Bad]


def test_the_state_of_a_station_is_bits_and_not_digits() -> None:
    (found,) = sl651.decode(report(bytes.fromhex("45200000A00F")))
    assert isinstance(found, Reading)
    assert found.value == 0xA00F


def test_an_extension_is_named_by_its_two_bytes() -> None:
    (found,) = sl651.decode(report(bytes.fromhex("FF01110125")))
    assert isinstance(found, Reading)
    assert (found.point, found.value) == ("FF01", 12.5)


def test_an_hour_of_rain_is_twelve_readings_five_minutes_apart() -> None:
    found = sl651.decode(report(b"\xf4\x60" + bytes([0, 5, 255, *range(9)]), 0x34))
    assert [item.value for item in found if isinstance(item, Reading)][:4] == [0.0, 0.5, None, 0.0]
    assert [item.time_us for item in found if isinstance(item, Reading)] == [
        WHEN_US - (11 - place) * FIVE_MINUTES_US for place in range(12)
    ]


def test_an_hour_of_stages_has_two_bytes_each() -> None:
    found = sl651.decode(report(b"\xf5\xc0" + b"".join(n.to_bytes(2, "big") for n in range(12)), 0x34))
    assert [(item.value, item.unit) for item in found if isinstance(item, Reading)][3] == (0.03, "m")


def test_a_report_of_even_periods_gives_each_value_its_time() -> None:
    values = b"".join(to_bcd(number, 2) for number in (1, 2, 3))
    found = sl651.decode(report(bytes.fromhex("0418000005") + b"\x39\x12" + values, 0x31))
    assert found == [
        Reading("0012345678", "39", WHEN_US + place * FIVE_MINUTES_US, number / 100, "m")
        for place, number in enumerate((1, 2, 3))
    ]


def test_a_station_that_only_keeps_the_link_is_a_heartbeat_and_wants_no_answer() -> None:
    link = sl651.framed(b"\1" + STATION, b"\0\0", 0x2F, HEAD)
    assert sl651.decode(link) == [Seen("0012345678", "heartbeat")]
    assert sl651.answer(link, WHEN_US) is None


@pytest.mark.parametrize(("end", "word"), [(sl651.ETX, sl651.EOT), (sl651.ETB, sl651.ACK)])
def test_a_report_is_confirmed_with_its_serial_number_and_our_clock(end: int, word: int) -> None:
    answer = sl651.answer(report(element(0x38, 1115, 2, 2), end=end), WHEN_US)
    assert answer is not None
    assert answer.hex().upper().startswith("7E7E00123456780112343280080200012611010830")
    assert answer[-3] == word
    assert sl651.decode(answer) == [Seen("0012345678", "ack")]


def test_a_damaged_report_and_an_answer_to_a_query_are_not_confirmed() -> None:
    damaged = bytearray(report(element(0x38, 1115, 2, 2)))
    damaged[-1] ^= 1
    assert sl651.answer(bytes(damaged), WHEN_US) is None
    assert sl651.answer(report(element(0x38, 1115, 2, 2), 0x37), WHEN_US) is None


def test_pictures_and_texts_typed_by_hand_are_unsupported() -> None:
    for frame in (report(b"\xf2\xf2abc"), report(b"\xf3\xf3\xff\xd8"), report(b"", 0x36)):
        (found,) = sl651.decode(frame)
        assert isinstance(found, Bad)
        assert found.reason is Reason.unsupported
