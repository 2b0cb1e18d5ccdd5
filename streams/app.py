"""The Faust application of detect: one topic, one agent, every name and every wait given by us.

What Faust 0.15.3 has no setting for is done in the transport: a fetch wait of milliseconds (it hard-codes
1.5 s), a consumer thread that does not keep a failed process alive, no second of sleep before the first
partition is there, nor for tables that we do not have, and a hook for the offsets to start at.
The hook runs right after Faust's own seek to the committed offsets and before the stream flows: a seek made
any earlier is lost. No Tables, windows or exactly_once (docs/decisions/020-faust-tamed.md); nothing happens
at import.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

import faust
from aiokafka import AIOKafkaConsumer
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types.streams import StreamT
from mode.threads import WorkerThread
from yarl import URL

from schemas import topics
from streams.company import client_id

SESSION_S = 6.0
HEARTBEAT_S = 1.5
FETCH_WAIT_MS = 20
"""How long the broker holds an empty fetch: what one partition's reading can wait for another's fetch."""

LOOK_S = 0.02
COMMIT_EVERY_S = 1.0
BUFFER_FRAMES = 256

StartOffsets = Callable[[Mapping[int, int | None]], Awaitable[Mapping[int, int]]]
"""Partition -> committed offset or None, to partition -> the offset to read from."""

Revoked = Callable[[set[int]], Awaitable[None]]
Agent = Callable[[StreamT[Any]], Awaitable[None]]


class DetectApp(faust.App):
    """A Faust app that asks where to start and leaves no folders behind."""

    start_offsets: StartOffsets

    def _create_directories(self) -> None:
        """Faust's folders are for Tables; there are none."""


class _DaemonThread(WorkerThread):
    """Faust waits at exit for its consumer thread for ever; a failed process has to end."""

    def __init__(self, service: Any, **kwargs: Any) -> None:
        super().__init__(service, **kwargs)
        self.daemon = True


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    Worker: type[WorkerThread] = _DaemonThread

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # read when the consumer starts, which is after this
        return consumer


class _NoTables(TableManager):
    """Faust sleeps for a second at the start, so that an app may define its tables."""

    async def on_start(self) -> None:
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


class _Consumer(driver.Consumer):
    app: DetectApp

    async def _wait_next_records(self, timeout: float) -> Any:
        while self.flow_active and not self.should_stop and not self._get_active_partitions():
            await self.sleep(LOOK_S)  # Faust would sleep for a second
        return await super()._wait_next_records(timeout)

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        # A worker that had no partition comes here with its flow running: what is fetched while we seek
        # would stand in a queue that Faust empties when it resumes the flow, and be lost.
        self.stop_flow()
        await super().perform_seek()
        assigned = {tp.partition: tp for tp in self.assignment()}
        committed = {number: self._committed_offset[tp] for number, tp in assigned.items()}
        offsets = await self.app.start_offsets(committed)
        still = self.assignment()
        await self.seek_wait({assigned[n]: offset for n, offset in offsets.items() if assigned[n] in still})


class _Transport(driver.Transport):
    Consumer: ClassVar[Any] = _Consumer


def build_app(
    *, kafka: str, worker: str, agent: Agent, start_offsets: StartOffsets, revoked: Revoked
) -> DetectApp:
    """The app of one worker. `worker` is its place in the group, kept over restarts (static membership)."""
    servers = [URL(f"kafka://{address}") for address in kafka.split(",")]
    app = DetectApp(
        topics.DETECT_GROUP,
        broker=servers,
        broker_client_id=client_id(worker),
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_commit_interval=COMMIT_EVERY_S,
        consumer_group_instance_id=client_id(worker),
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=topics.MESSAGE_MAX_BYTES,
        stream_buffer_maxsize=BUFFER_FRAMES,
        stream_wait_empty=False,  # a message stays unacknowledged until a snapshot holds it
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
        TableManager=_NoTables,
    )
    app.start_offsets = start_offsets
    app.transport = _Transport(servers, app)
    app.boot_strategy.enable_kafka_producer = False  # ours is idempotent: streams/detect.py
    readings = app.topic(topics.READINGS.name, key_type=bytes, value_type=bytes, value_serializer="raw")
    app.agent(readings, name="detect", concurrency=1)(agent)

    async def on_revoked(_: Any, /, *partitions: Any, **__: Any) -> None:
        await revoked({tp.partition for tp in partitions[0]})

    app.on_partitions_revoked.connect(on_revoked)
    return app
