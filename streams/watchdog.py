"""Notices that a log grows while nothing of it is processed.

Faust has stalls that raise nothing and log nothing; only the offsets show them. Told the ends of the log
and what is processed, it raises when a partition has been behind without moving for too long. Does no I/O
and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping


class Stalled(RuntimeError):
    """The log grows and nothing is processed: only a restart helps."""


class Watchdog:
    def __init__(self, stalled_s: float) -> None:
        self._stalled_s = stalled_s
        self._still: dict[int, tuple[int, float]] = {}  # partition -> (processed, since when)

    def look(self, now_s: float, processed: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, int]:
        """How far each partition is behind. Raises Stalled, naming the partition and its offsets.

        >>> dog = Watchdog(stalled_s=20)
        >>> dog.look(0, {3: 100}, {3: 120}), dog.look(15, {3: 101}, {3: 150})
        ({3: 20}, {3: 49})
        >>> dog.look(30, {3: 101}, {3: 200})
        {3: 99}
        """
        behind = {number: max(0, ends[number] - at) for number, at in processed.items() if number in ends}
        self._still = {number: seen for number, seen in self._still.items() if number in behind}
        for number, count in behind.items():
            at, since = self._still.get(number, (-1, now_s))
            if count == 0 or at != processed[number]:
                self._still[number] = (processed[number], now_s)
            elif now_s - since > self._stalled_s:
                raise Stalled(
                    f"partition {number}: the log ends at {ends[number]}, {at} is next and has been "
                    f"for {now_s - since:.0f} s"
                )
        return behind

    def excuse(self) -> None:
        """Kafka itself could not be asked: nobody is to blame for what did not move so far."""
        self._still.clear()
