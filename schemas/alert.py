"""An alert 报警: what a rule raised, by machine, and every change of it until it clears.

Each message of an episode carries `seq` 1, 2, ...; a consumer applies only what is higher than what
it has. The body is a function of the log alone: a second reader of the same log makes the same bytes.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
from typing import Any, Literal

import msgspec

from schemas.clock import to_us


class Level(enum.IntEnum):
    """1 red 一级 is the most severe, 4 blue 四级 the least."""

    red = 1
    orange = 2
    yellow = 3
    blue = 4


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the cause probably is, if a detector can tell."""

    text_zh: str
    text_en: str
    lon: float
    lat: float
    within_m: float


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why. `value`, `limit` and `baseline` are in the category's unit; `window` is the span looked at."""

    text_zh: str
    text_en: str
    source: str
    confidence: str
    value: float | None = None
    unit: str | None = None
    limit: float | None = None
    baseline: float | None = None
    condition: str | None = None  # the rule's own words, e.g. "v>=2.5"
    window: dict[str, str] | None = None  # {"from": RFC 3339, "to": RFC 3339}
    neighbours: list[dict[str, Any]] = []  # {"subject", "value", "agrees"}
    unguarded: list[str] = []  # conditions that could not be judged, and why
    place: Place | None = None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    alert_id: str
    seq: int
    change: Literal["raise", "upgrade", "downgrade", "update", "clear"]
    mode: Literal["live", "canary", "shadow"]
    rule: str
    rule_version: str
    subject: str  # sensor/{gateway}/{point} | gateway/{id} | zone/{id}
    category: str | None
    network: str  # the catalogue's domain, "device" for our own faults
    zone: str | None
    district: str | None
    level: int  # of this message; on clear, the level it had
    worst: int  # the most severe level of the episode so far
    state: Literal["active", "cleared"]
    since: dt.datetime  # event time of the first reading that met the condition
    observed_at: dt.datetime  # event time (city time for ticks) of what made this message
    evidence: Evidence
    published_at: dt.datetime | None  # wall: the gateway's publish, else receipt, of what decided
    correlation: str | None  # "gateway/epoch/sequence" of the frame that decided; None for a tick
    asset: str | None = None
    suppressed: str | None = None  # the sensor is in commissioning or maintenance: recorded, told to nobody


_decoder = msgspec.json.Decoder(Alert)


def encode(alert: Alert) -> bytes:
    return msgspec.json.encode(alert)


def decode(data: bytes) -> Alert:
    """Raises msgspec.DecodeError naming the field."""
    return _decoder.decode(data)


def alert_id(rule: str, mode: str, subject: str, since: dt.datetime | int) -> str:
    """The identity of an episode: the same for every reader of the same log.

    >>> alert_id("gas-manhole-methane", "live", "sensor/gw-1/ch4", 1_700_000_000_000_000)
    'd221cb66a1c735d592726c01486d7959'
    """
    since_us = since if isinstance(since, int) else to_us(since)
    text = "\x1f".join((rule, mode, subject, str(since_us)))
    return hashlib.sha256(text.encode()).digest()[:16].hex()
