"""The outbox's laws: whatever happens on the line, nothing is lost and order is kept."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas.sequence import Mark, Seen, observe
from simulators.outbox import PATIENCE_MAX_S, WINDOW, Outbox, Sent
from simulators.outbox_file import OutboxFile

S = 1_000_000


def _outbox(**changes: object) -> Outbox:
    outbox = Outbox(random.Random(7), **changes)  # type: ignore[arg-type]  # any of them
    outbox.connected()
    return outbox


def _sequences(sent: list[Sent]) -> list[int]:
    return [frame.sequence for frame in sent]


def test_frames_go_out_once_and_in_sequence() -> None:
    outbox = _outbox()
    for text in (b"a", b"b", b"c"):
        outbox.put(text)
    assert [(f.sequence, f.payload, f.again) for f in outbox.to_send(0)] == [
        (1, b"a", False), (2, b"b", False), (3, b"c", False)]  # fmt: skip
    assert outbox.to_send(S) == []


def test_no_more_than_the_window_is_unanswered_on_the_wire() -> None:
    outbox = _outbox()
    for _ in range(WINDOW + 10):
        outbox.put(b"x")
    assert len(outbox.to_send(0)) == WINDOW
    outbox.answered(1, 0)
    assert _sequences(outbox.to_send(0)) == [WINDOW + 1]


def test_a_frame_leaves_only_by_its_own_answer() -> None:
    outbox = _outbox()
    outbox.put(b"a")
    outbox.put(b"b")
    outbox.to_send(0)
    assert not outbox.answered(9, 0)
    assert outbox.answered(2, 0)
    assert not outbox.answered(2, 0)
    outbox.connected()
    assert _sequences(outbox.to_send(S)) == [1]


def test_a_resend_goes_back_and_is_not_repeated_by_its_echoes() -> None:
    outbox = _outbox()
    for _ in range(5):
        outbox.put(b"x")
    outbox.to_send(0)
    outbox.answered(1, 0)
    assert outbox.resend(2)
    assert _sequences(outbox.to_send(S)) == [2, 3, 4, 5]
    assert not outbox.resend(2), "the platform asks once for every frame behind the gap"
    assert outbox.to_send(S) == []
    outbox.answered(2, S)
    assert outbox.resend(3), "another gap is another matter"


def test_what_was_sent_again_keeps_the_time_of_its_first_sending() -> None:
    outbox = _outbox()
    outbox.put(b"x")
    assert outbox.to_send(5)[0].first_us == 5
    outbox.disconnected()
    outbox.connected()
    (again,) = outbox.to_send(9)
    assert (again.first_us, again.again) == (5, True)


def test_silence_makes_it_send_again_ever_more_rarely() -> None:
    outbox = _outbox()
    outbox.put(b"x")
    outbox.to_send(0)
    waits, now = [], 0
    for _ in range(8):
        deadline = outbox.deadline_us()
        assert deadline is not None
        waits.append((deadline - now) / S)
        assert outbox.to_send(deadline - 1) == []
        assert _sequences(outbox.to_send(deadline)) == [1]
        now = deadline
    assert 15 <= waits[0] <= 45
    assert all(low * 0.5 <= wait <= low * 1.5
               for wait, low in zip(waits, (30, 60, 120, 240, 480, 600, 600, 600), strict=True))  # fmt: skip
    assert max(waits) <= PATIENCE_MAX_S * 1.5


def test_nothing_is_sent_without_a_connection() -> None:
    outbox = Outbox(random.Random(7))
    outbox.put(b"x")
    assert outbox.to_send(0) == []
    outbox.connected()
    assert len(outbox.to_send(0)) == 1


class ALossyLine(RuleBasedStateMachine):
    """An outbox and a platform with a mark per gateway, joined by a line that can be cut at any moment."""

    @initialize(seed=st.integers(0, 9))
    def begin(self, seed: int) -> None:
        self.outbox = Outbox(random.Random(seed), window=4)
        self.now = 0
        self.put: list[bytes] = []
        self.wire: list[Sent] = []
        self.answers: list[tuple[str, int]] = []
        self.mark: Mark | None = Mark(0)
        self.kept: list[bytes] = []
        self.online = False

    @rule()
    def connect(self) -> None:
        self.wire, self.answers, self.online = [], [], True
        self.outbox.connected()

    @rule()
    def cut(self) -> None:
        self.wire, self.answers, self.online = [], [], False
        self.outbox.disconnected()

    @rule()
    def submit(self) -> None:
        payload = str(len(self.put)).encode()
        self.put.append(payload)
        assert self.outbox.put(payload) == len(self.put)

    @rule(seconds=st.integers(0, 100))
    def pump(self, seconds: int) -> None:
        self.now += seconds * S
        sent = self.outbox.to_send(self.now)
        assert self.online or not sent
        assert _sequences(sent) == sorted(_sequences(sent))
        self.wire += sent

    @precondition(lambda self: self.wire)
    @rule(lost=st.booleans())
    def arrive(self, lost: bool) -> None:
        frame = self.wire.pop(0)
        if lost:
            return
        after, seen = observe(self.mark, frame.sequence)
        if seen is Seen.ahead:
            assert self.mark is not None
            self.answers.append(("resend", self.mark.contiguous + 1))
            return
        if seen is Seen.new:
            self.mark = after
            self.kept.append(frame.payload)
        self.answers.append(("stored", frame.sequence))

    @precondition(lambda self: self.answers)
    @rule(lost=st.booleans())
    def answer(self, lost: bool) -> None:
        status, sequence = self.answers.pop(0)
        if lost:
            return
        if status == "resend":
            self.outbox.resend(sequence)
        else:
            self.outbox.answered(sequence, self.now)

    @invariant()
    def nothing_is_lost_doubled_or_out_of_order(self) -> None:
        if not hasattr(self, "outbox"):
            return
        assert self.kept == self.put[: len(self.kept)]
        unanswered_at_the_platform = len(self.put) - len(self.kept)
        assert len(self.outbox) >= unanswered_at_the_platform

    def teardown(self) -> None:
        """Once the line holds, everything arrives."""
        if not hasattr(self, "outbox"):
            return
        self.connect()
        for _ in range(10 * len(self.put) + 10):
            self.pump(700)
            while self.wire:
                self.arrive(lost=False)
            while self.answers:
                self.answer(lost=False)
        assert self.kept == self.put
        assert len(self.outbox) == 0


TestALossyLine = ALossyLine.TestCase
TestALossyLine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def _with_file(path: Path, epoch: int) -> tuple[OutboxFile, Outbox]:
    file = OutboxFile(path, new_epoch=epoch)
    outbox = Outbox(random.Random(1), next_sequence=file.next_sequence, kept=file.kept, store=file)
    outbox.connected()
    return file, outbox


def test_an_outbox_on_disk_goes_on_in_its_epoch_where_it_stopped(tmp_path: Path) -> None:
    file, outbox = _with_file(tmp_path / "gw", 100)
    for text in (b"a", b"b", b"c"):
        outbox.put(text)
    outbox.answered(2, 0)
    file.close()
    file, outbox = _with_file(tmp_path / "gw", 200)
    assert file.epoch == 100
    assert [(f.sequence, f.payload) for f in outbox.to_send(0)] == [(1, b"a"), (3, b"c")]
    assert outbox.put(b"d") == 4
    file.close()


def test_a_journal_whose_frames_are_all_answered_begins_anew_but_keeps_counting(tmp_path: Path) -> None:
    file, outbox = _with_file(tmp_path / "gw", 100)
    for _ in range(50):
        outbox.answered(outbox.put(b"x" * 1000), 0)
    file.close()
    assert (tmp_path / "gw").stat().st_size < 100
    file, outbox = _with_file(tmp_path / "gw", 200)
    assert (file.epoch, outbox.put(b"y")) == (100, 51)
    file.close()


@given(cut=st.integers(0, 200))
@settings(max_examples=60, deadline=None)
def test_a_journal_torn_anywhere_keeps_what_was_whole(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("outbox") / "gw"
    file, outbox = _with_file(path, 100)
    for number in range(4):
        outbox.put(bytes([number]) * 10)
    file.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    file, outbox = _with_file(path, 200)
    frames = outbox.to_send(0)
    assert [f.payload for f in frames] == [bytes([n]) * 10 for n in range(len(frames))]
    assert len(frames) == max(0, min(4, (cut - 24) // 27))
    outbox.put(b"after")
    file.close()
    file, outbox = _with_file(path, 300)
    assert outbox.to_send(0)[-1].payload == b"after"
    file.close()
