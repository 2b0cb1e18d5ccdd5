"""Registers of Modbus, raw and named by a map."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats import modbus
from ingest.formats.modbus import Register, decode_mapped, framed
from ingest.formats.result import Bad, Reading, Seen
from ingest.formats.stream import decode_all
from schemas.reading import Quality, Reason
from tests.unit.formats.decoding import decoded

Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]
PLACES: dict[Order, tuple[int, ...]] = {
    "ABCD": (0, 1, 2, 3),
    "CDAB": (2, 3, 0, 1),
    "BADC": (1, 0, 3, 2),
    "DCBA": (3, 2, 1, 0),
}


def answer(data: bytes, slave: int = 9) -> bytes:
    return framed(slave, 3, bytes([len(data)]) + data)


@given(st.lists(st.integers(0, 65_535), min_size=1, max_size=125))
def test_registers_come_back_as_they_were_sent(registers: list[int]) -> None:
    frame = answer(b"".join(number.to_bytes(2, "big") for number in registers))
    assert decode_all(modbus.FORMAT, frame) == [
        Reading("9", f"reg:{place}", None, number) for place, number in enumerate(registers)
    ]


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.sampled_from(sorted(PLACES)))
def test_a_float_comes_back_in_every_order_of_its_words(number: float, order: Order) -> None:
    plain = struct.pack(">f", number)
    data = b"\0\0" + bytes(plain[place] for place in PLACES[order])
    register = Register("pressure", 1, "f32", order, unit="MPa")
    assert decode_mapped(answer(data), (register,)) == [Reading("9", "pressure", None, number, "MPa")]


def test_a_signed_register_has_its_scale_and_offset() -> None:
    register = Register("temperature", 0, "i16", scale=0.5, offset=-40.0, unit="Cel")
    assert decode_mapped(answer(b"\xff\xfe"), (register,)) == [
        Reading("9", "temperature", None, -41.0, "Cel")
    ]


def test_a_float_that_is_no_number_is_none() -> None:
    found = decode_mapped(answer(struct.pack(">f", float("nan"))), (Register("x", 0, "f32"),))
    assert found == [Reading("9", "x", None, None, None, Quality.suspect)]


@pytest.mark.parametrize("at", [-1, 1, 70_000])
def test_a_register_beyond_the_answer_is_out_of_range(at: int) -> None:
    (found,) = decode_mapped(answer(b"\0\1"), (Register("x", at),))
    assert isinstance(found, Bad)
    assert found.reason is Reason.range


def test_requests_writes_and_errors_are_named() -> None:
    for function, data, word in (
        (4, b"\0\1\0\2", "read_request"),
        (6, b"\0\1\0\2", "write_request"),
        (16, b"\0\1\0\1\2\0\7", "write_request"),
        (16, b"\0\1\0\1", "write_answer"),
        (0x83, b"\2", "error"),
    ):
        assert decode_all(modbus.FORMAT, framed(1, function, data)) == [Seen("1", word)]


def test_a_damaged_answer_is_refused_and_the_next_one_read() -> None:
    damaged = bytearray(answer(b"\0\1\0\2"))
    damaged[4] ^= 1
    found = decode_all(modbus.FORMAT, bytes(damaged) + answer(b"\0\7"))
    assert isinstance(found[0], Bad)
    assert (found[0].reason, found[0].at) == (Reason.checksum, 0)
    assert found[1:] == [Reading("9", "reg:0", None, 7)]


def test_the_command_names_registers_by_the_map_of_its_context(tmp_path: Path) -> None:
    context = tmp_path / "context.json"
    registers = [{"point": "humidity", "at": 0, "scale": 0.1, "unit": "%"}]
    context.write_text(json.dumps({"registers": registers}))
    code, (line,) = decoded("modbus", bytes.fromhex("010304026C00883BF0"), "--context", str(context))
    assert (code, line["point"], line["unit"]) == (0, "humidity", "%")
    assert line["value"] == pytest.approx(62.0)


def test_what_another_implementation_writes_is_read() -> None:
    theirs = "110300030004b699 1103060001ffff012cd11c 1110000100030600010002000355d4"  # by pymodbus 3.16.1
    assert decode_all(modbus.FORMAT, bytes.fromhex(theirs)) == [
        Seen("17", "read_request"),
        *(Reading("17", f"reg:{place}", None, number) for place, number in enumerate((1, 65_535, 300))),
        Seen("17", "write_request"),
    ]
