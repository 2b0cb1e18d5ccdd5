"""The MQTT 5 session: one persistent client on the event loop, acknowledging only when told to.

paho-mqtt does the protocol, asyncio watches its socket; nothing runs in threads but the TCP connect. Messages
go to `receive` as they come; `acknowledge` sends the PUBACK. `pause` leaves the socket unread, so that the
broker keeps what Kafka cannot take. Reconnects for ever, except when another ingest took the session over
(Mosquitto 2.0.11 only closes the connection, so `superseded` is asked): two would take it from each other for
ever. Answers are not kept without a connection: gateways resend.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions
from prometheus_client import Counter, Gauge

from ingest.message import Message
from schemas import topics

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike

log = logging.getLogger(__name__)

RECEIVE_MAXIMUM = 8_192
SESSION_EXPIRY_S = 7 * 24 * 3600
KEEPALIVE_S = 30
CONNECT_WITHIN_S = 5.0
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
TAKEN_OVER = 142
RETAINED_NEVER = 2

CONNECTED = Gauge("cityvigil_ingest_mqtt_connected", "1 while the session is up and subscribed")
CONNECTS = Counter("cityvigil_ingest_mqtt_connects_total", "times the session came up")
UNSENT = Counter("cityvigil_ingest_answers_unsent_total", "answers dropped for want of a connection")


class TakenOver(RuntimeError):
    """Another client came with our client id; it goes on, this process must not."""


class _Client(paho.Client):
    """paho gives a message whose properties are no MQTT (a payload format of 7) to nobody and ends the
    connection; Mosquitto lets them through and sends them again after every reconnect. Here such a message
    goes to `on_malformed` with its topic, what follows it, mid and QoS, and can be acknowledged."""

    on_malformed: Callable[[str, bytes, int, int], None]

    def _handle_publish(self) -> MQTTErrorCode:
        try:
            return super()._handle_publish()
        except MQTTException:
            packet = bytes(self._in_packet["packet"])
            qos = (self._in_packet["command"] & 0x06) >> 1
            end = 2 + int.from_bytes(packet[:2], "big")
            rest = end + (2 if qos else 0)
            mid = int.from_bytes(packet[end:rest], "big")
            self.on_malformed(packet[2:end].decode(errors="replace"), packet[rest:], mid, qos)
            return MQTTErrorCode.MQTT_ERR_SUCCESS


class Session:
    def __init__(
        self,
        address: str,
        user: str,
        password: str,
        receive: Callable[[Message], None],
        superseded: Callable[[], Awaitable[bool]],
        now: Callable[[], int],
    ) -> None:
        self.connected = False  # and subscribed
        self._greeted = False  # the broker let us in: what it kept for us may come before the subscription
        self.trouble = "not connected yet"
        self._address = address
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._receive = receive
        self._superseded = superseded
        self._now = now
        self._connection = 0
        self._paused = False
        self._closing = False
        self._socket: SocketLike | None = None
        self._lost = asyncio.Event()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._client = self._build(user, password)

    async def run(self) -> None:
        """Until cancelled. Raises TakenOver, and whatever `receive` raised."""
        misc = asyncio.ensure_future(self._keep_alive())
        connecting = asyncio.ensure_future(self._stay_connected())
        try:
            await asyncio.wait([misc, connecting, self._failed], return_when=asyncio.FIRST_COMPLETED)
            for one in (self._failed, connecting, misc):
                if one.done():
                    one.result()
        finally:
            misc.cancel()
            connecting.cancel()
            if self._socket is not None and not self._closing:
                dropped = self._socket
                self._closed(self._client, None, dropped)
                dropped.close()

    def pause(self) -> None:
        """Leaves unread what comes from now on."""
        if not self._paused:
            self._paused = True
            if self._socket is not None:
                asyncio.get_running_loop().remove_reader(self._socket)

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if self._socket is not None:
                asyncio.get_running_loop().add_reader(self._socket, self._guarded, self._client.loop_read)

    @property
    def is_paused(self) -> bool:
        return self._paused

    def acknowledge(self, message: Message) -> None:
        """PUBACK; after a reconnect the broker sends the message again, so the old one's goes nowhere."""
        if message.qos == 1 and message.connection == self._connection and self._greeted:
            self._client.ack(message.mid, message.qos)

    def answer(self, topic: str, payload: bytes, correlation: bytes | None) -> None:
        if not self._greeted:
            UNSENT.inc()
            return
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho
        if correlation is not None:
            properties.CorrelationData = correlation
        self._client.publish(topic, payload, qos=1, properties=properties)

    async def close(self, within_s: float = 2.0) -> None:
        """Says what is left to say and ends the connection; the broker keeps the session."""
        self._closing = True
        deadline = asyncio.get_running_loop().time() + within_s
        while self.connected and self._client.want_write():
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.01)
        if self._socket is not None:
            self.pause()
            self._client.disconnect()
            while self._socket is not None and asyncio.get_running_loop().time() < deadline:
                self._client.loop_write()
                await asyncio.sleep(0.01)
        if self._socket is not None:
            self._closed(self._client, None, self._socket)

    def _build(self, user: str, password: str) -> _Client:
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=topics.INGEST_CLIENT,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        client.username_pw_set(user, password)
        client.connect_timeout = CONNECT_WITHIN_S
        client.max_inflight_messages_set(65_535)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_malformed = self._on_malformed
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._closed
        client.on_socket_register_write = self._on_want_write
        client.on_socket_unregister_write = self._on_written
        self._loop = asyncio.get_running_loop()
        return client

    async def _stay_connected(self) -> None:
        attempt = 0
        while not self._closing:
            self._lost.clear()
            try:
                await asyncio.to_thread(self._connect)
            except OSError as error:
                self.trouble = f"no broker at {self._address}: {error}"
            else:
                await self._lost.wait()
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

    def _connect(self) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        self._client.connect(self._host, self._port, KEEPALIVE_S, clean_start=False, properties=properties)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if self._socket is not None:
                self._guarded(self._client.loop_misc)

    def _guarded(self, work: Callable[[], MQTTErrorCode]) -> None:
        """What goes wrong in a callback of the event loop ends `run` with it."""
        try:
            work()
        except Exception as error:
            if not self._failed.done():
                self._failed.set_exception(error)
            self.pause()

    def _on_connect(self, client: Any, _: Any, flags: Any, reason: ReasonCode, __: Any) -> None:
        if reason.is_failure:
            self.trouble = f"the broker at {self._address} refuses us: {reason}"
            return
        self._connection += 1
        self._greeted = True
        options = SubscribeOptions(qos=1, retainHandling=RETAINED_NEVER)
        client.subscribe([(topics.MQTT_UP, options)])

    def _on_subscribe(self, _: Any, __: Any, ___: int, reasons: list[ReasonCode], ____: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self.trouble = f"the broker at {self._address} refuses {topics.MQTT_UP}: {reasons[0]}"
            return
        self.trouble = ""
        self.connected = True
        CONNECTED.set(1)
        CONNECTS.inc()
        log.info("MQTT: subscribed to %s at %s", topics.MQTT_UP, self._address)

    def _on_disconnect(self, _: Any, __: Any, flags: Any, reason: ReasonCode, ___: Any) -> None:
        if flags.is_disconnect_packet_from_server and reason.value == TAKEN_OVER:
            raise TakenOver(f"another ingest took the session {topics.INGEST_CLIENT} over")

    def _on_message(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        properties = message.properties
        self._receive(
            Message(
                message.topic,
                bytes(message.payload),
                getattr(properties, "ResponseTopic", None),
                getattr(properties, "CorrelationData", None),
                _published(getattr(properties, "UserProperty", ())),
                self._now(),
                message.mid,
                message.qos,
                self._connection,
            )
        )

    def _on_malformed(self, topic: str, rest: bytes, mid: int, qos: int) -> None:
        """Without what its properties may have said; that its bytes are no frame is found further on."""
        self._receive(Message(topic, rest, None, None, 0, self._now(), mid, qos, self._connection))

    def _on_socket_open(self, _: Any, __: Any, opened: SocketLike) -> None:
        # Called in the thread that connects.
        self._loop.call_soon_threadsafe(self._opened, opened)

    def _opened(self, opened: SocketLike) -> None:
        if opened.fileno() < 0:
            return
        if isinstance(opened, socket.socket):
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = opened
        if not self._paused:
            self._loop.add_reader(opened, self._guarded, self._client.loop_read)
        if self._client.want_write():
            self._loop.add_writer(opened, self._guarded, self._client.loop_write)

    def _closed(self, _: Any, __: Any, closed: SocketLike) -> None:
        self._loop.remove_reader(closed)
        self._loop.remove_writer(closed)
        self._socket = None
        self.connected = self._greeted = False
        CONNECTED.set(0)
        self._lost.set()

    def _on_want_write(self, _: Any, __: Any, ___: SocketLike) -> None:
        self._loop.call_soon_threadsafe(self._want_write)

    def _want_write(self) -> None:
        if self._socket is not None:
            self._loop.add_writer(self._socket, self._guarded, self._client.loop_write)

    def _on_written(self, _: Any, __: Any, written: SocketLike) -> None:
        if self._socket is not None:
            self._loop.remove_writer(written)


def _published(properties: Any) -> int:
    """The user property `published`, decimal microseconds; 0 if there is none that makes sense."""
    for name, value in properties:
        if name == "published" and value.isascii() and value.isdigit() and len(value) <= 17:
            return int(value)
    return 0
