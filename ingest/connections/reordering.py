"""Messages of Sparkplug's edge nodes in the order of their numbers: what comes too early waits for what is
missing.

Pure, and blind to what a message says. A message whose number is some ahead of the expected one is held
until those before it have come, at most `within_us` (the specification's reorder timeout); then all that is
held goes on in order, and whoever reads it sees the gap and asks for a rebirth. Nothing is lost or doubled.
Bounded: so many messages a node, so many bytes over all; what is more goes on at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

WITHIN_US = 1_000_000
MOST_AHEAD = 64
"""Messages of a node that may be missing or held; a number further off is another count."""
MOST_BYTES = 16 << 20
MOST_NODES = 10_000
BEGINS, ENDS = "NBIRTH", "NDEATH"


class Turn(NamedTuple, Generic[T]):
    """A message whose turn it is. `may_ask`: whether a gap before it is worth a rebirth; not where the node
    has just been born or died."""

    message: T
    may_ask: bool = True


@dataclass(slots=True)
class _Line(Generic[T]):
    expected: int
    held: dict[int, tuple[T, int, int]] = field(default_factory=dict)  # number -> message, bytes, came


class Reordering(Generic[T]):
    def __init__(self, within_us: int = WITHIN_US) -> None:
        self._within_us = within_us
        self._lines: dict[tuple[str, str], _Line[T]] = {}
        self._waiting: dict[tuple[str, str], int] = {}  # node -> when its oldest message must go on
        self._bytes = 0

    def take(
        self, node: tuple[str, str], kind: str, number: int | None, message: T, size: int, now_us: int
    ) -> list[Turn[T]]:
        """What is to be read now, in this order; nothing while the message waits."""
        line = self._lines.get(node)
        if kind == BEGINS:
            before = self._flushed(node, may_ask=False)
            if number is None or (line is None and len(self._lines) >= MOST_NODES):
                self._lines.pop(node, None)
            else:
                self._lines[node] = _Line((number + 1) % 256)
            return [*before, Turn(message)]
        if kind == ENDS:
            return [*self._flushed(node, may_ask=False), Turn(message)]
        if number is None or line is None:
            if number is not None and len(self._lines) < MOST_NODES:
                self._lines[node] = _Line((number + 1) % 256)
            return [Turn(message)]
        ahead = (number - line.expected) % 256
        if ahead == 0:
            line.expected = (number + 1) % 256
            return [Turn(message), *self._following(node, line)]
        if number in line.held or ahead > MOST_AHEAD:
            return [Turn(message)]  # a repeat, a straggler or another count: its reader knows
        line.held[number] = message, size, now_us
        self._bytes += size
        self._waiting.setdefault(node, now_us + self._within_us)
        return self._flushed(node) if self._bytes > MOST_BYTES else []

    def due(self, now_us: int) -> list[Turn[T]]:
        """What has waited long enough, node by node in order."""
        late = [node for node, until_us in self._waiting.items() if until_us <= now_us]
        return [turn for node in late for turn in self._flushed(node)]

    @property
    def next_us(self) -> int | None:
        """When something is due; None while nothing waits."""
        return min(self._waiting.values(), default=None)

    def _following(self, node: tuple[str, str], line: _Line[T]) -> list[Turn[T]]:
        """What was held only for the message that has just come."""
        found: list[Turn[T]] = []
        while line.expected in line.held:
            message, size, _ = line.held.pop(line.expected)
            self._bytes -= size
            line.expected = (line.expected + 1) % 256
            found.append(Turn(message))
        if line.held:
            self._waiting[node] = min(came for _, _, came in line.held.values()) + self._within_us
        else:
            self._waiting.pop(node, None)
        return found

    def _flushed(self, node: tuple[str, str], *, may_ask: bool = True) -> list[Turn[T]]:
        """All that a node has here, in order, whatever is missing."""
        self._waiting.pop(node, None)
        line = self._lines.get(node)
        if line is None or not line.held:
            return []
        first = line.expected
        numbers = sorted(line.held, key=lambda number: (number - first) % 256)
        line.expected = (numbers[-1] + 1) % 256
        turns = []
        for number in numbers:
            message, size, _ = line.held.pop(number)
            self._bytes -= size
            turns.append(Turn(message, may_ask))
        return turns
