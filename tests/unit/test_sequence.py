"""Dedup by sequence: nothing new is lost, nothing seen is new again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.sequence import AHEAD_LIMIT, Mark, Seen, observe, skip_to


@given(st.lists(st.integers(0, 30), max_size=80))
def test_each_sequence_is_new_exactly_once_whatever_the_order(arrivals: list[int]) -> None:
    mark, new = None, []
    for sequence in arrivals:
        mark, seen = observe(mark, sequence)
        if seen is not Seen.duplicate:
            new.append(sequence)
    first = arrivals[0] if arrivals else 0
    assert sorted(new) == sorted({s for s in arrivals if s >= first})


@given(st.permutations(list(range(1, 20))))
def test_when_all_have_come_nothing_is_left_ahead(arrivals: list[int]) -> None:
    mark: Mark | None = Mark(0)
    for sequence in arrivals:
        mark, _ = observe(mark, sequence)
    assert mark == Mark(19, ())


def test_a_late_frame_behind_a_newer_one_is_not_lost() -> None:
    mark, _ = observe(None, 1)
    mark, seen = observe(mark, 3)
    assert seen is Seen.ahead
    mark, seen = observe(mark, 2)
    assert (mark, seen) == (Mark(3), Seen.new)


def test_giving_up_a_gap_closes_up_to_the_frames_that_waited_behind_it() -> None:
    assert skip_to(Mark(4, (7, 8, 11)), 6) == Mark(8, (11,))
    assert skip_to(Mark(9), 6) == Mark(9)


def test_what_is_kept_ahead_of_the_mark_is_bounded() -> None:
    mark: Mark | None = Mark(0)
    for sequence in range(2, 2 * AHEAD_LIMIT, 2):
        mark, _ = observe(mark, sequence)
    assert mark is not None
    assert len(mark.ahead) <= AHEAD_LIMIT
