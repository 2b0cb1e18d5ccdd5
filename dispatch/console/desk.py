"""What the console is given: the store, the people, history, rules, trust, and a clock.

`History` and `trust` are other edges' work, wired in by the front door; the shapes they owe are here. A
figure that nobody could measure is None and is shown as unknown, never as zero.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec
from starlette.requests import HTTPConnection

from dispatch.people import People
from dispatch.store import Store
from dispatch.video import Video
from schemas.clock import CityClock
from schemas.rule import Rule


class Point(Protocol):
    """A reading as history gives it; `time` is microseconds UTC, event time."""

    @property
    def time(self) -> int: ...
    @property
    def value(self) -> float: ...
    @property
    def quality(self) -> int: ...


class History(Protocol):
    """Readings and the registry's mirror. Sensors are rows of the `sensors` table by column name."""

    async def window(self, sensor: int, from_us: int, to_us: int, limit: int) -> Sequence[Point]: ...
    async def sensors(
        self,
        *,
        zone: str | None = None,
        category: str | None = None,
        state: str | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> Sequence[Mapping[str, Any]]: ...
    async def sensor(self, sensor: int) -> Mapping[str, Any] | None: ...
    async def sensor_by_point(self, gateway: str, point: str) -> Mapping[str, Any] | None: ...
    async def zones(self) -> Sequence[Mapping[str, Any]]: ...


class Devices(Protocol):
    """The registry's mirror with the health of its sensors; rows by column name, `now` is city time."""

    async def sensors(
        self,
        *,
        now: dt.datetime,
        q: str | None = None,
        zone: str | None = None,
        category: str | None = None,
        state: str | None = None,
        health: str | None = None,
        districts: frozenset[str] = frozenset(),
        only: Sequence[int] | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> Sequence[Mapping[str, Any]]: ...
    async def gateways(
        self,
        *,
        now: dt.datetime,
        q: str | None = None,
        zone: str | None = None,
        districts: frozenset[str] = frozenset(),
        after: str = "",
        limit: int = 50,
    ) -> Sequence[Mapping[str, Any]]: ...
    async def health(self, sensor: int) -> Sequence[Mapping[str, Any]]: ...
    async def refused(self, sensor: int, now: dt.datetime) -> int: ...
    async def siblings(self, gateways: Sequence[str]) -> Sequence[Mapping[str, Any]]: ...
    async def waiting(self) -> int: ...


class Unjudged(Protocol):
    """What a rule does not judge at a sensor: for a reason, or until it has learned it."""

    @property
    def rule(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def learns(self) -> bool: ...
    @property
    def begun(self) -> bool: ...
    @property
    def until_us(self) -> int | None: ...
    @property
    def alone(self) -> bool: ...


class FrameLedger(Protocol):
    """What each gateway said and where all of it is; no districts named: of all."""

    async def totals(self, districts: frozenset[str]) -> Mapping[str, Any]: ...
    async def worst(self, districts: frozenset[str], limit: int) -> Sequence[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Classified:
    """What a person says a point is that nobody registered."""

    gateway: str
    point: str
    category: str


class Rejects(msgspec.Struct, frozen=True):
    """How many inputs of a gateway were refused for a reason (schemas.reading.Reason)."""

    gateway: str
    reason: str
    count: int
    last_at: str | None = None  # RFC 3339, wall


class GatewayTrust(msgspec.Struct, frozen=True):
    gateway: str
    zone: str | None = None
    online: bool | None = None
    last_seen: str | None = None  # RFC 3339, wall


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """How far the screen can be believed; what `trust()` must answer, all of it optional."""

    stream_age_s: float | None = None  # wall seconds since the newest tick was processed
    held: Literal["disk"] | None = None  # why ingest takes nothing in
    ingest_lag_s: float | None = None  # from receipt to Kafka, p99 of the last minute
    gateways: int | None = None
    gateways_offline: int | None = None
    rules_version: int | None = None
    unguarded: int | None = None  # sensors with a condition that cannot be judged
    learning: int | None = None  # with one that still learns what is usual
    learning_alone: int | None = None  # and of these with nothing else that guards them
    offline: list[GatewayTrust] = []
    rejects: list[Rejects] = []


@dataclass(frozen=True, slots=True)
class Desk:
    store: Store
    people: People
    history: History
    clock: CityClock
    now: Callable[[], int]
    """Wall time, microseconds UTC."""
    trust: Callable[[], Awaitable[Mapping[str, Any]]]
    rules: Callable[[], Awaitable[Sequence[Rule]]]
    devices: Devices | None = None
    video: Video | None = None
    classify: Callable[[Sequence[Classified], str], Awaitable[int]] | None = None
    """Enters categories into the registry in somebody's name; the registry's new version. Raises ValueError
    with why not."""
    ledger: FrameLedger | None = None
    guard: Callable[[], Mapping[int, Sequence[Unjudged]] | None] | None = None
    """What nobody judges, by sensor; None where that is not known yet."""

    async def trusted(self) -> Trust:
        return msgspec.convert(dict(await self.trust()), Trust)


def desk_of(connection: HTTPConnection) -> Desk:
    desk: Desk = connection.app.state.desk
    return desk
