"""Whether there is room for more on the way to Kafka: what every listener asks before it reads on.

Closed when more than `FULL_BYTES` are queued, open again when half of that has gone, so that no queue of ours
grows and senders are slowed by their own sockets. MQTT has its own way of not reading (`ingest/mqtt.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ingest.bridge import Load

FULL_BYTES = 64 << 20


class Room:
    """`closed` is another reason to have none; `relieved` is called when it may have gone."""

    def __init__(self, load: Load, closed: Callable[[], bool] = lambda: False) -> None:
        self._load = load
        self._closed = closed
        self._open = asyncio.Event()
        self._open.set()

    @property
    def is_full(self) -> bool:
        return self._load.bytes >= FULL_BYTES or self._closed() or not self._open.is_set()

    def relieved(self) -> None:
        """Called when the load has gone down."""
        if self._load.bytes <= FULL_BYTES // 2 and not self._closed():
            self._open.set()

    async def wait(self) -> None:
        """Returns when there is room."""
        if self._load.bytes >= FULL_BYTES or self._closed():
            self._open.clear()
        await self._open.wait()
