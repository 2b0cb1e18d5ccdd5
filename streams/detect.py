"""The detect worker: the readings log through the detectors to alerts, as a member of a Kafka consumer group.

Faust delivers messages to one agent; what has been delivered is folded in batches by partition, a lone
frame at once. Any unexpected exception, in Faust or here, ends `run` (Faust would drop the event and go
on), and so does a partition that stands still while its log grows; the supervisor starts the worker again.
What an alert is, the detectors decide; what survives a kill stands in streams/held.py, Faust's habits in
app.py.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faust.streams import Stream
from faust.types import TP
from faust.types.streams import StreamT
from prometheus_client import Counter, Gauge, Histogram

from detectors.ready import make_ready
from schemas import topics
from streams import company
from streams.app import DetectApp, build_app
from streams.held import Held, LostMessages, Message, Partitions
from streams.places import is_local, place_of
from streams.publish import AlertWriter
from streams.rules import Versions
from streams.state import Snapshots
from streams.watchdog import Watchdog

log = logging.getLogger(__name__)

BATCHES = Counter("cityvigil_detect_batches_total", "batches folded")
BATCH_SECONDS = Histogram(
    "cityvigil_detect_batch_seconds",
    "folding one batch of one partition",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2),
)
LAG = Gauge("cityvigil_detect_lag_messages", "end of the log - processed", ["partition"])

BATCH_S = 0.05
BATCH_MESSAGES = 64
WAITING_MESSAGES = 512
MESSAGE_COST_S = 0.0003
"""What it takes Faust to deliver a message: with folding, what a replay costs."""

BUSY_WEIGHT = 0.1
"""Of one folding in the share of time that folding takes."""

QUIET_S = 0.005
"""Without a delivery, after which nothing that was fetched is on its way."""

REPLAY_S = 1.0
LOOK_EVERY_S = 2.0
STALLED_S = 20.0
STOP_WITHIN_S = 10.0


class Detect:
    """One worker. `worker` is its place in the group, the same after a restart; `now_us` is wall time.

    `snapshots` is a folder or the URL of a store; `shared` says that every worker reaches that folder.
    """

    def __init__(
        self,
        *,
        kafka: str,
        snapshots: str,
        shared: bool,
        worker: str,
        now_us: Callable[[], int],
        replay_s: float = REPLAY_S,
        stalled_s: float = STALLED_S,
    ) -> None:
        self._kafka = kafka
        self._snapshots = snapshots
        self._shared = shared or not is_local(snapshots)
        self._worker = worker
        self._now_us = now_us
        self._replay_s = replay_s
        self._watchdog = Watchdog(stalled_s)
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._partitions: Partitions | None = None
        self._stands_by: Callable[[], bool] = lambda: False
        self._begins = "the detectors are being compiled"

    def not_ready(self) -> str | None:
        held = self._partitions.held if self._partitions else {}
        if not held:
            # More workers than partitions to share: this one is ready to take over.
            return None if self._stands_by() else self._begins
        return next((why for one in held.values() if (why := one.lane.not_ready())), None)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, with a snapshot and a commit at the end. Raises whatever went wrong."""
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as resources:
            compiling = asyncio.create_task(asyncio.to_thread(make_ready), name="detect: compile")
            resources.callback(compiling.cancel)
            if not self._shared:
                await company.refuse(self._kafka, self._worker, self._snapshots, joining=True)
            cluster_id, self._of_partitions = await _log(self._kafka)
            place = place_of(self._snapshots, cluster_id, self._worker)
            snapshots = Snapshots(place)
            await asyncio.to_thread(snapshots.open)
            versions = await resources.enter_async_context(Versions(self._kafka))
            alerts = await resources.enter_async_context(AlertWriter(self._kafka, self._now_us))
            offsets = AIOKafkaConsumer(bootstrap_servers=self._kafka, enable_auto_commit=False)
            await offsets.start()
            resources.push_async_callback(offsets.stop)
            self._partitions = Partitions(
                versions=versions,
                snapshots=snapshots,
                kafka=self._kafka,
                offsets=offsets,
                replay_s=self._replay_s,
                failed=self._fail,
            )
            app = build_app(
                kafka=self._kafka,
                worker=self._worker,
                agent=self._agent,
                start_offsets=self._start_offsets,
                revoked=self._release,
            )
            self._app = app
            self._stands_by = lambda: app.unassigned
            resources.push_async_callback(_stop, app)
            await compiling
            self._begins = "no partition assigned yet"
            await app.start()
            await self._until_stopped(stop, alerts, self._partitions)

    async def _until_stopped(self, stop: asyncio.Event, alerts: AlertWriter, partitions: Partitions) -> None:
        works: dict[str, Coroutine[Any, Any, Any]] = {
            "stop": stop.wait(),
            "fold": self._fold_forever(alerts, partitions),
            "watch": self._watch_forever(partitions),
            "faust": _crashed(self._app),
        }
        tasks = [asyncio.create_task(work, name=f"detect: {name}") for name, work in works.items()]
        try:
            done, _ = await asyncio.wait({*tasks, self._failure}, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
            await self._release(set(partitions.held))
        finally:
            unfinished = [*tasks, *partitions.writing()]
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
            if not self._failure.cancel():
                self._failure.exception()  # known by now; or asyncio reports it as forgotten

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    # What Faust calls. It would log an exception and go on: each is handed to `run` as well.

    async def _agent(self, stream: StreamT[Any]) -> None:
        assert self._partitions is not None
        held = self._partitions.held
        async for event in cast(Stream[bytes], stream).noack().events():
            message = event.message
            if message.partition in held:
                held[message.partition].waiting.append(message)
                self._arrived.set()
            while sum(len(one.waiting) for one in held.values()) >= WAITING_MESSAGES:
                self._room.clear()
                await self._room.wait()

    async def _start_offsets(self, committed: Mapping[int, int | None]) -> Mapping[int, int]:
        assert self._partitions is not None
        try:
            return await self._partitions.assign(committed, self._app.consumer_generation_id)
        except Exception as error:
            self._fail(error)
            raise
        finally:
            self._room.set()

    async def _release(self, partitions: set[int]) -> None:
        assert self._partitions is not None
        try:
            await self._partitions.release(partitions, self._app.consumer)
        except Exception as error:
            self._fail(error)
            raise
        finally:
            self._room.set()

    # Folding

    async def _fold_forever(self, alerts: AlertWriter, partitions: Partitions) -> None:
        not_before, busy, ended = 0.0, 0.0, time.monotonic()
        while True:
            await self._arrived.wait()
            await self._gather(partitions, not_before)
            await self._wait_for_the_rest(partitions)
            self._arrived.clear()
            began = time.monotonic()
            async with partitions.lock:
                await self._fold_waiting(alerts, partitions)
            before, ended = ended, time.monotonic()
            busy += BUSY_WEIGHT * ((ended - began) / max(ended - before, 1e-6) - busy)
            not_before = ended + min(ended - began, BATCH_S) * max(0.0, 2 * busy - 1)
            self._room.set()

    async def _fold_waiting(self, alerts: AlertWriter, partitions: Partitions) -> None:
        """Apart from the loop around it, which would hold on to a partition that is given back."""
        for held in list(partitions.held.values()):
            if held.waiting:
                await self._fold(held, alerts, partitions)
                await asyncio.sleep(0)

    async def _gather(self, partitions: Partitions, not_before: float) -> None:
        """After folding, while that takes most of the time, as long again for frames to come: several cost
        little more than one. Who has time folds at once what is there."""
        full = any(len(held.waiting) >= BATCH_MESSAGES for held in partitions.held.values())
        if not full and (left := not_before - time.monotonic()) > 0:
            await asyncio.sleep(left)

    async def _wait_for_the_rest(self, partitions: Partitions) -> None:
        """While more of what was fetched is on its way to us; a lone frame never waits."""
        deadline = time.monotonic() + BATCH_S
        while self._more_comes(partitions) and (left := deadline - time.monotonic()) > 0:
            self._arrived.clear()
            try:
                async with asyncio.timeout(min(left, QUIET_S)):
                    await self._arrived.wait()
            except TimeoutError:
                return

    def _more_comes(self, partitions: Partitions) -> bool:
        waiting = {number: held.waiting for number, held in partitions.held.items() if held.waiting}
        if any(len(messages) >= BATCH_MESSAGES for messages in waiting.values()):
            return False
        ends = {n: self._app.consumer.highwater(TP(topics.READINGS.name, n)) for n in waiting}
        return any(messages[-1].offset + 1 < (ends[n] or 0) for n, messages in waiting.items())

    async def _fold(self, held: Held, alerts: AlertWriter, partitions: Partitions) -> None:
        messages = held.waiting[:BATCH_MESSAGES]
        del held.waiting[:BATCH_MESSAGES]
        if held.waiting:
            self._arrived.set()
        unseen = await self._unseen(held, messages, partitions)
        began = time.perf_counter()
        raised = await held.lane.take(unseen)
        took = time.perf_counter() - began
        held.sent += await alerts.send(raised)
        for message in messages:
            message.value = None  # it is kept for its acknowledgement only
        held.folded += messages
        held.replay_s += took + MESSAGE_COST_S * len(messages)
        BATCHES.inc()
        BATCH_SECONDS.observe(took)
        partitions.snapshot_if_due(held, self._app.consumer)

    async def _unseen(
        self, held: Held, messages: list[Message], partitions: Partitions
    ) -> list[tuple[int, bytes]]:
        """Raises LostMessages for a hole that is not in the log: the log is asked, Faust is not believed."""
        while True:
            try:
                return held.unseen(messages)
            except LostMessages as lost:
                if not await partitions.lacks(held.lane.number, lost.first, lost.before):
                    raise
                held.next_delivery = lost.before

    async def _watch_forever(self, partitions: Partitions) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                if not self._shared and len(partitions.held) < self._of_partitions:
                    await company.refuse(self._kafka, self._worker, self._snapshots, joining=False)
                _, ends = await partitions.bounds(dict(partitions.held))
            except KafkaError as error:
                log.warning("the ends of the log are unknown: %s", error)
                self._watchdog.excuse()
                continue
            if any(held.lane.compiling for held in partitions.held.values()):
                self._watchdog.excuse()
            processed = {number: held.lane.next_offset for number, held in partitions.held.items()}
            LAG.clear()  # a partition that went to another worker is that one's to tell
            for number, behind in self._watchdog.look(time.monotonic(), processed, ends).items():
                LAG.labels(number).set(behind)


async def _crashed(app: DetectApp) -> None:
    await app._crashed.wait()
    raise app.crash_reason or RuntimeError("Faust crashed and gave no reason")


async def _stop(app: DetectApp) -> None:
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await app.stop()
    except TimeoutError:
        log.error("Faust did not stop within %.0f s: left to the end of the process", STOP_WITHIN_S)


async def _log(kafka: str) -> tuple[str, int]:
    """The id of the cluster, and how many partitions the log has. Snapshots belong to one log: a fresh Kafka
    begins again at offset 0."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    try:
        await admin.start()
        (topic,) = await admin.describe_topics([topics.READINGS.name])
        return str((await admin.describe_cluster())["cluster_id"]), len(topic["partitions"])
    finally:
        await admin.close()
