"""A reject: input that was refused, with why and its raw bytes, as it stands on the `rejects` topic.

Nothing that arrives is dropped silently: what cannot become a reading becomes one of these, is counted by
source and reason, shown to people, and can be decoded again after a fix.
"""

from __future__ import annotations

import datetime as dt

import msgspec


class Reject(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`source` is the gateway where it is known, else what is known of the sender (an address, a user name).
    `raw` is base64 in the JSON."""

    source: str
    reason: str  # schemas.reading.Reason
    received_at: dt.datetime  # city time, as of readings
    raw: bytes
    detail: str = ""  # what was expected and what came, for a person
    topic: str | None = None  # the MQTT topic, or the listener
    correlation: str | None = None  # "gateway/epoch/sequence"
    count: int = 1  # readings that this record stands for
    point: str | None = None  # the gateway's name of the measuring point, where one reading was refused


_decoder = msgspec.json.Decoder(Reject)


def encode(reject: Reject) -> bytes:
    return msgspec.json.encode(reject)


def decode(data: bytes) -> Reject:
    """Raises msgspec.DecodeError naming the field."""
    return _decoder.decode(data)
