"""One partition's detection: the bytes of its log in, alerts out, in order, by a state that can be saved.

The worker (streams/detect.py) and the second reader (streams/replay.py) both run this and nothing else, so
they decide alike. Registry and rules change where the log says so. A message that is no packed frame is
counted and left out: bad data is no reason to stop. Does not read, publish or time anything.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from prometheus_client import Counter

from detectors.fold import Partition
from detectors.known import Known
from detectors.program import Program, compile_program
from detectors.resume import resume
from schemas import control, frame
from schemas.alert import Alert
from schemas.control import Control, RegistryVersion, RulesVersion
from schemas.frame import Frame, FrameError, Kind
from schemas.registry import Registry
from schemas.rule import Rule
from streams.rewind import Rewind
from streams.rules import Versions
from streams.state import Header, Snapshot

log = logging.getLogger(__name__)

READINGS = Counter("cityvigil_detect_readings_total", "readings folded, by partition", ["partition"])
BAD_FRAMES = Counter(
    "cityvigil_detect_bad_frames_total",
    "messages of the readings topic that are no packed frame",
    ["partition"],
)


@dataclass(slots=True)
class Lane:
    """`next_offset` is the first one that the state does not hold."""

    number: int
    versions: Versions
    fold: Partition
    next_offset: int = 0
    registry: tuple[int, int] | None = None
    rules: tuple[int, int] | None = None
    rewind: Rewind | None = None  # while what was told is read again
    readings: int = field(default=0, init=False)
    compiling: bool = field(default=False, init=False)  # stands still for a reason

    async def take(self, messages: Sequence[tuple[int, bytes]]) -> list[Alert]:
        """The alerts of these messages (offset, bytes), which follow what was taken before."""
        if self.rewind is None:
            return await self._take(messages)
        again = [message for message in messages if message[0] < self.rewind.told_to]
        await self._take(again)
        if len(again) == len(messages) and self.next_offset < self.rewind.told_to:
            return []
        count = resume(self.fold, self.rewind.told or ())
        log.warning("partition %d: at offset %d goes on with %d episodes that stood on alerts as open",
                    self.number, self.rewind.told_to, count)  # fmt: skip
        self.rewind = None
        return await self._take(messages[len(again) :])

    async def _take(self, messages: Sequence[tuple[int, bytes]]) -> list[Alert]:
        alerts: list[Alert] = []
        entries: list[Frame | Control] = []
        for offset, value in messages:
            entry = self._decoded(offset, value)
            if isinstance(entry, RegistryVersion | RulesVersion):
                if self._is_known(entry):
                    continue
                alerts += self._folded(entries)
                entries = []
                alerts += await self._adopt(entry)
            elif entry is not None:
                entries.append(entry)
        alerts += self._folded(entries)
        if messages:
            self.next_offset = messages[-1][0] + 1
        return alerts

    def header(self, generation: int) -> Header:
        return Header(
            partition=self.number,
            generation=generation,
            offset=self.next_offset - 1,
            registry=self.registry,
            rules=self.rules,
        )

    def not_ready(self) -> str | None:
        if self.rewind is not None:
            return f"partition {self.number} reads its log again, up to offset {self.rewind.told_to}"
        return None if self.rules else f"no rules yet in partition {self.number}"

    def _decoded(self, offset: int, value: bytes) -> Frame | Control | None:
        try:
            if frame.kind_of(value) is Kind.control:
                return control.decode(value)
            return frame.decode(value)
        except FrameError as error:
            BAD_FRAMES.labels(self.number).inc()
            log.error("partition %d, offset %d is no packed frame: %s", self.number, offset, error)
            return None

    def _folded(self, entries: list[Frame | Control]) -> list[Alert]:
        count = sum(len(entry.records) for entry in entries if isinstance(entry, Frame))
        self.readings += count
        READINGS.labels(self.number).inc(count)
        return self.fold.fold(entries) if entries else []

    def _is_known(self, entry: RegistryVersion | RulesVersion) -> bool:
        """An ingest that starts says again what is in force, and one that was suspended may announce what its
        successor has long replaced."""
        known = self.registry if isinstance(entry, RegistryVersion) else self.rules
        return known is not None and entry.version <= known[0]

    async def _adopt(self, entry: RegistryVersion | RulesVersion) -> list[Alert]:
        if isinstance(entry, RegistryVersion):
            self.registry = (entry.version, entry.offset)
        else:
            self.rules = (entry.version, entry.offset)
        log.info(
            "partition %d: registry %s and rules %s are in force", self.number, self.registry, self.rules
        )
        self.compiling = True
        try:
            before = self.fold.program
            program = await _program(self.versions, self.number, self.registry, self.rules, before)
        finally:
            self.compiling = False
        return [] if program is before else self.fold.adopt(program)


async def empty_lane(number: int, versions: Versions) -> Lane:
    """The state before the log's first message: no sensors, no rules."""
    return Lane(number, versions, Partition(await _program(versions, number, None, None)))


async def rewound_lane(number: int, versions: Versions, rewind: Rewind) -> Lane:
    """A state that begins at `rewind.start`. Unless that is the log's first message, its registry and rules
    are the newest there are until the log names others: what was in force then, it no longer says."""
    if rewind.told is None:
        return await empty_lane(number, versions)
    registry, rules = await versions.newest()
    fold = Partition(await _program(versions, number, registry, rules))
    return Lane(number, versions, fold, rewind.start, registry, rules, rewind)


async def restored_lane(snapshot: Snapshot, versions: Versions) -> Lane:
    """The state that a snapshot holds. Raises detectors.fold.SnapshotError."""
    head = snapshot.header
    program = await _program(versions, head.partition, head.registry, head.rules)
    fold = Partition.restore(program, snapshot.whole, snapshot.changes)
    return Lane(head.partition, versions, fold, head.offset + 1, head.registry, head.rules)


async def _program(
    versions: Versions,
    number: int,
    registry: tuple[int, int] | None,
    rules: tuple[int, int] | None,
    before: Program | None = None,
) -> Program:
    """Compiled in a thread: for a large city it takes seconds, in which the worker has to be heard of.
    `before` itself if nothing of it changed."""
    entries = await versions.registry_at(registry[1]) if registry else Registry()
    used = await versions.rules_at(rules[1]) if rules else []
    return await asyncio.to_thread(_compiled, entries, used, number, versions.known, before)


def _compiled(
    registry: Registry, rules: list[Rule], number: int, known: Known, before: Program | None
) -> Program:
    """Without looking for garbage meanwhile: there is none, and looking through a large city's objects again
    and again takes a third of the time."""
    gc.disable()
    try:
        return compile_program(registry, rules, number, known, before)
    finally:
        gc.enable()
