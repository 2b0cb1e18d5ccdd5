"""The rules and the registry as they stood at an offset of their compacted topics.

The readings log names versions by such offsets (schemas/control.py), so that a restart and a second reader
compile the same program as the live run. Topics are read once and remembered; an entry that does not decode
is counted, logged and left out, the same for every reader. Does not compile anything, and writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import Counter

from detectors.known import Known
from schemas import registry, rule, topics
from schemas.registry import Registry
from schemas.rule import Rule

log = logging.getLogger(__name__)

BAD_ENTRIES = Counter(
    "cityvigil_detect_bad_entries_total", "entries of rules and sensors that do not decode", ["topic"]
)
READ_WITHIN_S = 60.0

E = TypeVar("E")


class VersionError(RuntimeError):
    """The log names an offset that its topic does not reach: the two are not of one installation."""


@dataclass(slots=True)
class _Topic(Generic[E]):
    """A compacted topic of one partition, as far as it has been read."""

    name: str
    decode: Callable[[bytes], E]
    entries: list[tuple[int, str, E | None]] = field(default_factory=list)  # offset, key, None = deleted
    read_to: int = 0

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.name, 0)

    def before(self, offset: int) -> list[tuple[str, E | None]]:
        return [(key, entry) for at, key, entry in self.entries if at < offset]


def live_set(entries: list[tuple[str, rule.Entry | None]]) -> dict[str, Rule]:
    """The newest of each rule, drafts included, by name."""
    rules: dict[str, Rule] = {}
    for key, entry in entries:
        if entry is None:
            rules.pop(key, None)
        elif isinstance(entry, rule.RuleEntry):
            rules[entry.rule.name] = entry.rule
    return rules


def registry_of(entries: list[tuple[str, registry.Entry | None]]) -> Registry:
    found = Registry()
    for _, entry in entries:
        if entry is not None:
            found.apply(entry)
    return found


class Versions:
    """Reads both topics as far as asked. Use as an async context manager."""

    def __init__(self, kafka: str) -> None:
        self._kafka = kafka
        self._consumer: AIOKafkaConsumer | None = None
        self._rules = _Topic(topics.RULES.name, rule.decode)
        self._sensors = _Topic(topics.SENSORS.name, registry.decode)
        self._registry: tuple[int, Registry] = (0, Registry())
        self.known = Known()
        """For those who compile what they read here: partitions and versions have most of it in common."""
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Versions:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka,
            enable_auto_commit=False,
            fetch_max_wait_ms=50,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        consumer.assign([self._rules.partition, self._sensors.partition])
        await consumer.seek_to_beginning()
        consumer.pause(self._rules.partition, self._sensors.partition)  # no fetches while nobody asks
        self._consumer = consumer
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._consumer is not None:
            await self._consumer.stop()

    async def rules_at(self, offset: int) -> list[Rule]:
        """The rules of that version that are not switched off, by name."""
        await self._read(self._rules, offset)
        rules = live_set(self._rules.before(offset))
        return [rules[name] for name in sorted(rules) if rules[name].mode != "draft"]

    async def registry_at(self, offset: int) -> Registry:
        """Shared by all who ask for this offset: not to be changed."""
        await self._read(self._sensors, offset)
        if self._registry[0] != offset:
            self._registry = (offset, registry_of(self._sensors.before(offset)))
        return self._registry[1]

    async def newest(self) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """Registry and rules of the last markers there are, as control records would name them."""
        await self._read(self._sensors, await self._end(self._sensors))
        await self._read(self._rules, await self._end(self._rules))
        return _marked(self._sensors, registry.Version), _marked(self._rules, rule.RulesMarker)

    async def _end(self, topic: _Topic[E]) -> int:
        assert self._consumer is not None, "use as an async context manager"
        ends = await self._consumer.end_offsets([topic.partition])
        return int(ends[topic.partition])

    async def _read(self, topic: _Topic[E], offset: int) -> None:
        assert self._consumer is not None, "use as an async context manager"
        async with self._lock:
            if topic.read_to >= offset:
                return
            end = await self._end(topic)
            if end < offset:
                raise VersionError(
                    f"the log names offset {offset} of topic {topic.name}, which ends at {end}"
                )
            self._consumer.resume(topic.partition)
            try:
                async with asyncio.timeout(READ_WITHIN_S):
                    await _read_to(self._consumer, topic, offset)
            finally:
                self._consumer.pause(topic.partition)


def _marked(
    topic: _Topic[E], marker: type[registry.Version] | type[rule.RulesMarker]
) -> tuple[int, int] | None:
    """Version, and the offset behind its marker."""
    for offset, _, entry in reversed(topic.entries):
        if isinstance(entry, marker):
            return entry.version, offset + 1
    return None


async def _read_to(consumer: AIOKafkaConsumer, topic: _Topic[E], offset: int) -> None:
    while topic.read_to < offset:
        fetched = await consumer.getmany(topic.partition, timeout_ms=200)
        for record in fetched.get(topic.partition, ()):
            _keep(topic, record.offset, record.key, record.value)
        # Compaction leaves holes: the position moves over them, the records do not.
        topic.read_to = await consumer.position(topic.partition)


def _keep(topic: _Topic[E], offset: int, key: bytes | None, value: bytes | None) -> None:
    name = (key or b"").decode(errors="replace")
    if value is None:
        topic.entries.append((offset, name, None))
        return
    try:
        topic.entries.append((offset, name, topic.decode(value)))
    except msgspec.DecodeError as error:
        BAD_ENTRIES.labels(topic.name).inc()
        log.error("topic %s, offset %d, key %r: %s: left out", topic.name, offset, name, error)
