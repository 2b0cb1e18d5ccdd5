"""A platform that pushes what its devices report over HTTP, in order, until it is told 200.

What is refused for good (a wrong secret, a body that is too large) is counted as rejected and not said again.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque

import httpx

from simulators.gateway import Counters
from simulators.protocols.until_stopped import until_stopped

RETRY_S = (0.25, 10.0)
AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class PushGateway:
    """One device behind a platform, with the same calls as the reference gateway. `account` is for HTTP
    Basic, where the address holds no secret."""

    def __init__(
        self, gateway: str, url: str, rng: random.Random, account: tuple[str, str] | None = None
    ) -> None:
        self.gateway = gateway
        self.counters = Counters()
        self.outbox: deque[tuple[bytes, int]] = deque()
        self.ready = True
        self.why: str | None = None
        self._url, self._rng, self._account = url, rng, account
        self._more, self._emptied, self._line_up = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._line_up.set()

    def submit(self, payload: bytes, readings: int, form: str | None = None) -> int:
        self.outbox.append((payload, readings))
        self._emptied.clear()
        self._more.set()
        return len(self.outbox)

    async def emptied(self) -> None:
        """Returns when everything submitted is answered."""
        while self.outbox:
            await self._emptied.wait()

    def cut(self) -> None:
        self._line_up.clear()

    def mend(self) -> None:
        self._line_up.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`."""
        await until_stopped(stop, self._push())

    async def _push(self) -> None:
        async with httpx.AsyncClient(timeout=30.0, trust_env=False, auth=self._account) as client:
            retry_s = RETRY_S[0]
            while True:
                await self._line_up.wait()
                if not self.outbox:
                    self._more.clear()
                    await self._more.wait()
                    continue
                payload, readings = self.outbox[0]
                self.counters.sent += 1
                self.counters.sent_readings += readings
                try:
                    status = (await client.post(self._url, content=payload)).status_code
                except httpx.TransportError as error:
                    self.why, status = str(error), 503
                if status in AGAIN:
                    self.counters.resent += 1
                    await asyncio.sleep(retry_s * self._rng.uniform(0.5, 1.5))
                    retry_s = min(2 * retry_s, RETRY_S[1])
                    continue
                retry_s = RETRY_S[0]
                self.outbox.popleft()
                self.counters.answered += 1
                is_stored = status == 200
                self.counters.stored_readings += readings if is_stored else 0
                self.counters.rejected += not is_stored
                self.counters.rejected_readings += 0 if is_stored else readings
                if not self.outbox:
                    self._emptied.set()
