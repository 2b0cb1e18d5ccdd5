"""Packing: what went in comes out of the packed frame, in order, whatever the mix."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.packing import MESSAGE_READINGS, Segment, fits, pack
from schemas.frame import SegmentFlag, decode
from schemas.reading import RECORD, Flag


def a_segment(gateway: str = "gw-1", sequence: int = 1, values: list[float] | None = None) -> Segment:
    records = np.zeros(len(values or []), RECORD)
    records["value"] = values or []
    records["sensor"] = 7
    return Segment(gateway, 2, sequence, 10, 20, 30, SegmentFlag.sequenced, records)


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    texts: list[str] = draw(st.lists(st.text(max_size=3), max_size=3))
    count = draw(st.integers(0, 4))
    records = np.zeros(count, RECORD)
    for record in records:
        record["sensor"] = draw(st.integers(1, 5))
        is_text: bool = draw(st.booleans())
        if texts and is_text:
            record["flags"] = Flag.text
            record["value"] = draw(st.integers(0, len(texts) - 1))
        else:
            record["value"] = draw(st.floats(allow_nan=False))
    gateway = draw(st.sampled_from(["gw-1", "gw-2", "gw-3"]))
    return Segment(
        gateway,
        draw(st.integers(0, 2**64 - 1)),
        draw(st.integers(0, 2**64 - 1)),
        draw(st.integers(-(2**62), 2**62)),
        draw(st.integers(0, 2**62)),
        draw(st.integers(0, 2**62)),
        draw(st.sampled_from([SegmentFlag(0), SegmentFlag.sequenced, SegmentFlag.backfill])),
        records,
        texts,
    )


def meaning(record: np.void, texts: tuple[str, ...] | list[str]) -> tuple[int, float | str]:
    value = float(record["value"])
    return int(record["sensor"]), texts[int(value)] if record["flags"] & Flag.text else value


@given(st.lists(segments(), min_size=1, max_size=6))
def test_a_packed_frame_decodes_to_the_same_readings(given: list[Segment]) -> None:
    frame = decode(pack(given))
    assert len(frame.segments) == len(given)
    for number, segment in enumerate(given):
        row = frame.segments[number]
        assert frame.gateway_of(number) == segment.gateway
        for name in ("epoch", "sequence", "received_at", "received_wall", "published_wall", "flags"):
            assert int(row[name]) == int(getattr(segment, name))
        part = frame.records[int(row["first"]) : int(row["first"]) + int(row["count"])]
        assert [meaning(record, frame.texts) for record in part] == [
            meaning(record, list(segment.texts)) for record in segment.records
        ]


def test_packing_does_not_change_what_it_packs() -> None:
    segment = Segment("gw", 0, 0, 0, 0, 0, SegmentFlag(0), np.zeros(1, RECORD), ["x"])
    segment.records["flags"] = Flag.text
    before = segment.records.copy()
    pack([segment, segment])
    assert (segment.records == before).all()


def test_a_frame_of_which_nothing_was_usable_still_has_its_sequence_in_the_log() -> None:
    frame = decode(pack([a_segment(sequence=4), a_segment(sequence=5, values=[1.0])]))
    assert frame.segments["sequence"].tolist() == [4, 5]
    assert frame.segments["count"].tolist() == [0, 1]


def test_a_message_takes_frames_up_to_its_limit_and_one_larger_alone() -> None:
    huge = a_segment(values=[0.0] * (MESSAGE_READINGS + 1))
    assert fits(0, huge)
    assert not fits(1, huge)
    assert fits(MESSAGE_READINGS - 1, a_segment(values=[1.0]))
    assert not fits(MESSAGE_READINGS, a_segment(values=[1.0]))
