"""The packed frame: round trip, corruption, size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import control
from schemas.frame import HEADER, SEGMENT, Frame, FrameError, Kind, decode, decode_control, encode, kind_of
from schemas.reading import RECORD

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    counts = draw(st.lists(st.integers(0, 6), max_size=4))
    gateways = tuple(draw(st.lists(names, min_size=1, max_size=3)))
    segments = np.zeros(len(counts), SEGMENT)
    segments["count"] = counts
    segments["first"] = np.cumsum(counts) - counts
    for column in ("epoch", "sequence"):
        segments[column] = draw(
            st.lists(st.integers(0, 2**64 - 1), min_size=len(counts), max_size=len(counts))
        )
    segments["gateway"] = [draw(st.integers(0, len(gateways) - 1)) for _ in counts]
    records = np.zeros(sum(counts), RECORD)
    records["value"] = draw(st.lists(st.floats(allow_nan=True), min_size=len(records), max_size=len(records)))
    records["time"] = draw(
        st.lists(st.integers(-(2**63), 2**63 - 1), min_size=len(records), max_size=len(records))
    )
    return Frame(segments, records, gateways, tuple(draw(st.lists(names, max_size=3))))


@given(frames())
def test_a_frame_survives_the_round_trip_to_the_last_bit(frame: Frame) -> None:
    again = decode(encode(frame))
    assert again.segments.tobytes() == frame.segments.tobytes()
    assert again.records.tobytes() == frame.records.tobytes()
    assert (again.gateways, again.texts) == (frame.gateways, frame.texts)


@given(frames(), st.data())
def test_no_flipped_bit_goes_unnoticed(frame: Frame, data: st.DataObject) -> None:
    raw = bytearray(encode(frame))
    at = data.draw(st.integers(0, len(raw) - 1).filter(lambda i: i not in (6, 7)))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(FrameError):
        decode(bytes(raw))


@given(frames(), st.integers(1, 60))
def test_a_cut_or_lengthened_frame_is_refused(frame: Frame, by: int) -> None:
    raw = encode(frame)
    with pytest.raises(FrameError):
        decode(raw[:-by])
    with pytest.raises(FrameError):
        decode(raw + b"\0" * by)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_an_error_that_says_why(raw: bytes) -> None:
    with pytest.raises(FrameError, match=r"expected|at least|says|is"):
        decode(raw)


def test_five_hundred_readings_of_one_gateway_cost_24_bytes_each_and_a_small_head() -> None:
    segments = np.zeros(1, SEGMENT)
    segments["count"] = 500
    raw = encode(Frame(segments, np.zeros(500, RECORD), ("gw-gas-n01-3",)))
    assert len(raw) <= 500 * 24 + HEADER.size + SEGMENT.itemsize + 32


def test_segments_that_leave_a_record_uncovered_are_refused_before_they_are_sent() -> None:
    segments = np.zeros(1, SEGMENT)
    segments["count"] = 2
    with pytest.raises(FrameError, match="2 records of 3"):
        encode(Frame(segments, np.zeros(3, RECORD), ("gw",)))


@pytest.mark.parametrize(
    "record",
    [
        control.Tick("ingest-1", 3, 1, 2, ("gw-1",)),
        control.Clock(1, 2, 60.0),
        control.Ownership("ingest-1", 4),
        control.RegistryVersion(2, 17),
        control.RulesVersion(5, 90),
        control.Marks("ingest-1", 4, {"gw-1/7": (12, 14, 15)}),
        control.Gap("gw-1", 7, 13, 13),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_control_record_survives_the_round_trip(record: control.Control) -> None:
    raw = control.encode(record)
    assert kind_of(raw) is Kind.control
    assert control.decode(raw) == record


def test_a_frame_is_not_read_as_a_control_record_nor_the_other_way_round() -> None:
    tick = control.encode(control.Tick("ingest-1", 1, 0, 0))
    with pytest.raises(FrameError, match="expected kind readings, got control"):
        decode(tick)
    with pytest.raises(FrameError, match="expected kind control, got readings"):
        decode_control(encode(Frame(np.zeros(0, SEGMENT), np.zeros(0, RECORD), ())))
