"""What the end of the readings log says: where every gateway stood, and what ingest had announced.

Read before ingest listens, so that a frame that was stored and not answered is known when it comes again.
Goes back from the end, ever farther, until it finds this ingest's last `Marks` or the log's beginning.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition

from ingest.repeats import content
from schemas import control, frame, topics
from schemas.clock import CityClock
from schemas.control import Clock, Gap, Marks, Ownership, RegistryVersion, RulesVersion, Tick
from schemas.frame import SegmentFlag
from schemas.sequence import Mark, observe, skip_to

FIRST_LOOK = 1_000
FARTHER = 8
SAME_US = 1_000  # two ways of writing one clock differ by rounding


class ClockDiffers(RuntimeError):
    """The log was written under another city clock."""


@dataclass(slots=True)
class Tail:
    """Fold of the messages behind some offset of one partition."""

    ingest: str
    marks: dict[tuple[str, int], Mark] = field(default_factory=dict)
    has_marks: bool = False
    generations: dict[str, int] = field(default_factory=dict)
    clock: Clock | None = None
    tick: Tick | None = None
    registry: RegistryVersion | None = None
    rules: RulesVersion | None = None
    unreadable: int = 0
    contents: list[bytes] = field(default_factory=list)
    """Of frames without a sequence, by which a repeat of them is known (ingest/repeats.py)."""

    def take(self, value: bytes) -> None:
        try:
            if frame.kind_of(value) is frame.Kind.control:
                self._control(control.decode(value))
            else:
                self._frame(frame.decode(value))
        except frame.FrameError:
            self.unreadable += 1

    def _frame(self, packed: frame.Frame) -> None:
        for number, segment in enumerate(packed.segments):
            if int(segment["flags"]) & SegmentFlag.sequenced:
                key = packed.gateway_of(number), int(segment["epoch"])
                self.marks[key], _ = observe(self.marks.get(key), int(segment["sequence"]))
            else:
                first = int(segment["first"])
                records = packed.records[first : first + int(segment["count"])]
                self.contents.append(content(packed.gateway_of(number), records, packed.texts))

    def _control(self, record: control.Control) -> None:
        match record:
            case Marks() if self._is_current(record):
                for name, (contiguous, *ahead) in record.marks.items():
                    gateway, _, epoch = name.rpartition("/")
                    self.marks[gateway, int(epoch)] = Mark(contiguous, tuple(ahead))
                self.has_marks |= record.ingest == self.ingest
            case Gap():
                key = record.gateway, record.epoch
                self.marks[key] = skip_to(self.marks.get(key, Mark(record.first - 1)), record.last)
            case Tick() if self._is_current(record):
                self.tick = record
            case Ownership():
                self._is_current(record)
            case Clock():
                self.clock = record
            case RegistryVersion() if self.registry is None or record.version >= self.registry.version:
                self.registry = record
            case RulesVersion() if self.rules is None or record.version >= self.rules.version:
                self.rules = record

    @property
    def generation(self) -> int:
        """The highest of this ingest."""
        return self.generations.get(self.ingest, 0)

    def _is_current(self, record: Marks | Tick | Ownership) -> bool:
        """Whether nobody has spoken for this ingest in a higher generation: one that was suspended and wakes
        up beside its successor knows less than the log does."""
        known = self.generations.get(record.ingest, 0)
        self.generations[record.ingest] = max(known, record.generation)
        return record.generation >= known

    def check(self, clock: CityClock) -> None:
        """Raises ClockDiffers unless this clock goes on where the log's stopped."""
        found = self.clock
        if found is not None and found.scale != clock.scale:
            raise ClockDiffers(f"the log's city clock runs {found.scale:g} times, CITYVIGIL_CLOCK={clock}")
        if found is not None and abs(clock.city_us(found.wall0_us) - found.base_us) > SAME_US:
            log = CityClock(found.base_us, found.wall0_us, found.scale)
            raise ClockDiffers(f"the log was written under CITYVIGIL_CLOCK={log}, this is {clock}")
        tick = self.tick
        if tick is not None and abs(clock.city_us(tick.wall_us) - tick.city_us) > SAME_US:
            raise ClockDiffers(
                f"the log says {tick.city_us} us of city time at {tick.wall_us} us, "
                f"CITYVIGIL_CLOCK={clock} says {clock.city_us(tick.wall_us)}"
            )


async def read_tails(bootstrap: str, partitions: int, ingest: str) -> list[Tail]:
    """The tail of every partition of `readings`."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        fetch_max_wait_ms=50,
        max_partition_fetch_bytes=topics.MESSAGE_MAX_BYTES,
    )
    await consumer.start()
    try:
        return [await _tail(consumer, number, ingest) for number in range(partitions)]
    finally:
        await consumer.stop()


async def newest_generation(bootstrap: str, ingest: str) -> int:
    """The highest generation of this ingest among the last messages of a partition. Raises KafkaError."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, fetch_max_wait_ms=50)
    await consumer.start()
    try:
        return (await _tail(consumer, 0, ingest, farther=False)).generation
    finally:
        await consumer.stop()


async def _tail(consumer: AIOKafkaConsumer, number: int, ingest: str, *, farther: bool = True) -> Tail:
    partition = TopicPartition(topics.READINGS.name, number)
    consumer.assign([partition])
    begin: int = (await consumer.beginning_offsets([partition]))[partition]
    end: int = (await consumer.end_offsets([partition]))[partition]
    look = FIRST_LOOK
    while True:
        first = max(begin, end - look)
        tail = Tail(ingest)
        consumer.seek(partition, first)
        while await consumer.position(partition) < end:
            for messages in (await consumer.getmany(partition, timeout_ms=200)).values():
                for message in messages:
                    tail.take(message.value)
        if tail.has_marks or first == begin or not farther:
            return tail
        look *= FARTHER
