"""Frames are found in a stream however it is cut, and after whatever is not a frame."""

from __future__ import annotations

from ingest.formats import cjt188, dlt645, gb26875, hj212, modbus, sl651
from ingest.formats.framing import Frame, Splitter
from ingest.formats.result import Bad
from ingest.formats.stream import StreamFormat, decode_all
from schemas.reading import Reason
from tests.unit.formats.book import named

AIR = named("hj212", "mk_rt_air")
FIRE = named("gb26875", "mk_sys_fire")
RAIN = named("sl651", "rain_query_37")
ENERGY = named("dlt645", "mk_energy_1234.56")
WATER = named("cjt188", "mk_water_1234.56")
REGISTERS = named("modbus", "read_answer")


def refused(form: StreamFormat, data: bytes) -> list[tuple[str, int]]:
    return [(item.reason, item.at) for item in decode_all(form, data) if isinstance(item, Bad)]


def count(form: StreamFormat, data: bytes) -> int:
    return len(decode_all(form, data)) - len(refused(form, data))


def test_noise_before_a_frame_is_reported_once_where_it_begins() -> None:
    for form, frame, noise in (
        (hj212.FORMAT, AIR, b"GET / HTTP/1.1"),
        (gb26875.FORMAT, FIRE, b"\x00\x01#@#"),
        (sl651.FORMAT, RAIN, b"\x00\xff~\x00"),
        (dlt645.FORMAT, ENERGY, b"\x00\x12\x16"),
        (cjt188.FORMAT, WATER, b"\x00\x12\x16"),
        (modbus.FORMAT, REGISTERS, b"\xff\xff\xff"),
    ):
        assert refused(form, frame + noise + frame) == [(Reason.syntax, len(frame))]
        assert count(form, frame + noise + frame) == 2 * count(form, frame)


def test_a_frame_that_was_cut_off_is_lost_and_the_next_is_not() -> None:
    for form, frame in (
        (hj212.FORMAT, AIR),
        (gb26875.FORMAT, FIRE),
        (sl651.FORMAT, RAIN),
        (dlt645.FORMAT, ENERGY.lstrip(b"\xfe")),
        (cjt188.FORMAT, WATER.lstrip(b"\xfe")),
    ):
        data = frame[:-5] + frame + frame
        (found,) = refused(form, data)
        assert found[1] == 0
        assert found[0] in (Reason.length, Reason.truncated)
        assert count(form, data) == 2 * count(form, frame)


def test_an_end_that_never_comes_is_truncated_where_its_frame_began() -> None:
    for form, frame in (
        (hj212.FORMAT, AIR),
        (gb26875.FORMAT, FIRE),
        (sl651.FORMAT, RAIN),
        (dlt645.FORMAT, ENERGY),
        (cjt188.FORMAT, WATER),
        (modbus.FORMAT, REGISTERS),
    ):
        preamble = len(frame) - len(frame.lstrip(b"\xfe"))
        for kept in (preamble + 1, preamble + 3, len(frame) - 1):
            assert refused(form, frame + frame[:kept]) == [(Reason.truncated, len(frame) + preamble)]


def test_an_impossible_length_is_refused_at_once_and_not_waited_for() -> None:
    splitter = Splitter(hj212.SHAPE)
    assert splitter.feed(b"##9999QN=") == [
        Bad(Reason.length, "expected at most 1024 bytes of data, got 9999", 0)
    ]
    assert splitter.feed(AIR) == [Frame(9, AIR)]


def test_a_length_that_does_not_lead_to_the_end_mark_is_a_wrong_length() -> None:
    assert refused(hj212.FORMAT, AIR.replace(b"##0253", b"##0200")) == [(Reason.length, 0)]
    wrong = bytearray(FIRE)
    wrong[24] -= 1
    assert refused(gb26875.FORMAT, bytes(wrong))[0] == (Reason.length, 0)


def test_two_bad_frames_are_two_rejections() -> None:
    bad = named("hj212", "bad_crc_1")
    short = AIR.replace(b"##0253", b"##0200")
    data = bad + short + AIR + bad
    assert refused(hj212.FORMAT, data) == [
        (Reason.checksum, 0),
        (Reason.length, len(bad)),
        (Reason.checksum, len(bad + short + AIR)),
    ]


def test_what_is_held_is_never_more_than_one_frame() -> None:
    splitter = Splitter(gb26875.SHAPE)
    for _ in range(2_000):
        splitter.feed(b"@@" + bytes(22) + b"\x00\x04")
        assert len(splitter._held) <= 30 + 1_024
