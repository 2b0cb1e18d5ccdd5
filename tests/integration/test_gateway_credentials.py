"""Who may do what at the broker: a gateway below its own topics, the service account everywhere, nobody else.

Uses paho as a gateway would; the broker's log is read as ingest reads it.
"""

from __future__ import annotations

import argparse
import json
import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cityvigil import gateways, mosquitto, process
from cityvigil.errors import CannotRun
from cityvigil.stack import Stack
from cityvigil.verbs import gateways as verb
from tests.services import Mqtt

WITHIN_S = 10


class Session:
    """One connection, with what the broker said to it."""

    def __init__(self, mqtt: Mqtt, user: str, password: str, client_id: str) -> None:
        self.connected: queue.Queue[str] = queue.Queue()
        self.gone: queue.Queue[str] = queue.Queue()
        self.published: queue.Queue[str] = queue.Queue()
        self.subscribed: queue.Queue[int] = queue.Queue()
        self.received: queue.Queue[str] = queue.Queue()
        self.client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.username_pw_set(user, password)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_publish = self._on_publish
        self.client.on_subscribe = lambda *args: self.subscribed.put(args[2])
        self.client.on_message = self._on_message
        self.client.connect(mqtt.host, mqtt.port)
        self.client.loop_start()

    def _on_connect(
        self,
        client: Client,
        data: object,
        flags: ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self.connected.put(str(code))

    def _on_disconnect(
        self,
        client: Client,
        data: object,
        flags: DisconnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self.gone.put(str(code))

    def _on_publish(
        self, client: Client, data: object, mid: int, code: ReasonCode, properties: Properties
    ) -> None:
        self.published.put(str(code))

    def _on_message(self, client: Client, data: object, message: MQTTMessage) -> None:
        self.received.put(message.topic)

    def publish(self, topic: str, payload: bytes = b"x") -> str:
        self.client.publish(topic, payload, qos=1)
        return self.published.get(timeout=WITHIN_S)

    def subscribe(self, topic: str) -> None:
        self.client.subscribe(topic, qos=1)
        self.subscribed.get(timeout=WITHIN_S)


@contextmanager
def connected(mqtt: Mqtt, user: str, password: str, client_id: str | None = None) -> Iterator[Session]:
    session = Session(mqtt, user, password, client_id or user)
    try:
        yield session
    finally:
        session.client.disconnect()
        session.client.loop_stop()


def answer(mqtt: Mqtt, user: str, password: str) -> str:
    with connected(mqtt, user, password) as session:
        return session.connected.get(timeout=WITHIN_S)


def line_of_log(mqtt: Mqtt, *words: str) -> str:
    found: list[str] = []

    def there() -> bool:
        lines = mqtt.log.read_text().splitlines()
        found.extend(line for line in lines if all(word in line for word in words))
        return bool(found)

    assert process.wait(there, WITHIN_S), f"no line with {words} in {mqtt.log}"
    return found[-1]


@pytest.fixture
def service(mqtt: Mqtt, unique: str) -> Iterator[Session]:
    with connected(mqtt, mqtt.user, mqtt.password, f"{unique}-service") as session:
        yield session


def test_a_gateway_publishes_below_its_own_topic(mqtt: Mqtt, unique: str, service: Session) -> None:
    service.subscribe(f"up/{unique}/#")
    with connected(mqtt, unique, mqtt.add_gateway(unique)) as gateway:
        assert gateway.publish(f"up/{unique}/senml") == "Success"
    assert service.received.get(timeout=WITHIN_S) == f"up/{unique}/senml"


def test_a_publish_below_another_gateway_is_refused_and_logged_with_the_user(mqtt: Mqtt, unique: str) -> None:
    with connected(mqtt, unique, mqtt.add_gateway(unique), f"{unique}-other-client-id") as gateway:
        assert gateway.publish(f"up/{unique}-victim/senml") == "Not authorized"
    line = line_of_log(mqtt, "Denied PUBLISH", f"up/{unique}-victim/senml")
    assert f"Denied PUBLISH from {unique}-other-client-id (" in line
    assert line.endswith(f" by u'{unique}'")


def test_a_gateway_reads_its_own_answers_and_no_others(mqtt: Mqtt, unique: str, service: Session) -> None:
    with connected(mqtt, unique, mqtt.add_gateway(unique)) as gateway:
        gateway.subscribe("down/#")
        gateway.subscribe("up/#")
        service.publish(f"down/{unique}-other/ack")
        service.publish(f"up/{unique}-other/senml")
        service.publish(f"down/{unique}/ack")
        assert gateway.received.get(timeout=WITHIN_S) == f"down/{unique}/ack"


def test_nobody_connects_without_an_account(mqtt: Mqtt, unique: str) -> None:
    assert answer(mqtt, unique, "guessed") == "Not authorized"
    line_of_log(mqtt, "Client <unknown> disconnected, not authorised")
    line_of_log(mqtt, "Sending CONNACK to 127.0.0.1 (0, 135)")


def test_a_packet_over_the_limit_ends_the_connection_and_is_logged_with_the_user(
    mqtt: Mqtt, unique: str
) -> None:
    with connected(mqtt, unique, mqtt.add_gateway(unique)) as gateway:
        assert gateway.connected.get(timeout=WITHIN_S) == "Success"
        # Past what the broker announces in its CONNACK, as a gateway that does not listen would.
        gateway.client.publish(f"up/{unique}/senml", bytes(mosquitto.MAX_PACKET_BYTES + 1), qos=1)
        assert gateway.gone.get(timeout=WITHIN_S)
    assert line_of_log(mqtt, f"Client {unique} disconnected due to oversize packet").endswith(
        f" by u'{unique}'"
    )


def test_a_rotated_secret_is_refused_and_the_new_one_accepted(mqtt: Mqtt, unique: str) -> None:
    old = mqtt.add_gateway(unique)
    assert answer(mqtt, unique, old) == "Success"
    new = gateways.rotate(mqtt.data, unique)
    assert answer(mqtt, unique, old) == "Not authorized"
    assert answer(mqtt, unique, new) == "Success"


def test_a_revoked_gateway_loses_its_live_connection_and_is_refused(mqtt: Mqtt, unique: str) -> None:
    secret = mqtt.add_gateway(unique)
    with connected(mqtt, unique, secret) as gateway:
        assert gateway.connected.get(timeout=WITHIN_S) == "Success"
        gateways.revoke(mqtt.data, unique)
        assert gateway.gone.get(timeout=WITHIN_S)
    assert answer(mqtt, unique, secret) == "Not authorized"
    assert unique not in {one.gateway for one in gateways.list_all(mqtt.data)}


def test_a_change_of_accounts_disturbs_no_other_session(mqtt: Mqtt, unique: str, service: Session) -> None:
    with connected(mqtt, unique, mqtt.add_gateway(unique)) as gateway:
        assert gateway.connected.get(timeout=WITHIN_S) == "Success"
        mqtt.add_gateway(f"{unique}-b")
        gateways.revoke(mqtt.data, f"{unique}-b")
        assert answer(mqtt, f"{unique}-b", "") == "Not authorized"
        assert gateway.publish(f"up/{unique}/senml") in ("Success", "No matching subscribers")
        assert gateway.gone.empty()


def test_two_hundred_gateways_are_made_within_two_seconds(mqtt: Mqtt, unique: str) -> None:
    began = time.monotonic()
    secrets = gateways.add_many(mqtt.data, {f"{unique}-{i}": "zone-1" for i in range(200)})
    assert time.monotonic() - began < 2
    assert answer(mqtt, f"{unique}-199", secrets[f"{unique}-199"]) == "Success"


def test_a_gateway_that_exists_is_not_made_again(mqtt: Mqtt, unique: str) -> None:
    mqtt.add_gateway(unique)
    with pytest.raises(CannotRun, match=f"gateway {unique} exists: `cityvigil gateways rotate {unique}`"):
        gateways.add_many(mqtt.data, {f"{unique}-new": None, unique: None})
    assert f"{unique}-new" not in {one.gateway for one in gateways.list_all(mqtt.data)}


@pytest.mark.parametrize("name", ["GW-1", "gw/1", "gw+", "#", "", "gw:1", "gw\n", "-gw", "cityvigil"])
def test_a_name_that_is_no_identifier_or_a_service_is_refused(mqtt: Mqtt, name: str) -> None:
    with pytest.raises(CannotRun, match="gateway"):
        mqtt.add_gateway(name)


def test_our_hash_is_the_one_mosquitto_makes() -> None:
    line = (
        "$7$101$mvtjdeLeVpE5VVVK$lV9fhYEqDHtRNzE5ZqBmsJeaLto3UdRU3YubOYTldW4M3jx4sMCa9dnJ6tOMYQ2plmbRXMhABu4J"
        "+jD088HwmA=="
    )
    salt = b"\x9a\xfbcu\xe2\xdeV\x919UUJ"
    assert gateways.hashed("s1", salt, 101) == line


def test_the_verb_prints_a_secret_once(stack: Stack, unique: str, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> str:
        parser = argparse.ArgumentParser()
        verb.add_to(parser.add_subparsers())
        args = parser.parse_args(["gateways", *words, "--data", str(stack.data)])
        assert args.run(args) == 0
        return capsys.readouterr().out

    made = json.loads(run("add", unique, "--zone", "z-1"))
    assert made.keys() == {"gateway", "secret"}
    assert {"gateway": unique, "zone": "z-1"} in json.loads(run("list", "--json", "-"))
    assert json.loads(run("rotate", unique))["secret"] != made["secret"]
    assert run("revoke", unique) == ""
    assert unique not in run("list")
