"""One partition's ordered way into Kafka: frames and control records go in, futures tell when they are there.

Flushes at once when nothing is in flight, else at `packing.READINGS` readings or `LINGER_S`. The order of
the queue is the order of the log: what Kafka did not take is sent again before anything behind it, once what
is in flight has come back. Waits for Kafka for ever; the queue is bounded by whoever fills it (`Load`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiokafka.errors import KafkaError, KafkaTimeoutError
from prometheus_client import Counter, Gauge, Histogram

from ingest import packing
from ingest.packing import Segment

log = logging.getLogger(__name__)

LINGER_S = 0.02
IN_FLIGHT = 16
RETRY_S = 0.5

SEGMENT_BYTES = 256  # what a queued frame costs beside its records
PRODUCED = Counter("cityvigil_ingest_readings_total", "readings that Kafka has acknowledged")
MESSAGES = Counter("cityvigil_ingest_messages_total", "messages acknowledged by Kafka, by topic", ["topic"])
RETRIES = Counter("cityvigil_ingest_produce_retries_total", "messages that Kafka did not take at first")
PRODUCE_SECONDS = Histogram(
    "cityvigil_ingest_produce_seconds",
    "from queue to acknowledgement, of a message's oldest frame",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
QUEUED_BYTES = Gauge("cityvigil_ingest_queued_bytes", "bytes on their way to Kafka")

Send = Callable[[bytes, bytes | None], Awaitable["asyncio.Future[object]"]]
"""(value, key) -> a future of Kafka's acknowledgement. May itself wait or raise KafkaError."""


@dataclass(slots=True)
class Load:
    """Bytes on their way to Kafka, over all lanes; `changed` is called when they go down."""

    bytes: int = 0
    changed: Callable[[], None] = lambda: None

    def add(self, size: int) -> None:
        self.bytes += size
        QUEUED_BYTES.set(self.bytes)

    def remove(self, size: int) -> None:
        self.add(-size)
        self.changed()


@dataclass(slots=True)
class _Item:
    """A frame, or the finished bytes of anything else. `after` must be done before it may go."""

    segment: Segment | None
    value: bytes
    key: bytes | None
    after: asyncio.Future[None] | None
    done: asyncio.Future[None]
    queued_at: float
    size: int


@dataclass(slots=True)
class _Message:
    items: list[_Item]
    value: bytes
    key: bytes | None
    readings: int
    acknowledged: asyncio.Future[object] | None = None


@dataclass(slots=True)
class Lane:
    name: str
    send: Send
    load: Load
    _queue: deque[_Item] = field(default_factory=deque)
    _flying: deque[_Message] = field(default_factory=deque)
    _readings: int = 0
    _sendable: int = 0  # items in the queue that are no frames
    _waiting: asyncio.Future[None] | None = None  # what `run` waits for, while it does

    @property
    def is_idle(self) -> bool:
        return not self._queue and not self._flying

    def put_frame(self, segment: Segment, after: asyncio.Future[None] | None = None) -> asyncio.Future[None]:
        """Done when Kafka has it."""
        self._readings += len(segment.records)
        return self._put(_item(segment, b"", None, after, SEGMENT_BYTES + segment.records.nbytes))

    def put(self, value: bytes, key: bytes | None = None) -> asyncio.Future[None]:
        self._sendable += 1
        return self._put(_item(None, value, key, None, SEGMENT_BYTES + len(value)))

    async def run(self) -> None:
        """Until cancelled. Raises what is no trouble of Kafka's."""
        while True:
            while self._flying and _is_back(self._flying[0]):
                await self._landed()
            if not self._queue:
                await self._change(None)
            elif self._is_due():
                message = await self._taken()
                while len(self._flying) >= IN_FLIGHT:
                    await self._landed()
                await self._launch(message)
            else:
                await self._change(self._queue[0].queued_at + LINGER_S)

    async def drained(self) -> None:
        """Returns when Kafka has everything that is queued now."""
        pending = [item.done for message in self._flying for item in message.items]
        pending += [item.done for item in self._queue]
        if pending:
            await asyncio.wait(pending)

    def _put(self, item: _Item) -> asyncio.Future[None]:
        self._queue.append(item)
        self.load.add(item.size)
        if self._waiting is not None and self._is_due():
            self._wake()
        return item.done

    def _is_due(self) -> bool:
        """Whether what is queued goes now: while a produce is in flight, it gathers up to the limits."""
        return bool(
            not self._flying
            or self._readings >= packing.READINGS
            or self._sendable
            or asyncio.get_running_loop().time() >= self._queue[0].queued_at + LINGER_S
        )

    async def _change(self, until: float | None) -> None:
        """Returns when something is due, has come back, or at `until`."""
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        timer = None if until is None else loop.call_at(until, self._wake)
        try:
            await self._waiting
        finally:
            self._waiting = None
            if timer is not None:
                timer.cancel()

    def _wake(self, _: object = None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _taken(self) -> _Message:
        """The next message: as many frames as fit, or one other record."""
        items: list[_Item] = []
        readings = 0
        while self._queue:
            item = self._queue[0]
            if item.segment is None:
                if not items:
                    items.append(self._queue.popleft())
                    self._sendable -= 1
                break
            if not packing.fits(readings, item.segment):
                break
            items.append(self._queue.popleft())
            readings += len(item.segment.records)
        self._readings -= readings
        for item in items:
            if item.after is not None:
                await item.after
        segments = [item.segment for item in items if item.segment is not None]
        value = packing.pack(segments) if segments else items[0].value
        return _Message(items, value, items[0].key, readings)

    async def _launch(self, message: _Message) -> None:
        while True:
            try:
                message.acknowledged = await self.send(message.value, message.key)
                message.acknowledged.add_done_callback(self._wake)
                break
            except KafkaError as error:
                await self._patience(error)
                await self._all_landed()
        self._flying.append(message)

    async def _landed(self) -> None:
        """Takes in the oldest message in flight; sends it again if Kafka did not take it."""
        message = self._flying[0]
        assert message.acknowledged is not None, "only what was sent is in flight"
        try:
            await message.acknowledged
        except KafkaError as error:
            await self._patience(error)
            await self._again()
            return
        self._flying.popleft()
        self._settle(message)

    async def _all_landed(self) -> None:
        while self._flying:
            await self._landed()

    async def _again(self) -> None:
        """Sends what failed once more, in order, after all that is in flight has come back."""
        flights = [message.acknowledged for message in self._flying if message.acknowledged is not None]
        await asyncio.wait(flights)
        messages = list(self._flying)
        self._flying.clear()
        for message in messages:
            assert message.acknowledged is not None, "only what was sent is in flight"
            failed = message.acknowledged.exception()
            if failed is None:
                self._settle(message)
            elif isinstance(failed, KafkaError):
                await self._launch(message)
            else:
                raise failed

    async def _patience(self, error: KafkaError) -> None:
        """Waits and returns if trying again can help; else raises."""
        if not (error.retriable or isinstance(error, KafkaTimeoutError)):
            raise error
        RETRIES.inc()
        log.warning("%s: Kafka did not take a message, trying again: %r", self.name, error)
        await asyncio.sleep(RETRY_S)

    def _settle(self, message: _Message) -> None:
        MESSAGES.labels(self.name).inc()
        PRODUCED.inc(message.readings)
        now = asyncio.get_running_loop().time()
        PRODUCE_SECONDS.observe(now - message.items[0].queued_at)
        for item in message.items:
            if not item.done.done():
                item.done.set_result(None)
        self.load.remove(sum(item.size for item in message.items))


def _is_back(message: _Message) -> bool:
    return message.acknowledged is not None and message.acknowledged.done()


def _item(
    segment: Segment | None, value: bytes, key: bytes | None, after: asyncio.Future[None] | None, size: int
) -> _Item:
    loop = asyncio.get_running_loop()
    return _Item(segment, value, key, after, loop.create_future(), loop.time(), size)
