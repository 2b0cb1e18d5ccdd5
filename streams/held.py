"""The partitions a worker holds: from assignment to release, with their snapshots in between.

The order that makes kill -9 harmless is here: alerts acknowledged by Kafka, snapshot on disk, messages
acknowledged to Faust (which commits them). A snapshot is copied at once, so that folding goes on, and
written by a thread: whole, or what changed since the last whole one. On assignment a partition goes on
behind its newest usable snapshot; without one streams/rewind.py says from where. Does not fold:
streams/detect.py does, under the same lock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import Counter, Gauge, Histogram

from detectors.fold import SnapshotError
from detectors.learning import count
from detectors.program import Program
from detectors.snapshot import Copy, pack
from schemas import topics
from streams.lane import Lane, restored_lane, rewound_lane
from streams.publish import Sent
from streams.rewind import rewind
from streams.rules import Versions
from streams.state import Header, Snapshots, Superseded

log = logging.getLogger(__name__)

SNAPSHOT_SECONDS = Histogram(
    "cityvigil_detect_snapshot_seconds", "waiting for alerts and writing one snapshot"
)
SNAPSHOT_BYTES = Gauge("cityvigil_detect_snapshot_bytes", "size of the last snapshot", ["partition"])
SNAPSHOTS = Counter(
    "cityvigil_detect_snapshots_total", "snapshots written: whole, or changes to one", ["kind"]
)
COPY_SECONDS = Histogram(
    "cityvigil_detect_snapshot_copy_seconds",
    "copying the state, during which its stream stands still",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
)
COPIED_BYTES = Counter(
    "cityvigil_detect_snapshot_copied_bytes_total", "state copied in memory to be written; once a snapshot"
)

LEARNING = Gauge(
    "cityvigil_detect_learning_sensors",
    "sensors with a condition that still learns what is usual; alone: nothing else judges them",
    ["partition", "judged"],
)

LOOK_MS = 5_000
COUNT_EVERY_S = 60.0
SNAPSHOT_EVERY_S = 5.0
"""At the latest, if anything came, so that what waits for a place in the log is not kept waiting; before that
when reading again would take `replay_s`. Only changed rows are written: a tenth of 234,000 costs 33 ms."""

WHOLE_ABOVE = 0.5
"""Share of the sensors that changed since the last whole snapshot, above which the next one is whole too."""


class LostMessages(RuntimeError):
    """An offset came that is not the one after the last: what is between has to be read again, unless the
    log itself has nothing there."""

    def __init__(self, partition: int, first: int, before: int) -> None:
        super().__init__(f"partition {partition}: expected {first}, got {before}")
        self.first, self.before = first, before


class Message(Protocol):
    """What Faust delivers, as far as we look at it."""

    offset: int
    value: Any

    def ack(self, consumer: Any) -> bool: ...


class Base(NamedTuple):
    """The last whole snapshot on disk; changes since then can be written for the same program only."""

    crc: str
    program: Program


@dataclass(slots=True)
class Held:
    """One partition. What is `folded` is acknowledged with the next snapshot, whose alerts are in `sent`."""

    lane: Lane
    generation: int
    waiting: list[Message] = field(default_factory=list)  # delivered, not folded
    folded: list[Message] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    next_delivery: int | None = None  # None before any seek
    replay_s: float = 0.0  # what reading again from the last snapshot would take
    snapshot_at: float = field(default_factory=time.monotonic)
    writing: asyncio.Task[None] | None = None
    base: Base | None = None
    counted_at: float = float("-inf")  # those that still learn
    leaving: bool = False

    def unseen(self, messages: list[Message]) -> list[tuple[int, bytes]]:
        """Those that the state does not hold. Raises LostMessages when Faust skipped some."""
        found: list[tuple[int, bytes]] = []
        for message in messages:
            if self.next_delivery is not None and message.offset > self.next_delivery:
                raise LostMessages(self.lane.number, self.next_delivery, message.offset)
            self.next_delivery = max(message.offset + 1, self.next_delivery or 0)
            behind = found[-1][0] + 1 if found else self.lane.next_offset
            if message.offset > behind:
                log.error("partition %d: offsets %d to %d are not in the log",
                          self.lane.number, behind, message.offset - 1)  # fmt: skip
            if message.offset >= behind:
                found.append((message.offset, message.value))
        return found


class Partitions:
    """All that this worker holds. Whoever folds or changes what is held takes `lock`."""

    def __init__(
        self,
        *,
        versions: Versions,
        snapshots: Snapshots,
        kafka: str,
        offsets: AIOKafkaConsumer,
        replay_s: float,
        failed: Callable[[BaseException], None],
    ) -> None:
        self.held: dict[int, Held] = {}
        self.lock = asyncio.Lock()
        self._versions = versions
        self._snapshots = snapshots
        self._kafka = kafka
        self._offsets = offsets
        self._replay_s = replay_s
        self._failed = failed

    async def assign(self, committed: Mapping[int, int | None], generation: int) -> dict[int, int]:
        """Takes hold of these partitions and no others; the offset to read each from."""
        async with self.lock:
            for number in set(self.held) - set(committed):
                self._drop(number)
            begins, ends = await self.bounds(committed)
            for number in set(committed) - set(self.held):
                lane, found = await self._lane(number, begins[number], ends[number], committed[number])
                # Whoever is assigned is the newest, even if Kafka forgot the group and counts from 1.
                self.held[number] = Held(lane, max(generation, found))
            starts: dict[int, int] = {}
            for number, commit in committed.items():
                held = self.held[number]
                held.generation = max(held.generation, generation)
                held.waiting.clear()
                next_offset = held.lane.next_offset
                # From the commit on even if the snapshot holds more: Faust commits without holes only.
                starts[number] = max(
                    begins[number], next_offset if commit is None else min(commit, next_offset)
                )
                held.next_delivery = starts[number]
            return starts

    async def lacks(self, number: int, first: int, before: int) -> bool:
        """Whether the log itself holds nothing from `first` up to `before`."""
        partition = TopicPartition(topics.READINGS.name, number)
        self._offsets.assign([partition])
        try:
            self._offsets.seek(partition, first)
            found = await self._offsets.getmany(partition, timeout_ms=LOOK_MS, max_records=1)
        finally:
            self._offsets.unsubscribe()
        return any(message.offset >= before for message in found.get(partition, ()))

    async def release(self, partitions: set[int], consumer: Any) -> None:
        """Alerts, snapshot, acknowledgement, commit; then lets go."""
        async with self.lock:
            for number in sorted(partitions & set(self.held)):
                held = self.held[number]
                held.waiting.clear()
                held.leaving = True
                if held.writing is not None:
                    await held.writing
                if held.folded:
                    await self._start_snapshot(held, consumer)
            if consumer.assignment():
                await consumer.commit()
            for number in partitions:
                self._drop(number)

    def snapshot_if_due(self, held: Held, consumer: Any) -> None:
        """In the background, one at a time; folding goes on. Raises what sending an alert raised."""
        if held.lane.rewind is not None:  # nothing to acknowledge yet, and half a state
            held.folded, held.replay_s = [], 0.0
            return
        for future in held.sent:
            if future.done():
                future.result()
        held.sent = [future for future in held.sent if not future.done()]
        if held.writing is not None and not held.writing.done():
            return
        self._count(held)
        late = time.monotonic() - held.snapshot_at >= SNAPSHOT_EVERY_S
        if held.folded and (late or held.replay_s >= self._replay_s / len(self.held)):
            held.writing = self._start_snapshot(held, consumer)

    def writing(self) -> list[asyncio.Task[None]]:
        return [held.writing for held in self.held.values() if held.writing and not held.writing.done()]

    async def bounds(self, partitions: Mapping[int, object]) -> tuple[dict[int, int], dict[int, int]]:
        """The first offset that Kafka kept, and the end, of each."""
        tps = [TopicPartition(topics.READINGS.name, number) for number in partitions]
        begins = await self._offsets.beginning_offsets(tps)
        ends = await self._offsets.end_offsets(tps)
        return {tp.partition: begins[tp] for tp in tps}, {tp.partition: ends[tp] for tp in tps}

    def _start_snapshot(self, held: Held, consumer: Any) -> asyncio.Task[None]:
        """Takes the state as it is now; done when it is on disk and its messages are acknowledged."""
        fold = held.lane.fold
        base = held.base if held.base is not None and held.base.program is fold.program else None
        if fold.changed_share() > WHOLE_ABOVE:
            base = None
        with COPY_SECONDS.time():
            copy = fold.copy(whole=base is None)
        COPIED_BYTES.inc(copy.copied_bytes)
        header = held.lane.header(held.generation)
        saving = self._save(held, header, copy, base, held.sent, held.folded, consumer)
        held.sent, held.folded, held.replay_s, held.snapshot_at = [], [], 0.0, time.monotonic()
        task = asyncio.create_task(saving, name=f"snapshot of partition {held.lane.number}")
        task.add_done_callback(self._saved)
        return task

    async def _save(
        self,
        held: Held,
        header: Header,
        copy: Copy,
        base: Base | None,
        sent: list[Sent],
        folded: list[Message],
        consumer: Any,
    ) -> None:
        try:
            with SNAPSHOT_SECONDS.time():
                await asyncio.gather(*sent)
                crc, size = await asyncio.to_thread(self._written, header, copy, base)
        except Superseded as error:
            if not held.leaving:
                raise
            log.warning("%s: left to it", error)
            return
        if base is None:
            held.base = Base(crc, copy.program)
        SNAPSHOT_BYTES.labels(header.partition).set(size)
        SNAPSHOTS.labels("whole" if base is None else "changes").inc()
        for message in folded:
            message.ack(consumer)

    def _written(self, header: Header, copy: Copy, base: Base | None) -> tuple[str, int]:
        return self._snapshots.write(header, pack(copy), base.crc if base else None)

    def _count(self, held: Held) -> None:
        """How many sensors are not guarded yet by something that must be learned first."""
        if time.monotonic() - held.counted_at < COUNT_EVERY_S:
            return
        held.counted_at = time.monotonic()
        every, alone = count(held.lane.fold)
        LEARNING.labels(held.lane.number, "besides").set(every - alone)
        LEARNING.labels(held.lane.number, "alone").set(alone)

    def _saved(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._failed(error)

    async def _lane(self, number: int, begin: int, end: int, committed: int | None) -> tuple[Lane, int]:
        """From the newest usable snapshot, with its generation; else from the log."""
        for snapshot in self._snapshots.usable(number):
            at = snapshot.header.offset
            if at >= end:
                log.warning(
                    "partition %d: snapshot of offset %d, but the log ends at %d: passed over",
                    number,
                    at,
                    end,
                )
                continue
            try:
                lane = await restored_lane(snapshot, self._versions)
            except SnapshotError as error:
                log.warning("partition %d: snapshot of offset %d: %s: passed over", number, at, error)
                continue
            log.info("partition %d: goes on at offset %d of %d", number, lane.next_offset, end)
            return lane, snapshot.header.generation
        found = await rewind(self._kafka, number, begin, end, committed)
        lane = await rewound_lane(number, self._versions, found)
        if end > begin:
            log.warning("partition %d: no usable snapshot: reads offsets %d to %d again",
                        number, found.start, end - 1)  # fmt: skip
        if found.told is not None:
            log.warning("partition %d: untold up to offset %d, as episodes may have begun before %d;"
                        " longer windows warm up", number, found.told_to, found.start)  # fmt: skip
            if committed is not None and committed < begin:
                log.error("partition %d: offsets %d to %d are gone and were never read",
                          number, committed, begin - 1)  # fmt: skip
        return lane, 0

    def _drop(self, number: int) -> None:
        held = self.held.pop(number, None)
        if held is not None:
            log.info("partition %d: let go at offset %d", number, held.lane.next_offset)
