"""Listeners for the national protocols: HJ 212, GB/T 26875.3, SL 651, a port each.

Bytes go through the connection's state machine, what it finds through `ingest/admission.py`, and its
answers onto the wire in order, each when Kafka has what it answers for. A connection has bounds in bytes,
frames, silence and unanswered frames; beyond them it is read no further, or ended with a reason in the log.
While Kafka is slow no socket is read. It trusts the identity in a frame where the registry has no password
for it: whoever can reach the port can speak as such a device.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import Counter, Gauge

from ingest.admission import Admission, Arrival
from ingest.connections.fire_centre import FireCentre
from ingest.connections.pace import Pace
from ingest.connections.session import LIMITS, Limits, Session
from ingest.formats.by_name import STREAMS
from ingest.formats.result import Bad, Item, Reading, Reply, Seen
from ingest.formats.stream import StreamFormat
from ingest.room import Room
from schemas.clock import CityClock

log = logging.getLogger(__name__)

PROTOCOLS = ("hj212", "gb26875", "sl651")
READ_BYTES = 16 << 10
WINDOW_BYTES = 32 << 10
"""Of a connection's newest bytes, kept to show what was no frame."""
SHOWN_BYTES = 1_024
MOST_CONNECTIONS = 10_000
MOST_OF_AN_ADDRESS = 1_000
UNANSWERED = 64
LOOK_S = 1.0
WRITE_WITHIN_S = 30.0
CLOCK_OFF_US = 60_000_000
CLOCK_AGAIN_US = 3_600_000_000

CONNECTIONS = Gauge("cityvigil_ingest_tcp_connections", "open connections", ["protocol"])
ENDED = Counter("cityvigil_ingest_tcp_ended_total", "connections ended, by why", ["protocol", "why"])
SLOWED = Counter(
    "cityvigil_ingest_tcp_slowed_total", "times a sender was too fast and not read", ["protocol"]
)
COMMANDS = Counter("cityvigil_ingest_tcp_commands_total", "what became of commands", ["protocol", "outcome"])


@dataclass(frozen=True, slots=True)
class Allowance:
    """Of one connection."""

    bytes_a_second: float = 256 << 10
    burst_bytes: float = 1 << 20
    frames_a_second: float = 200.0
    burst_frames: float = 2_000.0
    limits: Limits = LIMITS


ALLOWANCE = Allowance()


class Listener:
    """One protocol's port. `said` hears what became of a command: (gateway, word)."""

    def __init__(
        self,
        protocol: str,
        host: str,
        port: int,
        *,
        admission: Admission,
        room: Room,
        clock: CityClock,
        now: Callable[[], int],
        said: Callable[[str, str], None] = lambda gateway, word: None,
        allowance: Allowance = ALLOWANCE,
    ) -> None:
        self.protocol = protocol
        self.port = port
        self.host = host
        self.admission, self.room, self.clock, self.now = admission, room, clock, now
        self.said = said
        self.allowance = allowance
        self.form: StreamFormat = STREAMS[protocol]
        self._lines: set[Line] = set()
        self._of_gateway: dict[str, Line] = {}
        self._by_address: dict[str, int] = {}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self) -> asyncio.Server:
        """Listens. Raises OSError where it cannot."""
        server = await asyncio.start_server(self._serve, self.host, self.port, limit=READ_BYTES)
        self.port = int(server.sockets[0].getsockname()[1])
        log.info("%s: listening on %s:%d", self.protocol, self.host, self.port)
        return server

    async def run(self, server: asyncio.Server) -> None:
        """Until cancelled. Raises what a connection could not expect."""
        try:
            while True:
                await asyncio.wait([self._failed], timeout=LOOK_S)
                if self._failed.done():
                    self._failed.result()
                for line in list(self._lines):
                    line.look(self.now())
        finally:
            server.close()
            for line in list(self._lines):
                line.end("we stop")

    @property
    def held(self) -> int:
        """Bytes of unfinished frames, over all connections."""
        return sum(line.held for line in self._lines)

    def line_of(self, gateway: str) -> Line | None:
        """The newest connection that spoke for a gateway."""
        return self._of_gateway.get(gateway)

    def spoke(self, line: Line, gateway: str) -> None:
        self._of_gateway[gateway] = line

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        address = str(peer[0]) if peer else "unknown"
        mine = self._by_address.get(address, 0)
        if len(self._lines) >= MOST_CONNECTIONS or mine >= MOST_OF_AN_ADDRESS:
            ENDED.labels(self.protocol, "too many").inc()
            writer.close()
            return
        line = Line(self, reader, writer, address)
        self._lines.add(line)
        self._by_address[address] = mine + 1
        CONNECTIONS.labels(self.protocol).inc()
        try:
            await line.run()
        except Exception as error:
            # A bug of ours: the service ends with it, as it does with any other.
            if not self._failed.done():
                self._failed.set_exception(error)
        finally:
            self._lines.discard(line)
            CONNECTIONS.labels(self.protocol).dec()
            left = self._by_address[address] - 1
            if left:
                self._by_address[address] = left
            else:
                del self._by_address[address]
            for gateway in [one for one, of in self._of_gateway.items() if of is line]:
                del self._of_gateway[gateway]


class Line:
    """One connection."""

    def __init__(
        self, of: Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        self._of, self._reader, self._writer = of, reader, writer
        self._address = address
        now_us = of.now()
        allowed = of.allowance
        self._machine: Session | FireCentre
        if of.protocol == "gb26875":
            self._machine = FireCentre(now_us, allowed.limits, of.clock)
        else:
            self._machine = Session(of.form, now_us, allowed.limits, of.clock)
        self._bytes = Pace(allowed.bytes_a_second, allowed.burst_bytes)
        self._frames = Pace(allowed.frames_a_second, allowed.burst_frames)
        self._answers: asyncio.Queue[tuple[asyncio.Future[None] | None, bytes] | None] = asyncio.Queue(
            UNANSWERED
        )
        self._window, self._window_end = b"", 0
        self._gateway: str | None = None
        self._clock_asked_us: int | None = None
        self._why = "the other side ended it"

    async def run(self) -> None:
        """Until one of the sides ends it."""
        answering = asyncio.ensure_future(self._answer())
        reading = asyncio.ensure_future(self._read())
        try:
            await asyncio.wait([answering, reading], return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and not answering.done():
                await asyncio.wait([answering], timeout=WRITE_WITHIN_S)
            for task in (reading, answering):
                if task.done():
                    task.result()
        except (ConnectionError, OSError, TimeoutError) as error:
            self._why = f"the line broke: {error!r}"
        finally:
            reading.cancel()
            answering.cancel()
            self._writer.close()
            ENDED.labels(self._of.protocol, _kind_of(self._why)).inc()
            log.info("%s: %s: %s", self._of.protocol, self._gateway or self._address, self._why)

    @property
    def held(self) -> int:
        """Bytes of a frame whose end has not come yet."""
        return self._machine.held

    def look(self, now_us: int) -> None:
        """What time asks for: an end, or a command sent again."""
        why = self._machine.why_close(now_us)
        if why is not None:
            self.end(why)
        elif isinstance(self._machine, FireCentre):
            self._send(self._machine.due(now_us))

    def end(self, why: str) -> None:
        self._why = why
        self._writer.close()
        self._reader.feed_eof()

    def check_post(self, minutes: int) -> bool:
        """Asks the person on duty to answer; False where this protocol or device cannot be asked."""
        if not isinstance(self._machine, FireCentre):
            return False
        return self._commanded(self._machine.check_post(self._of.now(), minutes))

    def set_clock(self) -> bool:
        if not isinstance(self._machine, FireCentre):
            return False
        return self._commanded(self._machine.set_clock(self._of.now()))

    def _commanded(self, command: Reply | None) -> bool:
        if command is None:
            return False
        self._send([command])
        return True

    async def _read(self) -> None:
        of = self._of
        while True:
            await of.room.wait()
            data = await self._reader.read(READ_BYTES)
            now_us = of.now()
            if not data:
                break
            self._window = (self._window + data)[-WINDOW_BYTES:]
            self._window_end += len(data)
            frames = 0
            for frame, items in self._machine.pieces(data, now_us):
                frames += 1
                await self._take(frame, items, now_us)
            why = self._machine.why_close(now_us)
            if why is not None:
                self._why = why
                break
            wait_s = max(self._bytes.wait_s(len(data), now_us), self._frames.wait_s(frames, now_us))
            if wait_s:
                SLOWED.labels(of.protocol).inc()
                await asyncio.sleep(wait_s)
        left = self._machine.finish(of.now())
        if left:
            await self._take(None, left, of.now())
        await self._answers.put(None)

    async def _take(self, frame: bytes | None, items: list[Item], now_us: int) -> None:
        """One frame's results: into the queue for Kafka, its answers behind it."""
        of = self._of
        raw = frame if frame is not None else self._shown(items)
        sender = self._gateway or f"{of.protocol}/{self._address}"
        way = f"tcp/{of.protocol}"
        password = None if frame is None else of.form.password(frame)
        admitted = of.admission.admit(
            Arrival(of.protocol, items, raw, way, sender, now_us, password=password)
        )
        for gateway in admitted.gateways:
            self._gateway = gateway
            of.spoke(self, gateway)
        self._note(items)
        for item in items:
            if isinstance(item, Reply):
                await self._answers.put((admitted.stored, item.data))
        if isinstance(self._machine, FireCentre) and frame is not None:
            self._mind_clock(items, now_us)

    def _note(self, items: Iterable[Item]) -> None:
        for item in items:
            if isinstance(item, Seen) and item.frame.endswith(("_done", "_failed", "_refused")):
                COMMANDS.labels(self._of.protocol, item.frame).inc()
                if self._gateway is not None:
                    self._of.said(self._gateway, item.frame)

    def _mind_clock(self, items: Iterable[Item], now_us: int) -> None:
        """A device whose newest reading is far from our clock is told the time, once an hour at most."""
        if self._clock_asked_us is not None and now_us - self._clock_asked_us < CLOCK_AGAIN_US:
            return
        times = [item.time_us for item in items if isinstance(item, Reading) and item.time_us is not None]
        city_us = self._of.clock.city_us(now_us)
        allowed_us = CLOCK_OFF_US * max(1.0, self._of.clock.scale)
        if times and all(abs(time_us - city_us) > allowed_us for time_us in times) and self.set_clock():
            self._clock_asked_us = now_us

    def _send(self, items: Iterable[Item]) -> None:
        """What we say of ourselves; a line that does not take its answers gets no commands either."""
        items = list(items)
        self._note(items)
        for item in items:
            if isinstance(item, Reply) and not self._answers.full():
                self._answers.put_nowait((None, item.data))

    async def _answer(self) -> None:
        while (found := await self._answers.get()) is not None:
            stored, data = found
            if stored is not None:
                await stored
            self._writer.write(data)
            async with asyncio.timeout(WRITE_WITHIN_S):
                await self._writer.drain()

    def _shown(self, items: Iterable[Item]) -> bytes:
        """The bytes where something was no frame."""
        at = next((item.at for item in items if isinstance(item, Bad)), self._window_end)
        begin = max(0, at - (self._window_end - len(self._window)))
        return self._window[begin : begin + SHOWN_BYTES]


def _kind_of(why: str) -> str:
    """A word for a metric; a reason has numbers in it."""
    for word in (
        "silent",
        "bad frames",
        "sound frame",
        "a frame has been coming",
        "the line broke",
        "we stop",
    ):
        if word in why:
            return word
    return "other side"
