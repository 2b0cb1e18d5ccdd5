"""A Sparkplug B edge node: births when it connects and when it is asked, data with aliases, its will as its
death.

QoS 0, as the specification has it: what was said while the line was down is told after the next birth,
marked as historical. Nothing is answered, so what is lost between is lost; the host sees the gap and asks
for a birth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from simulators.gateway import Gateway
from simulators.protocols import sparkplug

GROUP = "city"
MOST_WAITING = 10_000


class EdgeNodeGateway(Gateway):
    """`names` are its metrics (name, whether a state) in the order of aliases; `city_us` tells its clock."""

    def __init__(
        self,
        *arguments: Any,
        names: Sequence[tuple[str, bool]],
        city_us: Callable[[], int],
        **more: Any,
    ) -> None:
        super().__init__(*arguments, **more)
        self._names, self._city_us = names, city_us
        self._waiting: deque[tuple[bytes, int]] = deque(maxlen=MOST_WAITING)
        self._session_number = -1
        self._sequence = 0

    def submit(self, payload: bytes, readings: int, form: str | None = None) -> int:
        """Says metrics now, or after the next birth."""
        if self.ready:
            self._say(payload, readings)
        else:
            self._waiting.append((payload, readings))
        return self._sequence

    def _say(self, metrics: bytes, readings: int) -> None:
        self._sequence = (self._sequence + 1) % 256
        self._publish("NDATA", sparkplug.data(metrics, self._sequence, self._city_us()))
        self.counters.sent += 1
        self.counters.sent_readings += readings
        self.counters.answered += 1
        self.counters.stored_readings += readings

    def _birth(self) -> None:
        self._sequence = 0
        self._publish("NBIRTH", sparkplug.birth(self._session_number, self._names, self._city_us()))

    def _publish(self, kind: str, payload: bytes) -> None:
        if self._client is not None:
            self._client.publish(f"spBv1.0/{GROUP}/{kind}/{self.gateway}", payload, qos=0)
            self._flush()

    def _new_client(self) -> Client:
        self._session_number = (self._session_number + 1) % 256
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=self.gateway, protocol=MQTTProtocolVersion.MQTTv311
        )
        client.username_pw_set(self.gateway, self.secret)
        client.will_set(
            f"spBv1.0/{GROUP}/NDEATH/{self.gateway}", sparkplug.death(self._session_number), qos=1
        )
        client.on_connect = self._on_connected
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _on_connected(self, client: Client, _: object, __: object, code: ReasonCode, ___: object) -> None:
        if code.is_failure:
            self._lose(f"the broker refused: {code}")
            return
        client.subscribe(f"spBv1.0/{GROUP}/NCMD/{self.gateway}", qos=1)

    def _on_subscribe(
        self, client: Client, _: object, mid: int, codes: list[ReasonCode], properties: object
    ) -> None:
        if any(code.is_failure for code in codes):
            self._lose(f"the broker refused commands: {codes[0]}")
            return
        self.counters.connects += 1
        self._birth()
        self.ready, self.why = True, None
        while self._waiting:
            metrics, readings = self._waiting.popleft()
            self._say(sparkplug.as_historical(metrics), readings)

    def _on_message(self, client: Client, _: object, message: MQTTMessage) -> None:
        if sparkplug.REBIRTH in message.payload:
            self._birth()
        else:
            self.counters.strange += 1
