"""The way in for frames that no sequence orders: those of TCP lines, HTTP pushes and Sparkplug's edge
nodes.

Results of a decoder become records of a registered gateway in its partition's queue, what cannot be used
becomes rejects, and what is returned is done when Kafka has both: only then may the sender be answered. The
order of calls is the order of the log. Senders whom the registry does not know are refused as unknown, with
an example; made-up names do not grow any table. SenML and everything else in a gateway's envelope goes by
`ingest/intake.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from prometheus_client import Counter

from ingest import rejects
from ingest.decoded import Rejected
from ingest.formats.columns import columns
from ingest.formats.meanings import meant
from ingest.formats.result import Bad, Item, Reading, Seen
from ingest.identities import Identities, default_id
from ingest.intake import Outlets
from ingest.packing import Segment
from ingest.registry import Follower
from ingest.repeats import Repeats, content
from ingest.resolve import resolve
from schemas import credential, registry, reject
from schemas.clock import CityClock
from schemas.frame import SegmentFlag
from schemas.reading import Reason
from schemas.reject import Reject

log = logging.getLogger(__name__)

REPEAT = "repeat"
"""What a connection calls a frame that it has seen before (ingest/connections/session.py)."""

UNKNOWN_SHOWN = 500
"""Names of unknown senders that stand in the rejects one by one; further ones share a name."""

FRAMES = Counter(
    "cityvigil_ingest_native_frames_total",
    "frames of field protocols, by what became of them",
    ["protocol", "status"],
)


class Arrival(NamedTuple):
    """A frame as it came. `raw` is what stands in a reject; `way` is its topic or listener, for people."""

    protocol: str
    items: Sequence[Item]
    raw: bytes
    way: str
    sender: str
    """What is known of the sender before its frame says more: an address, or a gateway."""
    received_wall: int
    gateway: str | None = None
    """The gateway where the way itself says it; else the identity in the items is looked up."""
    is_alive: bool = True
    """Whether the gateway has spoken; of a dead one the broker speaks."""
    password: str | None = None
    """What the frame gives as its sender's password, where its protocol has one."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """`stored` is done when Kafka has all of it. `gateways` are the registered ones that it spoke for."""

    stored: asyncio.Future[None]
    gateways: tuple[str, ...]
    rejected: int = 0


class Admission:
    """`heard` is told of each registered gateway that has spoken."""

    def __init__(
        self,
        *,
        clock: CityClock,
        follower: Follower,
        outlets: Outlets,
        heard: Callable[[str], None],
        repeats: Repeats,
    ) -> None:
        self._clock = clock
        self._follower = follower
        self._outlets = outlets
        self._heard = heard
        self._repeats = repeats
        self._identities = Identities(follower.registry)
        self._again: Tally[str] = Tally()
        self._unknown: set[str] = set()
        self._proven: dict[str, tuple[str, str | None]] = {}  # hashing takes a while, frames come often

    def gateway_of(self, protocol: str, identity: str | None) -> str | None:
        return self._identities.gateway_of(protocol, identity)

    def admit(self, came: Arrival) -> Admitted:
        """Queues everything that the frame holds."""
        loop = asyncio.get_running_loop()
        received_us = self._clock.city_us(came.received_wall)
        futures: list[asyncio.Future[None]] = []
        gateways: dict[str, None] = {}
        rejected = 0
        for identity, items in _by_identity(came.items).items():
            gateway = came.gateway or self.gateway_of(came.protocol, identity)
            readings = sum(isinstance(item, Reading) for item in items)
            if gateway is None:
                if readings:
                    rejected += readings
                    futures += self._put_rejects(self._unknown_sender(came, identity, readings, received_us))
                    FRAMES.labels(came.protocol, "unknown").inc()
                continue
            if not self._is_proven(came, gateway):
                if readings:
                    rejected += readings
                    futures += self._put_rejects(_unproven(came, gateway, readings, received_us))
                FRAMES.labels(came.protocol, "password").inc()
                continue
            gateways[gateway] = None
            if any(isinstance(item, Seen) and item.frame == REPEAT for item in items):
                self._repeated(came.protocol, gateway)
            if came.is_alive:
                self._heard(gateway)
            refused, stored = self._store(came, gateway, items, received_us)
            rejected += refused
            futures += stored
        bad = [item for item in came.items if isinstance(item, Bad)]
        if bad:
            source = next(iter(gateways), came.sender)
            rejected += len(bad)
            FRAMES.labels(came.protocol, "bad").inc()
            for one in bad[: rejects.EACH]:
                frame = Rejected(one.reason, came.raw, one.detail, one.at)
                futures += self._put_rejects(rejects.of_frame(frame, source, received_us, came.way, None))
        if not futures:
            done: asyncio.Future[None] = loop.create_future()
            done.set_result(None)
            return Admitted(done, tuple(gateways), rejected)
        return Admitted(_all_of(futures), tuple(gateways), rejected)

    def lets_in(self, gateway: str, password: str | None) -> bool:
        """Whether this is a gateway's password; one that has none is not let in by any."""
        entry = self._follower.registry.gateways.get(gateway)
        return entry is not None and entry.password is not None and self._matches(entry, password)

    def sent_again(self, partition: int) -> dict[str, int]:
        """Frames that senders of a partition have sent again since this was asked last."""
        there = [one for one in self._again if self._partition(one) == partition]
        return {gateway: self._again.pop(gateway) for gateway in there}

    def _repeated(self, protocol: str, gateway: str) -> None:
        FRAMES.labels(protocol, REPEAT).inc()
        if protocol != "sparkplug":  # a birth repeats what was said because it was asked to
            self._again[gateway] += 1

    def _partition(self, gateway: str) -> int:
        return self._follower.registry.partition_of(gateway) % len(self._outlets.readings)

    def _is_proven(self, came: Arrival, gateway: str) -> bool:
        """Whether the password is the one that the registry wants of this gateway, if it wants one. Where the
        way itself said whose the frame is, the gateway has logged in."""
        entry = self._follower.registry.gateways.get(gateway)
        return (
            came.gateway is not None
            or entry is None
            or entry.password is None
            or self._matches(entry, came.password)
        )

    def _matches(self, entry: registry.Gateway, password: str | None) -> bool:
        assert entry.password is not None, "asked only of those that have one"
        gateway, given = entry.gateway, (entry.password, password)
        if self._proven.get(gateway) == given:
            return True
        if not credential.matches(*given):
            return False
        self._proven[gateway] = given
        return True

    def _store(
        self, came: Arrival, gateway: str, items: Sequence[Item], received_us: int
    ) -> tuple[int, list[asyncio.Future[None]]]:
        """How many readings were refused, and what to wait for."""
        follower = self._follower
        readings = (meant(item, gateway, follower.registry) for item in items if isinstance(item, Reading))
        table = columns((one._replace(gateway=None) for one in readings), received_us).get(None)
        if table is None:
            return 0, []
        points = follower.points(gateway)
        found = resolve(table, points, follower.registry, follower.number, False)
        after: asyncio.Future[None] | None = None
        for sensor in found.entered:
            follower.entered(sensor)
            after = self._outlets.sensors.put(registry.encode(sensor), sensor.key.encode())
        futures: list[asyncio.Future[None]] = []
        digest = content(gateway, found.records, found.texts)
        known = self._repeats.find(digest, came.received_wall) if len(found.records) else None
        if known is not None:
            self._repeated(came.protocol, gateway)
            return 0, [known.stored] if known.stored is not None else []
        if found.refused:
            excerpt: Callable[[Iterable[int]], bytes] = partial(_whole, came.raw)
            futures += self._put_rejects(
                rejects.of_records(found.refused, excerpt, gateway, received_us, came.way, None)
            )
        if len(found.records):
            lane = self._outlets.readings[self._partition(gateway)]
            segment = Segment(
                gateway, 0, 0, received_us, came.received_wall, 0, SegmentFlag(0), found.records, found.texts
            )
            stored = lane.put_frame(segment, after)
            self._repeats.remember(digest, came.received_wall, stored)
            futures.append(stored)
        FRAMES.labels(came.protocol, "stored" if len(found.records) else "rejected").inc()
        return len(found.refused), futures

    def _unknown_sender(
        self, came: Arrival, identity: str | None, readings: int, received_us: int
    ) -> list[Reject]:
        if not identity:
            frame = Rejected(
                Reason.credentials, came.raw, "the frame does not say whose it is", records=readings
            )
            return rejects.of_frame(frame, came.sender, received_us, came.way, None)
        name = f"{came.protocol}/{identity}"[:80]
        if name not in self._unknown and len(self._unknown) >= UNKNOWN_SHOWN:
            name = f"{came.protocol}/other"
        self._unknown.add(name)
        detail = (
            f"no gateway of the registry is {identity} of {came.protocol}: register one with the identity "
            f"{came.protocol}/{identity}, or one called {default_id(came.protocol, identity)}"
        )
        frame = Rejected(Reason.credentials, came.raw, detail, records=readings)
        return rejects.of_frame(frame, name, received_us, came.way, None)

    def _put_rejects(self, records: Sequence[Reject]) -> list[asyncio.Future[None]]:
        for one in records:
            rejects.count(one)
        log.info("%s: rejected (%s: %s)", records[0].source, records[0].reason, records[0].detail)
        return [self._outlets.rejects.put(reject.encode(one), one.source.encode()) for one in records]


def _unproven(came: Arrival, gateway: str, readings: int, received_us: int) -> list[Reject]:
    given = "another" if came.password else "none"
    detail = f"expected the password that the registry has for {gateway}, got {given}"
    frame = Rejected(Reason.credentials, came.raw, detail, records=readings)
    return rejects.of_frame(frame, gateway, received_us, came.way, None)


def _by_identity(items: Iterable[Item]) -> dict[str | None, list[Item]]:
    """Readings, and frames without any, by whom they are of."""
    found: dict[str | None, list[Item]] = {}
    for item in items:
        if isinstance(item, Reading | Seen):
            found.setdefault(item.gateway, []).append(item)
    return found


def _whole(raw: bytes, places: Iterable[int]) -> bytes:
    """A frame of these protocols is small: a reading that was refused is shown with all of it."""
    return raw


def _all_of(futures: Sequence[asyncio.Future[None]]) -> asyncio.Future[None]:
    if len(futures) == 1:
        return futures[0]

    async def all_of_them() -> None:
        for one in futures:
            await one

    return asyncio.ensure_future(all_of_them())
