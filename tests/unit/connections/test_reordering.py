"""Messages out of order are put in order for a while, and none is lost, doubled or kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.connections.reordering import MOST_AHEAD, WITHIN_US, Reordering, Turn

NODE = ("g", "edge")


def born(first: int = 0) -> Reordering[int]:
    """Its node's birth has that number; messages are the numbers without modulus."""
    reordering: Reordering[int] = Reordering()
    assert reordering.take(NODE, "NBIRTH", first, first, 10, 0) == [Turn(first)]
    return reordering


def taken(reordering: Reordering[int], one: int, now_us: int = 0) -> list[int]:
    return [turn.message for turn in reordering.take(NODE, "NDATA", one % 256, one, 10, now_us)]


def test_what_comes_too_early_waits_for_what_is_missing() -> None:
    reordering = born(254)
    assert taken(reordering, 257) == []
    assert taken(reordering, 256) == []
    assert reordering.next_us == WITHIN_US
    assert taken(reordering, 255) == [255, 256, 257]
    assert reordering.next_us is None
    assert taken(reordering, 258) == [258]


def test_what_stays_missing_is_waited_for_only_so_long() -> None:
    reordering = born()
    assert taken(reordering, 3, 5) == []
    assert taken(reordering, 2, 9) == []
    assert reordering.due(5 + WITHIN_US - 1) == []
    assert reordering.due(5 + WITHIN_US) == [Turn(2), Turn(3)]
    assert taken(reordering, 1, 6 + WITHIN_US) == [1]  # too late, and not thrown away
    assert taken(reordering, 4, 7 + WITHIN_US) == [4]


def test_who_waits_behind_a_second_gap_has_a_time_of_its_own() -> None:
    reordering = born()
    assert taken(reordering, 2, 10) == []
    assert taken(reordering, 5, 20) == []
    assert taken(reordering, 1, 30) == [1, 2]
    assert reordering.next_us == 20 + WITHIN_US


def test_a_birth_or_death_takes_what_waited_before_it_and_nobody_need_ask() -> None:
    for kind in ("NBIRTH", "NDEATH"):
        reordering = born()
        assert taken(reordering, 2) == []
        number = 0 if kind == "NBIRTH" else None
        assert reordering.take(NODE, kind, number, 99, 10, 1) == [Turn(2, may_ask=False), Turn(99)]
        assert reordering.next_us is None


def test_a_node_that_nobody_saw_born_is_taken_from_where_it_is() -> None:
    reordering: Reordering[int] = Reordering()
    assert taken(reordering, 17) == [17]
    assert taken(reordering, 19) == []
    assert taken(reordering, 18) == [18, 19]


def test_another_count_and_a_repeat_go_on_at_once() -> None:
    reordering = born()
    assert taken(reordering, MOST_AHEAD + 2) == [MOST_AHEAD + 2]
    assert taken(reordering, 3) == []
    assert taken(reordering, 3) == [3]


def test_more_than_there_is_room_for_goes_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.connections.reordering.MOST_BYTES", 25)
    reordering = born()
    assert [taken(reordering, one) for one in (2, 4, 6)] == [[], [], [2, 4, 6]]
    assert [taken(reordering, one) for one in (7, 9, 11)] == [[7], [], []]


@st.composite
def jumbled(draw: st.DrawFn) -> list[int]:
    """Messages 1..n, each at most so many places from its own."""
    count, reach = draw(st.integers(1, 300)), draw(st.integers(0, MOST_AHEAD - 1))
    shifts = draw(st.lists(st.integers(0, reach), min_size=count, max_size=count))
    return [one for _, one in sorted((at + shift, at) for at, shift in enumerate(shifts, 1))]


@given(jumbled(), st.integers(0, 255))
def test_any_jumble_within_reach_and_time_comes_out_in_order(order: list[int], first: int) -> None:
    reordering = born(first)
    out = [one for number in order for one in taken(reordering, first + number)]
    assert out == [first + number for number in range(1, len(order) + 1)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["NBIRTH", "NDEATH", "NDATA", "DDATA", "DBIRTH"]),
            st.none() | st.integers(0, 255),
            st.integers(0, 2),  # node
            st.integers(0, WITHIN_US),  # since the one before
        ),
        max_size=60,
    )
)
def test_whatever_comes_nothing_is_lost_doubled_or_kept_for_longer(
    said: list[tuple[str, int | None, int, int]],
) -> None:
    reordering: Reordering[int] = Reordering()
    came: dict[int, int] = {}
    out: list[int] = []
    now_us = 0
    for message, (kind, number, node, since_us) in enumerate(said):
        now_us += since_us
        due = [turn.message for turn in reordering.due(now_us)]
        waiting = came.keys() - set(out) - set(due)
        assert all(now_us < came[one] + WITHIN_US for one in waiting)
        came[message] = now_us
        turns = reordering.take(("g", f"e{node}"), kind, number, message, 10, now_us)
        out += due + [turn.message for turn in turns]
    out += [turn.message for turn in reordering.due(now_us + WITHIN_US)]
    assert sorted(out) == list(range(len(said)))
    assert reordering.next_us is None
