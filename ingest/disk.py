"""Whether Kafka's disk has room: ingest stops taking frames before the broker stops by itself.

Looked at every second, by the system's own figures. Closed from `limit` of the disk used; open again when
`RELIEF` of it has come free, so that it does not flutter. What is not taken is not answered, and stays in
the gateways' outboxes. A disk that cannot be looked at counts as having room: a mistyped path must not stop
a city.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from prometheus_client import Gauge

LOOK_S = 1.0
RELIEF = 0.05

_USED = Gauge("cityvigil_ingest_disk_used_ratio", "of Kafka's disk; -1: not known")
_FULL = Gauge("cityvigil_ingest_disk_full", "1 while ingest takes nothing because of it")
log = logging.getLogger(__name__)


class Disk:
    """`used` says the share of the disk in use, or raises OSError; `changed` is called when that opens or
    closes us."""

    def __init__(self, used: Callable[[], float], limit: float, changed: Callable[[], None]) -> None:
        self.is_full = False
        self._used = used
        self._limit = limit
        self._changed = changed
        self.share = 0.0
        self._unknown = False

    def why(self) -> str:
        return (
            f"Kafka's disk is {self.share:.0%} full, the limit is {self._limit:.0%}: nothing is answered"
            f" until {RELIEF:.0%} come free"
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        try:
            share = await asyncio.to_thread(self._used)
        except OSError as error:
            if not self._unknown:
                log.error("Kafka's disk cannot be looked at: %s", error)
            self._unknown, share = True, -1.0
        else:
            self._unknown = False
        _USED.set(share)
        self.share = share
        full = is_full(share, self._limit, self.is_full)
        if full == self.is_full:
            return
        self.is_full = full
        _FULL.set(full)
        if full:
            log.error("%s", self.why())
        else:
            log.warning("Kafka's disk is %.0f %% full: frames are taken again", share * 100)
        self._changed()


def is_full(share: float, limit: float, was_full: bool) -> bool:
    """
    >>> [is_full(share, 0.8, was) for share, was in ((0.79, False), (0.8, False), (0.76, True), (0.75, True))]
    [False, True, True, False]
    """
    return share > limit - RELIEF if was_full else share >= limit


def share_used(path: Path) -> float:
    """Of the disk that holds `path`, as `df` says it: what only root may use counts as used up."""
    found = os.statvfs(path)
    used = found.f_blocks - found.f_bfree
    return used / max(used + found.f_bavail, 1)


def none_watched() -> float:
    """Where no disk is named."""
    return 0.0
