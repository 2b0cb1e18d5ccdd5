"""The MQTT 5 session: one persistent client on the event loop, acknowledging only when told to.

Messages go to `receive` as they come; `acknowledge` sends the PUBACK. `pause` leaves the socket unread, so
that the broker keeps what Kafka cannot take. What is said in one turn of the loop leaves in one write. It
tells Sparkplug's edge nodes whether we are there (ingest/host_state.py). Reconnects for ever, except when
another ingest took the session over (Mosquitto 2.0.11 only closes the connection, so `superseded` is
asked): two would take it from each other for ever. Without a connection answers are not taken (gateways
resend); those that the broker had not acknowledged are said again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from prometheus_client import Counter, Gauge

from ingest import host_state, packets
from ingest.message import Message
from ingest.packets import Inbox, Packet, ProtocolError
from schemas import topics

log = logging.getLogger(__name__)

RECEIVE_MAXIMUM = 8_192
SESSION_EXPIRY_S = 7 * 24 * 3600
KEEPALIVE_S = 30
CONNECT_WITHIN_S = 5.0
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
TAKEN_OVER = 142
MIDS = 65_535
WAITING_ANSWERS = 200_000
"""Said and not yet taken by a broker that limits us; beyond it they are dropped, and asked for again."""

CONNECTED = Gauge("cityvigil_ingest_mqtt_connected", "1 while the session is up and subscribed")
CONNECTS = Counter("cityvigil_ingest_mqtt_connects_total", "times the session came up")
UNSENT = Counter("cityvigil_ingest_answers_unsent_total", "answers dropped for want of a connection")


class TakenOver(RuntimeError):
    """Another client came with our client id; it goes on, this process must not."""


class Session:
    def __init__(
        self,
        address: str,
        user: str,
        password: str,
        receive: Callable[[Message], None],
        superseded: Callable[[], Awaitable[bool]],
        now: Callable[[], int],
        filters: Sequence[str] = (topics.MQTT_UP,),
    ) -> None:
        self.connected = False  # and subscribed
        self.trouble = "not connected yet"
        self._greeted = False  # the broker let us in: what it kept for us may come before the subscription
        self._address = address
        self._account = user, password
        self._receive = receive
        self._superseded = superseded
        self._now = now
        self._filters = filters
        self._connection = 0
        self._since_us = 0
        self._paused = False
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._failed: asyncio.Future[None] = self._loop.create_future()
        self._wire: _Wire | None = None
        self._out: list[bytes] = []
        self._mid = 0
        self._limit = MIDS
        self._unacknowledged: dict[int, tuple[str, bytes, bytes | None]] = {}
        self._waiting: deque[tuple[str, bytes, bytes | None]] = deque()

    async def run(self) -> None:
        """Until cancelled. Raises TakenOver, and whatever `receive` raised."""
        connecting = asyncio.ensure_future(self._stay_connected())
        try:
            await asyncio.wait([connecting, self._failed], return_when=asyncio.FIRST_COMPLETED)
            for one in (self._failed, connecting):
                if one.done():
                    one.result()
        finally:
            connecting.cancel()
            if self._wire is not None and not self._closing:
                self._wire.transport.abort()

    def pause(self) -> None:
        """Leaves unread what comes from now on."""
        if not self._paused:
            self._paused = True
            if self._wire is not None and not self._wire.transport.is_closing():
                self._wire.transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if self._wire is not None and not self._wire.transport.is_closing():
                self._wire.transport.resume_reading()

    @property
    def is_paused(self) -> bool:
        return self._paused

    def acknowledge(self, message: Message) -> None:
        """PUBACK; after a reconnect the broker sends the message again, so the old one's goes nowhere."""
        if message.qos == 1 and message.connection == self._connection and self._greeted:
            self._write(packets.puback(message.mid))

    def answer(self, topic: str, payload: bytes, correlation: bytes | None) -> None:
        if not self._greeted or len(self._waiting) >= WAITING_ANSWERS:
            UNSENT.inc()
        elif len(self._unacknowledged) >= self._limit:
            self._waiting.append((topic, payload, correlation))
        else:
            self._publish(topic, payload, correlation)

    async def close(self, within_s: float = 2.0) -> None:
        """Says what is left to say and ends the connection; the broker keeps the session, and what came and
        was not acknowledged."""
        self._closing = True
        wire = self._wire
        if wire is None:
            return
        if self.connected:
            self._since_us = max(self._since_us, self._now())  # of an orderly end, not of the connection
            self._say_we_are(online=False)
        self._write(packets.GOODBYE)
        self._flush()
        if not wire.transport.is_closing():
            # To close with something unread resets the connection, and the broker may never see our words.
            wire.transport.resume_reading()
        await asyncio.wait([wire.lost], timeout=within_s)
        wire.transport.abort()

    async def _stay_connected(self) -> None:
        attempt = 0
        while not self._closing:
            try:
                wire = await self._opened()
            except (OSError, TimeoutError) as error:
                self.trouble = f"no broker at {self._address}: {error}"
            else:
                await self._alive(wire)
                if not self.trouble:
                    self.trouble = f"lost the connection to {self._address}"
                    attempt = 0
            if self._closing:
                break
            if self._connection and await self._superseded():
                raise TakenOver(f"another ingest took the session {topics.INGEST_CLIENT} over")
            log.warning("MQTT: %s", self.trouble)
            await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
            attempt += 1

    async def _opened(self) -> _Wire:
        host, _, port = self._address.rpartition(":")
        async with asyncio.timeout(CONNECT_WITHIN_S):
            _, wire = await self._loop.create_connection(lambda: _Wire(self._take), host, int(port))
        self._wire = wire
        if self._paused:
            wire.transport.pause_reading()
        self._out.clear()
        self._since_us = self._now()
        will = host_state.TOPIC, host_state.said(False, self._since_us)
        self._write(
            packets.connect(
                topics.INGEST_CLIENT, *self._account, KEEPALIVE_S, SESSION_EXPIRY_S, RECEIVE_MAXIMUM, will
            )
        )
        return wire

    async def _alive(self, wire: _Wire) -> None:
        """Until the connection is lost, which it also is when the broker no longer answers."""
        self._keepalive_s = float(KEEPALIVE_S)
        pinged = begun = self._loop.time()
        try:
            while not wire.lost.done():
                await asyncio.wait([wire.lost], timeout=1.0)
                now = self._loop.time()
                patience_s = 1.5 * self._keepalive_s if self._greeted else CONNECT_WITHIN_S
                if not self._paused and now - max(wire.heard, begun) > patience_s:
                    wire.transport.abort()
                elif now - pinged >= self._keepalive_s / 2 and self._greeted:
                    self._write(packets.PING)
                    pinged = now
        finally:
            self._wire = None
            self.connected = self._greeted = False
            CONNECTED.set(0)
            UNSENT.inc(len(self._waiting))
            self._waiting.clear()

    def _take(self, packet: Packet) -> None:
        """What goes wrong with a packet ends `run` with it; what the broker does wrong, the connection."""
        try:
            self._taken(packet)
        except ProtocolError as error:
            log.warning("MQTT: %s", error)
            if self._wire is not None:
                self._wire.transport.abort()
        except Exception as error:
            if not self._failed.done():
                self._failed.set_exception(error)
            self.pause()

    def _taken(self, packet: Packet) -> None:
        kind = packet.kind
        if self._closing:
            return
        if kind == packets.PUBLISH:
            found = packets.published(packet)
            if found.topic == host_state.TOPIC and self.connected and host_state.is_offline(found.payload):
                self._say_we_are(online=True)
            self._receive(
                Message(
                    found.topic,
                    found.payload,
                    found.response_topic,
                    found.correlation,
                    found.published_us,
                    self._now(),
                    found.mid,
                    found.qos,
                    self._connection,
                )
            )
        elif kind == packets.PUBACK:
            self._unacknowledged.pop(packets.mid_of(packet), None)
            if self._waiting:
                self._publish(*self._waiting.popleft())
        elif kind == packets.CONNACK:
            self._welcomed(packets.greeting(packet))
        elif kind == packets.SUBACK:
            self._subscribed(packets.reasons_of(packet))
        elif kind == packets.DISCONNECT:
            if packets.reason_of(packet) == TAKEN_OVER:
                raise TakenOver(f"another ingest took the session {topics.INGEST_CLIENT} over")
        elif kind != packets.PINGRESP:
            raise ProtocolError(f"the broker sent a packet of kind {kind}, which is not for us")

    def _welcomed(self, greeting: packets.Greeting) -> None:
        if greeting.reason >= packets.REFUSED_FROM:
            self.trouble = f"the broker at {self._address} refuses us: {_said(greeting.reason)}"
            raise ProtocolError(self.trouble)
        self._connection += 1
        self._greeted = True
        self._limit = min(greeting.receive_maximum, MIDS - 1)
        if greeting.keepalive_s is not None:
            self._keepalive_s = float(greeting.keepalive_s or KEEPALIVE_S)
        unsaid = [one for one in self._unacknowledged.values() if one[0] != host_state.TOPIC]
        self._unacknowledged.clear()
        self._waiting.extend(unsaid[self._limit :])
        for one in unsaid[: self._limit]:
            self._publish(*one)
        self._write(packets.subscribe(self._next_mid(), self._filters))

    def _subscribed(self, reasons: list[int]) -> None:
        refused = [reason for reason in reasons if reason >= packets.REFUSED_FROM]
        if refused or len(reasons) != len(self._filters):
            asked = ", ".join(self._filters)
            self.trouble = f"the broker at {self._address} refuses {asked}: {_said(max(refused, default=0))}"
            return
        self.trouble = ""
        self.connected = True
        CONNECTED.set(1)
        CONNECTS.inc()
        self._say_we_are(online=True)
        log.info("MQTT: subscribed to %s at %s", ", ".join(self._filters), self._address)

    def _say_we_are(self, *, online: bool) -> None:
        self._publish(host_state.TOPIC, host_state.said(online, self._since_us), None)

    def _publish(self, topic: str, payload: bytes, correlation: bytes | None) -> None:
        mid = self._next_mid()
        self._unacknowledged[mid] = topic, payload, correlation
        retained = topic == host_state.TOPIC
        self._write(packets.publish(topic, payload, mid, correlation, retained=retained))

    def _next_mid(self) -> int:
        self._mid = self._mid % MIDS + 1
        while self._mid in self._unacknowledged:
            self._mid = self._mid % MIDS + 1
        return self._mid

    def _write(self, data: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        if self._out and self._wire is not None:
            self._wire.transport.write(b"".join(self._out))
        self._out.clear()


class _Wire(asyncio.BufferedProtocol):
    """One connection: bytes in, packets out."""

    transport: asyncio.Transport

    def __init__(self, take: Callable[[Packet], None]) -> None:
        loop = asyncio.get_running_loop()
        self._time = loop.time
        self._take = take
        self._inbox = Inbox()
        self.heard = 0.0
        self.lost: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "a connection is a stream both ways"
        self.transport = transport
        opened = transport.get_extra_info("socket")
        if opened.family in (socket.AF_INET, socket.AF_INET6):
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get_buffer(self, _: int) -> memoryview:
        return self._inbox.room()

    def buffer_updated(self, count: int) -> None:
        self.heard = self._time()
        try:
            for packet in self._inbox.filled(count):
                self._take(packet)
        except ProtocolError as error:
            log.warning("MQTT: %s", error)
            self.transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)


def _said(reason: int) -> str:
    known = {134: "bad user name or password", 135: "not authorized", 133: "client identifier not valid"}
    return f"{known.get(reason, 'reason')} ({reason:#x})"
