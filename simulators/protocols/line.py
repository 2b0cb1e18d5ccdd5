"""A device's line to its centre: one frame on the wire, sent again until it is answered, for ever if need
be.

An answer is waited for ten seconds, three times more on the same connection; then the line is taken down
and up again. What was not answered stays in a bounded queue, oldest first. Commands from above are obeyed
at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from simulators.gateway import Counters
from simulators.protocols.until_stopped import until_stopped

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 10.0
TRIES = 4
RETRY_S = (0.25, 10.0)
MOST_WAITING = 10_000


class Manners(NamedTuple):
    """A protocol's side of a line."""

    length: Callable[[bytes], int | None]
    """Of the frame that was heard first; None while it is not all there."""
    answers: Callable[[bytes, bytes], bool]
    """(our frame, what was heard) -> whether it answers it."""
    obeys: Callable[[bytes], list[bytes]] = lambda heard: []
    """What to say to something that is no answer."""


class _Waiting(NamedTuple):
    frame: bytes
    readings: int


class LineGateway:
    """One device at `host:port`, with the same calls as the reference gateway."""

    def __init__(self, gateway: str, address: str, manners: Manners, rng: random.Random) -> None:
        self.gateway = gateway
        self.counters = Counters()
        self.outbox: deque[_Waiting] = deque()
        self.ready = False
        self.why: str | None = "not connected yet"
        host, _, port = address.rpartition(":")
        self._host, self._port = host, int(port)
        self._manners, self._rng = manners, rng
        self._more = asyncio.Event()
        self._emptied = asyncio.Event()
        self._line_up = asyncio.Event()
        self._line_up.set()
        self._writer: asyncio.StreamWriter | None = None

    def submit(self, payload: bytes, readings: int, form: str | None = None) -> int:
        """Takes a frame for sending; the oldest one makes room."""
        if len(self.outbox) >= MOST_WAITING:
            self.outbox.popleft()
            log.warning("%s: too many frames wait, the oldest is lost", self.gateway)
        self.outbox.append(_Waiting(payload, readings))
        self._emptied.clear()
        self._more.set()
        return len(self.outbox)

    async def emptied(self) -> None:
        """Returns when everything submitted is answered."""
        while self.outbox:
            await self._emptied.wait()

    def cut(self) -> None:
        """Cuts the line, without a good-bye, until `mend`."""
        self._line_up.clear()
        if self._writer is not None:
            self._writer.transport.abort()

    def mend(self) -> None:
        self._line_up.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Connects, and again when the line is lost, until `stop`."""
        try:
            await until_stopped(stop, self._keep_up())
        finally:
            self.ready = False

    async def _keep_up(self) -> None:
        retry_s = RETRY_S[0]
        while True:
            await self._line_up.wait()
            connects = self.counters.connects
            try:
                await self._session()
            except (OSError, EOFError, TimeoutError) as error:
                self.why = f"{self._host}:{self._port}: {error!r}"
            self.ready = False
            retry_s = RETRY_S[0] if self.counters.connects > connects else min(2 * retry_s, RETRY_S[1])
            await asyncio.sleep(retry_s * self._rng.uniform(0.5, 1.5))

    async def _session(self) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        self._writer = writer
        self.counters.connects += 1
        self.ready, self.why = True, None
        heard: asyncio.Queue[bytes | None] = asyncio.Queue(64)
        listening = asyncio.ensure_future(self._listen(reader, heard))
        try:
            while True:
                await self._speak(writer, heard)
        finally:
            self._writer = None
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _speak(self, writer: asyncio.StreamWriter, heard: asyncio.Queue[bytes | None]) -> None:
        """The oldest frame until its answer; without one, whatever is said from above."""
        if not self.outbox:
            self._more.clear()
            waiting = asyncio.ensure_future(self._more.wait())
            listening = asyncio.ensure_future(heard.get())
            try:
                await asyncio.wait([waiting, listening], return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
                listening.cancel()
            if listening.done() and not listening.cancelled():
                self._obey(writer, listening.result())
            return
        for attempt in range(TRIES):
            one = self.outbox[0]
            writer.write(one.frame)
            await writer.drain()
            if attempt:
                self.counters.resent += 1
            else:
                self.counters.sent += 1
                self.counters.sent_readings += one.readings
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    while not self._is_answered(writer, await heard.get()):
                        pass
                    return
        raise TimeoutError(f"no answer within {TRIES} times {ANSWER_WITHIN_S:g} s")

    def _is_answered(self, writer: asyncio.StreamWriter, heard: bytes | None) -> bool:
        one = self.outbox[0]
        if heard is None or not self._manners.answers(one.frame, heard):
            self._obey(writer, heard)
            return False
        self.outbox.popleft()
        self.counters.answered += 1
        self.counters.stored_readings += one.readings
        if not self.outbox:
            self._emptied.set()
        return True

    def _obey(self, writer: asyncio.StreamWriter, heard: bytes | None) -> None:
        """Raises EOFError when there is nobody above any more."""
        if heard is None:
            raise EOFError("the other side ended it")
        for said in self._manners.obeys(heard):
            writer.write(said)

    async def _listen(self, reader: asyncio.StreamReader, heard: asyncio.Queue[bytes | None]) -> None:
        held = b""
        try:
            while data := await reader.read(4_096):
                held += data
                while (length := self._manners.length(held)) is not None:
                    await heard.put(held[:length])
                    held = held[length:]
        except OSError:
            pass
        await heard.put(None)
