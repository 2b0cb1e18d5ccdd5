"""An MQTT message as it came, with what is needed to acknowledge it."""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """`connection`, `mid` and `qos` are the session's own: see `Session.acknowledge`."""

    topic: str
    payload: bytes
    response_topic: str | None
    correlation: bytes | None
    published_wall: int  # the sender's word, 0 if it did not say
    received_wall: int
    mid: int
    qos: int
    connection: int
