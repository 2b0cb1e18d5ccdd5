"""The journal under kills, two writers, a disk that refuses: nobody is told by two, nobody is forgotten."""

from __future__ import annotations

import datetime as dt
import fcntl
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dispatch.bypass_import import ended
from dispatch.claims import LEASE, Claim, Line
from dispatch.journal import Journal, Place
from dispatch.notify.channel import Outgoing
from tests.case_builders import NOON

KEYS = [f"alert-{n}/level-1/duty-desk/webhook" for n in range(4)]
WRITERS = ("bypass", "dispatch")


def a_notice(key: str = KEYS[0]) -> Outgoing:
    payload = {"alert_id": key.partition("/")[0]}
    return Outgoing(
        key=key, recipient="duty-desk", step="level-1", level=1, payload=payload, caused_at=NOON, attempt=1
    )


class TwoWritersOneJournal(RuleBasedStateMachine):
    """Each may be killed at any moment, also in the middle of a line; time passes as it likes."""

    @initialize()
    def begin(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.now = NOON
        self.journals = {by: self._opened(by) for by in WRITERS}
        self.flying: dict[tuple[str, str], tuple[int, dt.datetime]] = {}
        self.delivered: dict[str, int] = {}
        self.excused: dict[str, int] = {}

    def _opened(self, by: str) -> Journal:
        journal = Journal(self.folder, by, lambda: self.now)
        journal.open()
        return journal

    @rule(by=st.sampled_from(WRITERS), keys=st.lists(st.sampled_from(KEYS), unique=True, min_size=1))
    def claim(self, by: str, keys: list[str]) -> None:
        for given_ in self.journals[by].claim([a_notice(key) for key in keys]):
            if isinstance(given_, Claim):
                assert given_.ended_at is not None or self.now < given_.free_for(by)
                continue
            others = [s for (who, key), (_, s) in self.flying.items() if key == given_.key and who != by]
            assert all(self.now >= since + LEASE for since in others), "two sent at once"
            assert (by, given_.key) not in self.flying or self.now >= self.flying[by, given_.key][1] + LEASE
            assert self.delivered.get(given_.key, 0) <= self.excused.get(given_.key, 0)
            self.flying[by, given_.key] = (given_.attempt, self.now)

    @rule(by=st.sampled_from(WRITERS), key=st.sampled_from(KEYS), how=st.sampled_from(["sent", "failed"]))
    def end(self, by: str, key: str, how: str) -> None:
        found = self.flying.get((by, key))
        if found is None or self.now >= found[1] + LEASE:  # no try takes that long
            return
        del self.flying[by, key]
        if how == "sent":
            self.delivered[key] = self.delivered.get(key, 0) + 1
            self.journals[by].ended(Line(what="sent", at=self.now, by=by, key=key, attempt=found[0]))
        else:
            self.journals[by].ended(
                Line(what="failed", at=self.now, by=by, key=key, attempt=found[0], due=self.now)
            )

    @rule(seconds=st.integers(0, 30))
    def wait(self, seconds: int) -> None:
        self.now += dt.timedelta(seconds=seconds)

    @rule(by=st.sampled_from(WRITERS), arrived=st.booleans(), torn=st.integers(0, 200))
    def kill(self, by: str, arrived: bool, torn: int) -> None:
        """What it had in flight may have arrived; of the line it was writing there is a part."""
        for who, key in [flight for flight in self.flying if flight[0] == by]:
            del self.flying[who, key]
            if arrived:
                self.delivered[key] = self.delivered.get(key, 0) + 1
                self.excused[key] = self.excused.get(key, 0) + 1
        for path in sorted(self.folder.glob("*.journal"))[-1:]:
            with path.open("ab") as file:
                file.write((b"0badc0de " + b'{"what":"try"' * 20)[:torn])
        self.journals[by] = self._opened(by)
        if by == "bypass":  # it holds the folder; dispatch has the lease of its row instead
            self.journals[by].land()

    @invariant()
    def nobody_is_told_twice_but_by_a_kill(self) -> None:
        for key, count in getattr(self, "delivered", {}).items():
            assert count <= 1 + self.excused.get(key, 0)

    def teardown(self) -> None:
        """In the end everything that was claimed is delivered, and imported once."""
        if not hasattr(self, "folder"):
            return
        self.now += 2 * LEASE
        self.flying.clear()
        journal = self._opened("bypass")
        for claim in journal.claims.unfinished("bypass", self.now):
            for granted in journal.claim([claim.notice]):
                assert isinstance(granted, Outgoing)
                journal.ended(
                    Line(what="sent", at=self.now, by="bypass", key=granted.key, attempt=granted.attempt)
                )
        assert journal.claims.unfinished("bypass", self.now + 2 * LEASE) == []
        lines, _ = journal.read(Place(0, 0))
        found = [claim.notice.key for claim in ended(lines, journal)]
        assert sorted(found) == sorted(journal.claims.by_key)
        self._folder.cleanup()


TestTwoWritersOneJournal = TwoWritersOneJournal.TestCase
TestTwoWritersOneJournal.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


@given(cut=st.integers(0, 2000))
@settings(max_examples=30, deadline=None)
def test_a_journal_torn_anywhere_keeps_its_whole_lines_and_goes_on(cut: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        journal = Journal(Path(name), "bypass", lambda: NOON)
        journal.claim([a_notice(key) for key in KEYS])
        (path,) = Path(name).glob("*.journal")
        data = path.read_bytes()
        path.write_bytes(data[:cut])
        whole = data[:cut].count(b"\n")
        again = Journal(Path(name), "bypass", lambda: NOON)
        again.open()
        assert list(again.claims.by_key) == KEYS[:whole]
        granted = again.claim([a_notice(key) for key in KEYS])
        assert [one.key for one in granted if isinstance(one, Outgoing)] == KEYS[whole:]
        last = Journal(Path(name), "dispatch", lambda: NOON)
        last.open()
        assert list(last.claims.by_key) == KEYS


def test_a_disk_that_refuses_keeps_nobody_from_being_told_and_is_written_later(tmp_path: Path) -> None:
    folder = tmp_path / "bypass"
    folder.write_text("a file where a folder should be")
    journal = Journal(folder, "bypass", lambda: NOON)
    journal.open()
    (granted,) = journal.claim([a_notice()])
    assert isinstance(granted, Outgoing)
    assert journal.trouble is not None
    assert isinstance(journal.claim([a_notice()])[0], Claim), "once is enough"
    journal.ended(Line(what="sent", at=NOON, by="bypass", key=KEYS[0], attempt=1))
    folder.unlink()
    journal.refresh()
    assert journal.trouble is None
    other = Journal(folder, "dispatch", lambda: NOON)
    (standing,) = other.claim([a_notice()])
    assert isinstance(standing, Claim)
    assert standing.ended_at == NOON


def test_a_writer_that_is_stopped_in_the_middle_keeps_nobody_from_being_told(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        journal = Journal(tmp_path, "bypass", lambda: NOON)
        (granted,) = journal.claim([a_notice()])
        assert isinstance(granted, Outgoing)
    journal.refresh()
    assert journal.trouble is None
    assert len(journal.read(Place(0, 0))[0]) == 1


def test_files_go_when_the_database_has_them_and_their_notices_are_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatch.journal.FILE_BYTES", 100)
    journal = Journal(tmp_path, "bypass", lambda: NOON)
    for key in KEYS:
        journal.claim([a_notice(key)])
        if key != KEYS[2]:
            journal.ended(Line(what="sent", at=NOON, by="bypass", key=key, attempt=1))
    files = sorted(tmp_path.glob("*.journal"))
    assert len(files) > 4
    journal.drop(Place(1, 0), NOON)
    assert sorted(tmp_path.glob("*.journal")) == files, "not imported yet"
    _, end = journal.read(Place(0, 0))
    journal.drop(end, NOON - dt.timedelta(days=1))
    assert sorted(tmp_path.glob("*.journal")) == files, "not old enough"
    journal.drop(end, NOON)
    assert KEYS[2] in journal.claims.by_key, "not ended"
    assert KEYS[0] not in journal.claims.by_key
    again = Journal(tmp_path, "dispatch", lambda: NOON)
    again.open()
    assert again.claims.by_key.keys() >= {KEYS[2]}


def test_the_place_of_another_journal_is_no_place_in_this_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "bypass", lambda: NOON)
    journal.claim([a_notice()])
    for place in (Place(1, 10_000_000), Place(7, 3)):
        assert len(journal.read(place)[0]) == 1
