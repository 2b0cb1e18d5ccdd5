"""The reference gateway: MQTT 5 over paho, an outbox that only the platform's answer empties.

One asyncio loop drives any number of gateways without threads of their own. Each connection is a fresh paho
client with a clean session: the outbox alone decides what is sent again, never paho's own queue. What it
does not do: measure. Whoever owns it submits frames.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from schemas.topics import ack_topic, senml_topic
from simulators.outbox import WINDOW, Outbox

log = logging.getLogger(__name__)

CORRELATION = struct.Struct(">QQ")
KEEPALIVE_S = 30
RETRY_S = 0.25
RETRY_MAX_S = 10.0
MISC_S = 1.0
CONNECTS_AT_ONCE = 8


class Answer(msgspec.Struct):
    """What the platform says of a frame."""

    status: str
    reason: str | None = None
    rejected: int = 0
    start: int | None = msgspec.field(default=None, name="from")


_answers = msgspec.json.Decoder(Answer)


@dataclass(slots=True)
class Counters:
    """Of one gateway since its start. Frames, unless the name says readings."""

    sent: int = 0
    sent_readings: int = 0
    resent: int = 0
    answered: int = 0
    stored_readings: int = 0
    rejected: int = 0
    rejected_readings: int = 0
    connects: int = 0
    strange: int = 0  # answers that are none, or to frames that are not ours


class Gateway:
    """One gateway at `host:port`. `now` gives wall microseconds."""

    def __init__(
        self,
        gateway: str,
        secret: str,
        address: str,
        *,
        outbox: Outbox,
        epoch: int,
        now: Callable[[], int],
        rng: random.Random,
        topic: str | None = None,
        connecting: asyncio.Semaphore | None = None,
    ) -> None:
        self.gateway, self.outbox, self.epoch = gateway, outbox, epoch
        self.counters = Counters()
        self.ready = False
        self.why: str | None = "not connected yet"
        self.secret = secret
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._now, self._rng = now, rng
        self._topic = topic or senml_topic(gateway)
        self._connecting = connecting or asyncio.Semaphore(CONNECTS_AT_ONCE)
        self._client: Client | None = None
        self._sizes: dict[int, int] = {}
        self._topics: dict[int, str] = {}
        self._line_up = asyncio.Event()
        self._line_up.set()
        self._lost: asyncio.Future[str] | None = None
        self._emptied = asyncio.Event()
        self._taken = asyncio.Event()

    def submit(self, payload: bytes, readings: int, form: str | None = None) -> int:
        """Takes a frame for sending, on another of its topics if `form` names one; its sequence."""
        sequence = self.outbox.put(payload)
        if form is not None:
            self._topics[sequence] = f"up/{self.gateway}/{form}"
        self._sizes[sequence] = readings
        self._emptied.clear()
        self._pump()
        self._flush()
        return sequence

    async def emptied(self) -> None:
        """Returns when everything submitted is answered."""
        while len(self.outbox):
            await self._emptied.wait()

    async def room(self) -> None:
        """Returns when fewer frames wait than may be on the wire: a pace that answers allow."""
        while len(self.outbox) >= WINDOW:
            self._taken.clear()
            await self._taken.wait()

    def cut(self) -> None:
        """Cuts the line, without a good-bye, until `mend`."""
        self._line_up.clear()
        if self._client and (sock := self._client.socket()):
            cast(socket.socket, sock).shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._line_up.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Connects, and again when the line is lost, until `stop`."""
        retry_s = RETRY_S
        ended: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                connects = self.counters.connects
                try:
                    await self._session(ended)
                except OSError as error:
                    self.why = f"{self._host}:{self._port}: {error}"
                self.ready = False
                if stop.is_set():
                    return
                retry_s = RETRY_S if self.counters.connects > connects else min(2 * retry_s, RETRY_MAX_S)
                log.debug("gateway %s: %s; again in about %.1f s", self.gateway, self.why, retry_s)
                await asyncio.wait({ended}, timeout=retry_s * self._rng.uniform(0.5, 1.5))
                await _either(ended, asyncio.ensure_future(self._line_up.wait()))
        finally:
            ended.cancel()

    async def _session(self, ended: asyncio.Future[Any]) -> None:
        """One connection from CONNECT to its loss or the end."""
        loop = asyncio.get_running_loop()
        self._lost = lost = loop.create_future()
        either: set[asyncio.Future[Any]] = {lost, ended}
        client = self._new_client()
        async with self._connecting:
            await asyncio.to_thread(client.connect, self._host, self._port, KEEPALIVE_S)
        sock = client.socket()
        if sock is None:
            raise OSError("the connection was lost before it was used")
        self._client = client
        file = sock.fileno()
        loop.add_reader(file, self._readable)
        try:
            self._flush()
            while not lost.done() and not ended.done():
                await asyncio.wait(either, timeout=MISC_S, return_when=asyncio.FIRST_COMPLETED)
                if not lost.done() and client.loop_misc() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    self._lose("the broker is silent")
                self._pump()
                self._flush()
        finally:
            self._client = None
            self.outbox.disconnected()
            loop.remove_reader(file)
            loop.remove_writer(file)
            client.disconnect()
        if lost.done():
            self.why = lost.result()

    def _new_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=self.gateway, protocol=MQTTProtocolVersion.MQTTv5
        )
        client.username_pw_set(self.gateway, self.secret)
        client.max_inflight_messages_set(0)
        client.max_queued_messages_set(0)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _readable(self) -> None:
        client = self._client
        if client is None:
            return
        if client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._lose("the line was cut")
        self._flush()

    def _flush(self) -> None:
        """Writes what paho holds back inside its callbacks or for a full socket."""
        client = self._client
        if client is None:
            return
        if client.want_write():
            client.loop_write()
        sock = client.socket()
        if sock is None:
            self._lose("the line was cut")
            return
        loop = asyncio.get_running_loop()
        if client.want_write():
            loop.add_writer(sock.fileno(), self._flush)
        else:
            loop.remove_writer(sock.fileno())

    def _pump(self) -> None:
        """Puts on the wire what the outbox says. Inside paho's callbacks paho only queues it."""
        client = self._client
        if client is None or not self.ready:
            return
        for frame in self.outbox.to_send(self._now()):
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho does not type it
            properties.ResponseTopic = ack_topic(self.gateway)
            properties.CorrelationData = CORRELATION.pack(self.epoch, frame.sequence)
            properties.UserProperty = ("published", str(frame.first_us))
            topic = self._topics.get(frame.sequence, self._topic)
            client.publish(topic, frame.payload, qos=1, properties=properties)
            if frame.again:
                self.counters.resent += 1
            else:
                self.counters.sent += 1
                self.counters.sent_readings += self._sizes.get(frame.sequence, 0)

    def _lose(self, why: str) -> None:
        if self._lost and not self._lost.done():
            self._lost.set_result(why)

    def _on_connect(
        self, client: Client, _: object, flags: ConnectFlags, code: ReasonCode, properties: object
    ) -> None:
        if code.is_failure:
            self._lose(f"the broker refused: {code}")
            return
        client.subscribe(ack_topic(self.gateway), qos=1)

    def _on_subscribe(
        self, client: Client, _: object, mid: int, codes: list[ReasonCode], properties: object
    ) -> None:
        if any(code.is_failure for code in codes):
            self._lose(f"the broker refused to send answers: {codes[0]}")
            return
        self.counters.connects += 1
        self.ready, self.why = True, None
        self.outbox.connected()
        self._pump()

    def _on_disconnect(
        self, client: Client, _: object, flags: DisconnectFlags, code: ReasonCode, properties: object
    ) -> None:
        self.ready = False
        self._lose(str(code))

    def _on_message(self, client: Client, _: object, message: MQTTMessage) -> None:
        data = getattr(message.properties, "CorrelationData", b"")
        try:
            answer = _answers.decode(message.payload)
            epoch, sequence = CORRELATION.unpack(data)
        except (msgspec.DecodeError, struct.error):
            self.counters.strange += 1
            return
        if epoch != self.epoch:
            self.counters.strange += 1
        elif answer.status == "resend" and answer.start is not None:
            self.outbox.resend(answer.start)
        else:
            self._take(sequence, answer)
        self._pump()

    def _take(self, sequence: int, answer: Answer) -> None:
        if answer.status not in ("stored", "duplicate", "rejected"):
            self.counters.strange += 1
            return
        if not self.outbox.answered(sequence, self._now()):
            return  # an answer to a resend of what was answered before
        readings = self._sizes.pop(sequence, 0)
        self._topics.pop(sequence, None)
        bad = readings if answer.status == "rejected" else min(answer.rejected, readings)
        self.counters.answered += 1
        self.counters.rejected += answer.status == "rejected"
        self.counters.rejected_readings += bad
        self.counters.stored_readings += readings - bad
        if answer.status == "rejected":
            where = f"{self.gateway}/{self.epoch}/{sequence}"
            log.warning("frame rejected: %s", answer.reason, extra={"correlation": where})
        self._taken.set()
        if not len(self.outbox):
            self._emptied.set()


async def _either(ended: asyncio.Future[Any], other: asyncio.Future[Any]) -> None:
    """Returns when one of them is done, and gives up the other."""
    await asyncio.wait({ended, other}, return_when=asyncio.FIRST_COMPLETED)
    other.cancel()
