"""A local process that fell is told from one that was stopped, and from one that never was."""

from __future__ import annotations

import signal
from pathlib import Path

from cityvigil import process


def test_only_what_was_started_and_ended_by_itself_has_fallen(tmp_path: Path) -> None:
    assert not process.has_fallen(tmp_path, "broker")
    started = process.spawn("broker", ["sleep", "60"], run=tmp_path, log=tmp_path / "log")
    assert not process.has_fallen(tmp_path, "broker")
    process.kill(started)
    assert process.has_fallen(tmp_path, "broker")


def test_what_was_stopped_on_purpose_is_not_missed(tmp_path: Path) -> None:
    started = process.spawn("broker", ["sleep", "60"], run=tmp_path, log=tmp_path / "log")
    assert process.stop(started, signal.SIGTERM, 10)
    process.forget(tmp_path, "broker")
    assert not process.has_fallen(tmp_path, "broker")
