"""The end of the log, folded: marks, gaps, generations, versions, and whose clock it is."""

from __future__ import annotations

import pytest

from ingest.packing import Segment, pack
from ingest.tail import ClockDiffers, Tail
from schemas import control
from schemas.clock import CityClock
from schemas.control import Clock, Control, Gap, Marks, Ownership, RegistryVersion, RulesVersion, Tick
from schemas.frame import SegmentFlag
from schemas.sequence import Mark


def tail_of(*entries: Control | tuple[str, int, int]) -> Tail:
    """Control records, and frames as (gateway, epoch, sequence)."""
    tail = Tail("ingest-1")
    for entry in entries:
        if isinstance(entry, tuple):
            gateway, epoch, sequence = entry
            tail.take(pack([Segment(gateway, epoch, sequence, 0, 0, 0, SegmentFlag.sequenced)]))
        else:
            tail.take(control.encode(entry))
    return tail


def test_marks_are_the_last_ones_and_what_came_behind_them() -> None:
    tail = tail_of(
        ("gw", 1, 4),
        Marks("ingest-1", 3, {"gw/1": (9,), "other/7": (2, 5)}),
        ("gw", 1, 10),
        ("gw", 2, 1),
        ("gw", 1, 12),
    )
    assert tail.marks == {("gw", 1): Mark(10, (12,)), ("other", 7): Mark(2, (5,)), ("gw", 2): Mark(1)}
    assert tail.has_marks


def test_a_gap_is_passed_over() -> None:
    assert tail_of(("gw", 1, 1), Gap("gw", 1, 2, 3), ("gw", 1, 4)).marks == {("gw", 1): Mark(4)}


def test_frames_without_a_sequence_leave_no_mark() -> None:
    tail = Tail("ingest-1")
    tail.take(pack([Segment("gw", 0, 0, 0, 0, 0, SegmentFlag(0))]))
    assert tail.marks == {}


def test_what_a_resumed_zombie_writes_beside_its_successor_counts_for_nothing() -> None:
    tail = tail_of(
        Ownership("ingest-1", 4),
        RulesVersion(7, 70),
        RegistryVersion(3, 30),
        Marks("ingest-1", 4, {"gw/1": (9,)}),
        Tick("ingest-1", 4, 2, 2, ("silent-now",)),
        Marks("ingest-1", 3, {"gw/1": (5,)}),
        Tick("ingest-1", 3, 1, 1, ("silent-then",)),
        RulesVersion(6, 60),
        RegistryVersion(2, 20),
    )
    assert tail.marks == {("gw", 1): Mark(9)}
    assert tail.tick is not None
    assert tail.tick.silent == ("silent-now",)
    assert (tail.rules, tail.registry) == (RulesVersion(7, 70), RegistryVersion(3, 30))


def test_the_generation_is_the_highest_of_this_ingest() -> None:
    tail = tail_of(
        Ownership("ingest-1", 4),
        Tick("ingest-2", 9, 1, 1),
        Marks("ingest-2", 9, {}),
        Tick("ingest-1", 5, 1, 1),
    )
    assert tail.generation == 5
    assert not tail.has_marks


def test_the_last_versions_are_known() -> None:
    tail = tail_of(RegistryVersion(1, 10), RulesVersion(2, 20), RegistryVersion(3, 30))
    assert (tail.registry, tail.rules) == (RegistryVersion(3, 30), RulesVersion(2, 20))


def test_what_is_no_packed_frame_is_counted_and_passed_over() -> None:
    tail = tail_of(("gw", 1, 1))
    tail.take(b"nonsense")
    assert tail.unreadable == 1
    assert tail.marks == {("gw", 1): Mark(1)}


def test_the_same_line_of_time_in_other_words_is_the_same_clock() -> None:
    log = CityClock(1_000_000, 5_000_000, 60.0)
    same = CityClock(log.city_us(9_000_000), 9_000_000, 60.0)
    tail = tail_of(Clock(1_000_000, 5_000_000, 60.0), Tick("ingest-1", 1, log.city_us(7_000_000), 7_000_000))
    tail.check(same)


@pytest.mark.parametrize(
    "entry", [Clock(0, 0, 60.0), Clock(5_000_000, 0, 1.0), Tick("ingest-1", 1, 60_000_000, 1_000_000)]
)
def test_another_clock_is_refused(entry: Control) -> None:
    with pytest.raises(ClockDiffers, match="0,0,1"):
        tail_of(entry).check(CityClock())
