"""Who sent a frame, and how it is answered: topics, correlation data, the words of an answer.

Pure. A gateway names its frame by 16 bytes of correlation data (epoch, sequence), by 8 (sequence of epoch 0),
or, over MQTT 3.1.1, in the topic. A frame without correlation data gets no answer. Answers go only below
down/{gateway}/, whatever response topic was asked for.
"""

from __future__ import annotations

import json
import struct
from typing import NamedTuple

from ingest.message import Message
from schemas import topics

_BOTH = struct.Struct(">QQ")
_ONE = struct.Struct(">Q")
_NO_TOPIC = ("+", "#", "\0")  # the broker lets a gateway ask for its answer at a filter


class Origin(NamedTuple):
    """Where a message came from: `form` is the third level of its topic, `sequence` its (epoch, sequence)."""

    gateway: str
    form: str
    sequence: tuple[int, int] | None
    in_topic: bool  # the sequence stood in the topic, as MQTT 3.1.1 has no correlation data


def origin(message: Message) -> Origin:
    """The levels of up/{gateway}/{form}[/{epoch}/{sequence}]; other topics give a form that no one knows."""
    _, _, rest = message.topic.partition("/")
    gateway, _, form = rest.partition("/")
    levels = form.split("/")
    if len(levels) == 3 and all(_is_number(level) for level in levels[1:]):
        return Origin(gateway, levels[0], (int(levels[1]), int(levels[2])), True)
    return Origin(gateway, form, _sequence(message.correlation), False)


def _is_number(level: str) -> bool:
    return level.isascii() and level.isdigit() and len(level) <= 20 and int(level) < 1 << 64


def _sequence(correlation: bytes | None) -> tuple[int, int] | None:
    if correlation is None:
        return None
    if len(correlation) == _BOTH.size:
        epoch, sequence = _BOTH.unpack(correlation)
        return epoch, sequence
    if len(correlation) == _ONE.size:
        return 0, int(_ONE.unpack(correlation)[0])
    return None


def name(origin: Origin) -> str:
    """What log lines and alerts call a frame: "gateway/epoch/sequence"."""
    if origin.sequence is None:
        return f"{origin.gateway}/-/-"
    return f"{origin.gateway}/{origin.sequence[0]}/{origin.sequence[1]}"


def topic_of(message: Message, gateway: str) -> str:
    """Where the answer goes."""
    asked = message.response_topic
    if asked and asked.startswith(f"down/{gateway}/") and not any(sign in asked for sign in _NO_TOPIC):
        return asked
    return topics.ack_topic(gateway)


def wanted(message: Message, origin: Origin) -> bool:
    return origin.in_topic or message.correlation is not None


def outcome(origin: Origin, status: str, reason: str | None = None, rejected: int = 0) -> bytes:
    """stored, duplicate or rejected."""
    words: dict[str, str | int] = {"status": status}
    if reason is not None:
        words["reason"] = reason
    if rejected:
        words["rejected"] = rejected
    return _said(origin, words)


def resend(origin: Origin, first: int) -> bytes:
    return _said(origin, {"status": "resend", "from": first})


def _said(origin: Origin, words: dict[str, str | int]) -> bytes:
    if origin.in_topic and origin.sequence is not None:
        words = {"epoch": origin.sequence[0], "sequence": origin.sequence[1], **words}
    return json.dumps(words, separators=(",", ":")).encode()
