"""Electricity, water and heat meters: DL/T 645 and CJ/T 188."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.formats import cjt188, dlt645
from ingest.formats.digits import local_of_digits, to_bcd
from ingest.formats.result import Bad, Reading, Seen
from schemas.reading import Quality, Reason

METER = "202611010001"
WATER = "00000026110001"
DIGITS = st.integers(0, 99_999_999)


def electricity(item: str, *values: bytes) -> list[object]:
    data = bytes.fromhex(item)[::-1] + b"".join(value[::-1] for value in values)
    return list(dlt645.decode(dlt645.framed(METER, 0x91, data)))


@given(DIGITS, st.integers(0, 12))
def test_energy_comes_back_as_it_was_sent(digits: int, month: int) -> None:
    item = f"000100{month:02X}"
    assert electricity(item, to_bcd(digits, 4)) == [Reading(METER, item, None, digits / 100, "kW.h")]


def test_a_block_is_a_reading_for_each_phase_that_it_holds() -> None:
    found = electricity("0201FF00", to_bcd(2205, 2), to_bcd(2210, 2))
    assert found == [
        Reading(METER, "02010100", None, 220.5, "V"),
        Reading(METER, "02010200", None, 221.0, "V"),
    ]


def test_power_that_flows_back_is_below_zero() -> None:
    assert electricity("02030000", b"\x81\x23\x45") == [Reading(METER, "02030000", None, -1.2345, "kW")]


def test_frequency_and_power_factor_have_their_decimals() -> None:
    assert electricity("02800002", to_bcd(5001, 2)) == [Reading(METER, "02800002", None, 50.01, "Hz")]
    assert electricity("02060000", to_bcd(985, 2)) == [Reading(METER, "02060000", None, 0.985, "1")]


def test_all_bits_set_is_a_value_that_the_meter_does_not_have() -> None:
    assert electricity("02010100", b"\xff\xff") == [
        Reading(METER, "02010100", None, None, "V", Quality.suspect)
    ]


def test_an_item_that_is_not_in_the_tables_is_unsupported_and_a_short_one_no_item() -> None:
    for item, values, reason in (
        ("04000101", [b"\x01\x02\x03\x04"], Reason.unsupported),
        ("00010000", [b"\x01"], Reason.syntax),
        ("00010000", [b"\x0a\x0a\x0a\x0a"], Reason.syntax),
    ):
        (found,) = electricity(item, *values)
        assert isinstance(found, Bad)
        assert found.reason is reason


def test_what_a_meter_refuses_or_confirms_is_named() -> None:
    for control, word in (
        (0xD1, "error"),
        (0x94, "write_answer"),
        (0x93, "address"),
        (0x14, "write_request"),
    ):
        assert dlt645.decode(dlt645.framed(METER, control, b"")) == [Seen(METER, word)]


def test_the_older_edition_says_its_energy_in_two_bytes_of_name() -> None:
    frame = dlt645.framed(METER, 0x81, b"\x10\x90" + to_bcd(123456, 4)[::-1])
    assert dlt645.decode(frame) == [Reading(METER, "9010", None, 1234.56, "kW.h")]


@given(
    now=DIGITS,
    settled=DIGITS,
    is_other_order=st.booleans(),
    moment=st.datetimes().filter(lambda moment: 1990 < moment.year < 2090),
    valve=st.sampled_from([(0, "valve_open"), (1, "valve_closed"), (3, "valve_abnormal")]),
)
def test_a_water_meter_comes_back_as_it_was_sent(
    now: int, settled: int, is_other_order: bool, moment: object, valve: tuple[int, str]
) -> None:
    clock = f"{moment:%Y%m%d%H%M%S}"
    data = b"\x1f\x90\0" if is_other_order else b"\x90\x1f\0"
    data += to_bcd(now, 4)[::-1] + b"\x2c" + to_bcd(settled, 4)[::-1] + b"\x2c"
    data += bytes.fromhex(clock)[::-1] + bytes([valve[0], 0])
    found = cjt188.decode(cjt188.framed(0x10, WATER, 0x81, data))
    time_us = local_of_digits(clock)
    assert found[:2] == [
        Reading(WATER, "901F.volume_now", time_us, now / 100, "m3"),
        Reading(WATER, "901F.volume_settle", time_us, settled / 100, "m3"),
    ]
    assert found[3] == Reading(WATER, "901F.status", time_us, valve[1])


def test_a_heat_meter_says_heat_power_flow_and_both_temperatures() -> None:
    values = [(1, 4, 0x05), (123456, 4, 0x05), (789, 4, 0x17), (12345, 4, 0x35), (600, 4, 0x2C)]
    data = b"\x90\x1f\0" + b"".join(to_bcd(n, size)[::-1] + bytes([unit]) for n, size, unit in values)
    data += to_bcd(7512, 3)[::-1] + to_bcd(4501, 3)[::-1] + to_bcd(1000, 3)[::-1]
    data += bytes.fromhex("20261101083000")[::-1] + b"\4\0"
    found = cjt188.decode(cjt188.framed(0x20, WATER, 0x81, data))
    said = {
        item.point.removeprefix("901F."): (item.value, item.unit)
        for item in found
        if isinstance(item, Reading)
    }
    assert said["heat_now"] == (1234.56, "kW.h")
    assert said["power"] == (7.89, "kW")
    assert said["flow"] == (1.2345, "m3/h")
    assert said["temperature_supply"] == (75.12, "Cel")
    assert said["temperature_return"] == (45.01, "Cel")
    assert said["status"] == ("valve_open,battery_low", None)


def test_a_valve_says_how_it_stands_after_it_was_moved() -> None:
    assert cjt188.decode(cjt188.framed(0x10, WATER, 0x84, b"\xa0\x17\1\1\0")) == [
        Reading(WATER, "A017.status", None, "valve_closed")
    ]


def test_other_items_of_a_meter_are_unsupported_and_its_refusal_is_named() -> None:
    (found,) = cjt188.decode(cjt188.framed(0x10, WATER, 0x81, b"\xd1\x20\0" + bytes(5)))
    assert isinstance(found, Bad)
    assert found.reason is Reason.unsupported
    assert cjt188.decode(cjt188.framed(0x10, WATER, 0xC1, b"\1\0\0")) == [Seen(WATER, "error")]
