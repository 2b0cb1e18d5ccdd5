"""One transaction's worth of the log: each segment once, numbers and texts apart, bad bytes counted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas import control, frame
from schemas.control import Gap, Tick
from schemas.frame import SEGMENT, Frame, SegmentFlag
from schemas.reading import EARLIEST_US, RECORD, Flag, Quality
from schemas.sequence import Mark
from streams.batch import UNSEQUENCED, Account, Batch, Text
from streams.copy_rows import rows_in, rows_out
from streams.spans import LAST_US

BIG = 2**63 + 5  # epochs are unsigned


def a_frame(*segments: tuple[str, int, int], flags: int = SegmentFlag.sequenced, count: int = 3) -> bytes:
    """Segments (gateway, epoch, sequence) of `count` readings, whose value is the sequence."""
    table = np.zeros(len(segments), SEGMENT)
    records = np.zeros(len(segments) * count, RECORD)
    records["time"] = EARLIEST_US
    for at, (_, epoch, sequence) in enumerate(segments):
        table[at] = (epoch, sequence, 10 + at, 20, 0, at * count, count, at, flags)
        records["value"][at * count : (at + 1) * count] = sequence
    return frame.encode(Frame(table, records, tuple(gateway for gateway, _, _ in segments)))


def test_a_segment_that_came_before_is_left_out_and_the_rest_of_its_frame_kept() -> None:
    batch = Batch({("a", BIG): Mark(6, (8,))})
    batch.add(a_frame(("a", BIG, 6), ("a", BIG, 7), ("b", 0, 4)))
    batch.add(a_frame(("b", 0, 4), ("a", BIG, 8)))
    assert batch.records()["value"].tolist() == [7, 7, 7, 4, 4, 4]
    assert (batch.rows, batch.duplicates) == (6, 9)
    assert batch.marks == {("a", BIG): Mark(8), ("b", 0): Mark(4)}
    assert batch.city_us == 12


def test_segments_without_a_sequence_are_all_kept() -> None:
    batch = Batch({})
    for _ in range(2):
        batch.add(a_frame(("a", 0, 0), flags=0))
    assert (batch.rows, batch.marks) == (6, {})
    assert batch.ledger == {("a", UNSEQUENCED): Account(0, frames=2, readings=6)}


def test_the_marks_given_are_not_touched() -> None:
    marks = {("a", 1): Mark(1)}
    batch = Batch(marks)
    batch.add(a_frame(("a", 1, 2)))
    assert marks == {("a", 1): Mark(1)}


def test_a_gap_that_was_given_up_closes_the_mark() -> None:
    batch = Batch({("a", 1): Mark(1, (5,))})
    batch.add(control.encode(Gap("a", 1, 2, 4)))
    batch.add(control.encode(Gap("unheard", 1, 2, 4)))
    batch.add(control.encode(Tick("ingest-1", 1, 0, 0)))
    assert batch.marks == {("a", 1): Mark(5)}
    assert batch.ledger == {("a", 1): Account(2, given_up=3)}
    assert batch.bad == []


def test_frames_that_ingest_saw_again_are_added_up() -> None:
    batch = Batch({})
    for again in ({"gw-1": 2}, {"gw-1": 1, "gw-2": 5}, {}):
        batch.add(control.encode(control.Marks("ingest-1", 1, {}, again)))
    assert batch.again == {"gw-1": 3, "gw-2": 5}


@given(
    st.lists(st.one_of(st.integers(1, 30), st.tuples(st.integers(1, 30), st.integers(0, 5))), min_size=1),
    st.integers(1, 7),
)
def test_frames_counted_given_up_and_awaited_are_what_the_sequences_speak_of(
    log: list[int | tuple[int, int]], size: int
) -> None:
    """Frames in any order, some twice, and gaps given up; split into transactions anywhere."""
    marks: dict[tuple[str, int], Mark] = {}
    total: Account | None = None
    for at in range(0, len(log), size):
        batch = Batch(marks)
        for one in log[at : at + size]:
            if isinstance(one, int):
                batch.add(a_frame(("a", 1, one)))
            else:
                batch.add(control.encode(Gap("a", 1, one[0], one[0] + one[1])))
        marks |= batch.marks
        for key, account in batch.ledger.items():
            assert key == ("a", 1)
            total = total or Account(account.first)
            total.frames += account.frames
            total.readings += account.readings
            total.given_up += account.given_up
    if total is None:
        assert not any(isinstance(one, int) for one in log)
        return
    contiguous, ahead = marks["a", 1]
    highest = max(contiguous, *ahead, 0)
    awaited = highest - contiguous - len(ahead)
    assert highest - total.first + 1 == total.frames + total.given_up + awaited
    assert total.readings == 3 * total.frames
    assert total.given_up >= 0


def test_texts_stand_apart_and_without_what_postgresql_cannot_hold() -> None:
    table = np.zeros(1, SEGMENT)
    table["count"], table["published_wall"] = 4, 99
    records = np.zeros(4, RECORD)
    records["time"], records["sensor"] = EARLIEST_US, 5
    records["flags"] = [Flag.number, Flag.text, Flag.text, Flag.text]
    records["value"] = [1.5, 0, 7, np.nan]
    records["quality"] = Quality.suspect
    batch = Batch({})
    batch.add(frame.encode(Frame(table, records, ("a",), ("开\0着",))))
    assert batch.texts == [Text(EARLIEST_US, 5, "开\ufffd着", Quality.suspect)]
    assert batch.records()["value"].tolist() == [1.5]
    assert batch.unstorable == 2
    assert batch.sensed == [99]


def test_times_that_no_table_can_hold_are_counted_and_not_stored() -> None:
    table = np.zeros(1, SEGMENT)
    table["count"] = 4
    records = np.zeros(4, RECORD)
    records["time"] = [EARLIEST_US - 1, EARLIEST_US, LAST_US - 1, LAST_US]
    batch = Batch({})
    batch.add(frame.encode(Frame(table, records, ("a",))))
    assert (batch.rows, batch.unstorable) == (2, 2)


@given(st.binary(max_size=100), st.integers(0, 200))
def test_any_bytes_are_counted_and_stop_nothing(noise: bytes, cut: int) -> None:
    good = a_frame(("a", 1, 1))
    batch = Batch({})
    batch.add(noise)
    batch.add(good[: min(cut, len(good) - 1)])
    batch.add(good)
    assert (len(batch.bad), batch.rows) == (2, 3)


@given(
    st.lists(
        st.tuples(
            st.integers(EARLIEST_US, LAST_US - 1),
            st.floats(),
            st.integers(-(2**31), 2**31 - 1),
            st.sampled_from(Quality),
        ),
        max_size=50,
    )
)
def test_rows_come_back_as_they_went_sorted_by_sensor_and_time(
    readings: list[tuple[int, float, int, int]],
) -> None:
    records = np.zeros(len(readings), RECORD)
    for at, reading in enumerate(readings):
        records[at] = (*reading, 0, 0)
    rows = rows_in(rows_out(records))
    order = np.lexsort((records["time"], records["sensor"]))
    for column in ("time", "value", "sensor", "quality"):
        np.testing.assert_array_equal(rows[column], records[column][order])
