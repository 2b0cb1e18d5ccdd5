"""Gateways in sequence: order, gaps, duplicates, and what is done when frames never come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.sequencing import (
    ASK_AGAIN_US,
    EPOCHS_KEPT,
    FAR_BELOW,
    HELD_FRAMES,
    HOLD_US,
    REMEMBERED,
    Duplicate,
    Epochs,
    Forward,
    LetGo,
    Lost,
    Stream,
    Wait,
)
from schemas.sequence import Mark


def sent(stream: Stream[str], sequence: int, now_us: int = 0, digest: int = 0) -> object:
    return stream.arrive(sequence, f"frame {sequence}", 100, digest or sequence + 1, now_us)


def a_stream(upto: int = 1) -> Stream[str]:
    stream: Stream[str] = Stream()
    for sequence in range(1, upto + 1):
        sent(stream, sequence)
    return stream


def test_frames_go_on_in_sequence_wherever_an_epoch_starts() -> None:
    stream: Stream[str] = Stream()
    assert sent(stream, 40) == [Forward(40, "frame 40")]
    assert sent(stream, 41) == [Forward(41, "frame 41")]


def test_behind_a_gap_frames_wait_and_go_on_in_order_when_it_is_filled() -> None:
    stream = a_stream(1)
    assert sent(stream, 3) == Wait(True, 2)
    assert sent(stream, 4) == Wait(True, None)
    assert sent(stream, 2) == [Forward(n, f"frame {n}") for n in (2, 3, 4)]
    assert not stream.held
    assert stream.held_bytes == 0


def test_a_gateway_is_asked_again_only_after_a_while() -> None:
    stream = a_stream(1)
    assert sent(stream, 3, 0) == Wait(True, 2)
    assert sent(stream, 4, ASK_AGAIN_US - 1) == Wait(True, None)
    assert sent(stream, 3, ASK_AGAIN_US) == Wait(False, 2)


def test_what_went_on_before_is_a_duplicate() -> None:
    stream = a_stream(3)
    assert sent(stream, 2) == Duplicate()
    assert sent(stream, 3) == Duplicate()


def test_held_frames_are_bounded_by_number_by_size_and_by_what_others_hold() -> None:
    stream = a_stream(1)
    waits = [sent(stream, 3 + n) for n in range(HELD_FRAMES + 1)]
    assert waits[-2] == Wait(True, None)
    assert waits[-1] == Wait(False, None)
    full = a_stream(1)
    assert full.arrive(3, "huge", 1 << 30, 1, 0) == Wait(False, 2)
    assert full.arrive(4, "small", 1, 1, 0, room=False) == Wait(False, None)


def test_a_gap_is_given_up_after_a_minute_if_the_gateway_is_there() -> None:
    stream = a_stream(1)
    sent(stream, 4, 0)
    sent(stream, 8, 10)
    assert list(stream.give_up(HOLD_US - 1, present=True)) == []
    assert list(stream.give_up(HOLD_US, present=True)) == [Lost(2, 3), Forward(4, "frame 4")]
    assert list(stream.give_up(HOLD_US + 10, present=True)) == [Lost(5, 7), Forward(8, "frame 8")]
    assert stream.mark == Mark(8)


def test_frames_behind_a_gap_are_let_go_if_their_gateway_is_away() -> None:
    stream = a_stream(1)
    sent(stream, 3)
    assert list(stream.give_up(HOLD_US, present=False)) == [LetGo(1)]
    assert sent(stream, 2) == [Forward(2, "frame 2")]
    assert sent(stream, 3) == [Forward(3, "frame 3")]


def test_time_in_which_nobody_could_be_heard_does_not_count() -> None:
    stream = a_stream(1)
    sent(stream, 3)
    stream.put_off(5)
    assert list(stream.give_up(HOLD_US + 4, present=True)) == []
    assert list(stream.give_up(HOLD_US + 5, present=True)) == [Lost(2, 2), Forward(3, "frame 3")]


def test_a_frame_that_comes_after_it_was_given_up_is_stored_once_without_its_sequence() -> None:
    stream = a_stream(1)
    sent(stream, 4)
    list(stream.give_up(HOLD_US, present=True))
    assert sent(stream, 2) == [Forward(2, "frame 2", sequenced=False)]
    assert sent(stream, 2) == Duplicate()
    assert sent(stream, 3) == [Forward(3, "frame 3", sequenced=False)]


def test_other_content_far_below_the_mark_is_new_and_the_same_content_is_not() -> None:
    stream = a_stream(200)
    assert sent(stream, 10) == Duplicate()
    assert sent(stream, 10, digest=999) == [Forward(10, "frame 10", sequenced=False)]
    assert sent(stream, 10, digest=999) == Duplicate()


def test_close_below_the_mark_a_sequence_is_enough() -> None:
    stream = a_stream(200)
    assert sent(stream, 200 - FAR_BELOW, digest=999) == Duplicate()


def test_where_content_is_not_known_a_duplicate_is_not_certain() -> None:
    older = a_stream(REMEMBERED + 10)
    assert sent(older, 5, digest=999) == Duplicate(is_known=False)
    restored: Epochs[str] = Epochs()
    restored.restore(1, Mark(500))
    assert sent(restored.of(1), 300, digest=999) == Duplicate(is_known=False)
    assert sent(restored.of(1), 500 - FAR_BELOW, digest=999) == Duplicate()


def test_of_a_gateway_that_counts_anew_every_new_content_goes_on_once_up_to_its_old_mark_and_beyond() -> None:
    stream = a_stream(REMEMBERED + 100)
    mark = REMEMBERED + 100
    assert stream.anew(1, "first", 5_001) == Forward(1, "first", sequenced=False)
    for sequence in range(mark - REMEMBERED + 1, mark + 1):
        anew = 5_000 + sequence
        assert sent(stream, sequence, digest=anew) == [Forward(sequence, f"frame {sequence}", False)]
        assert sent(stream, sequence, digest=anew) == Duplicate()
        assert sent(stream, sequence) == Duplicate()  # its frame of before, from a broker's old store
    assert len(stream.anew_digests) == REMEMBERED
    assert sent(stream, mark + 1) == [Forward(mark + 1, f"frame {mark + 1}")]


def test_of_a_gateways_epochs_the_ones_used_last_are_kept() -> None:
    epochs: Epochs[str] = Epochs()
    for epoch in range(EPOCHS_KEPT):
        sent(epochs.of(epoch), 1)
    epochs.of(0)
    sent(epochs.of(99), 1)
    assert list(epochs.streams) == [2, 3, 0, 99]


@given(st.permutations(range(2, 30)), st.lists(st.integers(2, 29)))
def test_in_whatever_order_frames_come_each_goes_on_once_and_in_order(
    order: list[int], more: list[int]
) -> None:
    stream = a_stream(1)
    went: list[int] = []
    for sequence in [*order, *more, *range(2, 30)]:
        found = sent(stream, sequence)
        if isinstance(found, list):
            went += [forward.sequence for forward in found]
    assert went == list(range(2, 30))
