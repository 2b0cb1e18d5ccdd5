"""Answers to commands are counted, questions answered, anything else refused."""

from __future__ import annotations

import msgspec
import pytest

from ingest import commands
from ingest.decoded import Rejected

NOW_US = 1_767_225_600_000_001


def test_who_asks_for_the_time_gets_our_clock() -> None:
    answered = commands.reply(b'{"id":"7","op":"time"}', NOW_US)
    assert isinstance(answered, bytes)
    assert msgspec.json.decode(answered) == {
        "id": "7",
        "status": "done",
        "result": {"time": "2026-01-01T00:00:00.000001+00:00", "time_us": NOW_US},
    }


def test_an_unknown_question_is_answered_too() -> None:
    answered = commands.reply(b'{"id":7,"op":"reboot","args":{}}', NOW_US)
    assert isinstance(answered, bytes)
    assert msgspec.json.decode(answered) == {"id": 7, "status": "unsupported"}


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{", b'{"id":"7"}', b"\xff", b"[" * 5_000, b'{"op":"time"}']
)
def test_what_is_no_question_is_refused(payload: bytes) -> None:
    assert isinstance(commands.reply(payload, NOW_US), Rejected)


def test_a_result_is_any_json_object() -> None:
    assert commands.result(b'{"id":"7","status":"done"}') is None
    assert isinstance(commands.result(b"done"), Rejected)
    assert isinstance(commands.result(b"\xff"), Rejected)
