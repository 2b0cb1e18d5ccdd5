"""What gateways speak over MQTT beside SenML, through the real broker: their own topics, Sparkplug B."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from cityvigil import gateway_command, gateways
from cityvigil.stack import Stack
from ingest import host_state
from ingest.field import Ports
from ingest.formats import gb26875, modbus
from ingest.formats.gb26875 import ACK, SEND, framed, six_bytes
from ingest.formats.protobuf_wire import field
from schemas.control import Tick
from schemas.reading import Quality
from schemas.registry import Gateway, Sensor, Zone
from tests.integration.field.test_tcp import a_line, a_panel
from tests.integration.ingest_bench import (
    AGateway,
    an_ingest,
    controls,
    now_us,
    register,
    rejects,
    rows,
    running,
    until,
)
from tests.unit.formats.book import named
from tests.unit.formats.test_sparkplug import DOUBLE, INT64, metric, payload

pytestmark = pytest.mark.integration

WITHIN_S = 60.0
ZONE = Zone("port-01", "port", "港一", "Port 1", partition=1)


class AnEdgeNode:
    """An edge node by hand: its will is its death."""

    def __init__(self, stack: Stack, name: str, secret: str, session: int = 0) -> None:
        self.name, self.session = name, session
        self.commands: list[bytes] = []
        self._ready = False
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv311
        )
        self._client.username_pw_set(name, secret)
        death = payload(metric("bdSeq", datatype=INT64, value=field(11, session)))
        self._client.will_set(f"spBv1.0/city/NDEATH/{name}", death, qos=1)
        self._client.on_connect = lambda client, *_: client.subscribe(f"spBv1.0/city/NCMD/{name}", 1)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = lambda _, __, message: self.commands.append(bytes(message.payload))
        host, _, port = stack.mqtt.rpartition(":")
        self._client.connect(host, int(port))
        self._client.loop_start()

    async def ready(self) -> AnEdgeNode:
        await until(lambda: self._ready, "the edge node is connected", WITHIN_S)
        return self

    def _on_subscribe(self, *_: Any) -> None:
        self._ready = True

    def say(self, kind: str, body: bytes, device: str = "") -> None:
        below = f"/{device}" if device else ""
        self._client.publish(f"spBv1.0/city/{kind}/{self.name}{below}", body, qos=0)

    def birth(self) -> None:
        named_once = metric("level", alias=5, datatype=DOUBLE, value=field(13, 1.5))
        session = metric("bdSeq", datatype=INT64, value=field(11, self.session))
        self.say("NBIRTH", payload(session, named_once, seq=0, time_ms=now_us() // 1_000))

    def data(self, seq: int, value: float, *, is_historical: bool = False) -> None:
        one = metric(alias=5, value=field(13, value), is_historical=is_historical)
        self.say("NDATA", payload(one, seq=seq, time_ms=now_us() // 1_000))

    def die(self) -> None:
        """Without a good-bye: the broker speaks its will."""
        sock = self._client.socket()
        assert sock is not None
        self._client.loop_stop()
        sock.close()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


async def stored(stack: Stack, gateway: str, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(WITHIN_S):
        while len(found := await rows(stack, gateway)) < count:
            await asyncio.sleep(0.05)
    return list(found)


async def test_a_gateway_speaks_what_its_devices_speak_in_its_own_topics(
    stack: Stack, unique: str, gateway: AGateway
) -> None:
    await register(
        stack,
        [
            ZONE,
            Gateway(unique, "port-01"),
            Sensor(41, unique, "1/pressure", "water_main_pressure", "MPa", "port-01"),
            Sensor(42, unique, "Datastreams(42)", "road_water_depth", "m", "port-01"),
        ],
        version=21,
    )
    now_ms = now_us() // 1_000
    time = "2026-11-01T00:30:15Z"
    registers = [{"point": "pressure", "at": 0, "type": "f32", "order": "CDAB", "unit": "kPa"}]
    swapped = struct.pack(">f", 412.5)
    answer = modbus.framed(1, 3, b"\4" + swapped[2:] + swapped[:2])
    said: dict[str, bytes] = {
        "v1/devices/me/telemetry": json.dumps({"ts": now_ms, "values": {"temperature": 42}}).encode(),
        "v1/gateway/telemetry": json.dumps({"A": [{"ts": now_ms, "values": {"t": 1}}]}).encode(),
        "v1.1/Datastreams(42)/Observations": json.dumps({"phenomenonTime": time, "result": 0.31}).encode(),
        "onenet": json.dumps({"id": "1", "params": {"level": {"value": 3, "time": now_ms}}}).encode(),
        "dlt645": named("dlt645", "mk_energy_1234.56"),
        "cjt188": json.dumps({"time": time, "frames": [named("cjt188", "mk_water_1234.56").hex()]}).encode(),
        "modbus": json.dumps({"time": time, "frames": [answer.hex()], "registers": registers}).encode(),
    }
    async with running(an_ingest(stack)):
        for sequence, (form, body) in enumerate(said.items(), 1):
            answered = await gateway.send(body, sequence, topic=f"up/{unique}/{form}")
            assert answered == {"status": "stored"}, form
        again = await gateway.send(said["dlt645"], 5, topic=f"up/{unique}/dlt645")
        assert again == {"status": "duplicate"}
        connected = await gateway.send(b'{"device":"A"}', 8, topic=f"up/{unique}/v1/gateway/connect")
        assert connected == {"status": "stored"}
        garbage = await gateway.send(b"\x68\x00", 9, topic=f"up/{unique}/cjt188")
        assert (garbage["status"], garbage["rejected"]) == ("rejected", 1)
    found = await rows(stack, unique)
    values = [row["value"] for row in found if row["sensor"] is not None]
    assert values[:6] == [42, 1, 0.31, 3, 1234.56, 1234.56]
    by_sensor = {row["sensor"]: row["value"] for row in found if row["sensor"] is not None}
    assert (by_sensor[41], by_sensor[42]) == (0.4125, 0.31)
    assert {row["partition"] for row in found} == {1}


async def test_an_edge_node_is_born_loses_a_message_is_asked_for_births_and_dies(
    stack: Stack, unique: str
) -> None:
    secret = gateways.add(stack.data, unique)
    await register(
        stack,
        [ZONE, Gateway(unique, "port-01"), Sensor(43, unique, "level", "road_water_depth", "m", "port-01")],
        version=22,
    )
    async with running(an_ingest(stack)):
        node = await AnEdgeNode(stack, unique, secret).ready()
        node.birth()
        node.data(1, 2.0)
        node.data(2, 2.5, is_historical=True)
        found = await stored(stack, unique, 3)
        assert [(row["value"], row["quality"]) for row in found] == [
            (1.5, Quality.good),
            (2.0, Quality.good),
            (2.5, Quality.historical),
        ]
        assert node.commands == []
        node.data(4, 3.0)
        await until(lambda: node.commands, "a rebirth is asked for", WITHIN_S)
        assert b"Node Control/Rebirth" in node.commands[0]
        node.birth()
        await stored(stack, unique, 5)
        node.die()
        (*_, stale) = await stored(stack, unique, 6)
        assert (stale["value"], stale["quality"]) == (1.5, Quality.link_lost)
        async with asyncio.timeout(WITHIN_S):
            while not any(unique in one.silent for _, one in await controls(stack) if isinstance(one, Tick)):
                await asyncio.sleep(0.2)
    assert {row["sensor"] for row in await rows(stack, unique)} == {43}


async def test_messages_of_a_node_that_overtook_one_another_are_read_in_their_order(
    stack: Stack, unique: str
) -> None:
    secret = gateways.add(stack.data, unique)
    await register(stack, [ZONE, Gateway(unique, "port-01")], version=25)
    async with running(an_ingest(stack, reorder_us=600_000_000)):  # a busy machine may take its time
        node = await AnEdgeNode(stack, unique, secret).ready()
        node.birth()
        for seq in (3, 2, 1, 5):
            node.data(seq, float(seq))
        found = await stored(stack, unique, 4)
        assert [row["value"] for row in found] == [1.5, 1.0, 2.0, 3.0]
        assert node.commands == []
        node.close()
    # What still waited when we stopped is not lost.
    assert [row["value"] for row in await rows(stack, unique)][4:] == [5.0]


async def test_edge_nodes_are_told_whether_their_host_is_there_and_lies_are_contradicted(
    stack: Stack, unique: str
) -> None:
    heard: list[tuple[bool, int, bool]] = []

    def note(client: paho.Client, _: object, message: paho.MQTTMessage) -> None:
        said = json.loads(message.payload)
        heard.append((said["online"], said["timestamp"], message.retain))

    def a_listener(user: str, secret: str) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.username_pw_set(user, secret)
        client.on_message = note
        client.on_connect = lambda connected, *_: connected.subscribe(host_state.TOPIC, 1)
        client.connect("127.0.0.1", int(stack.mqtt.rpartition(":")[2]))
        client.loop_start()
        return client

    async with running(an_ingest(stack)):
        node = a_listener(unique, gateways.add(stack.data, unique))
        await until(lambda: heard, "the state is there for whoever comes later", WITHIN_S)
        (first,) = heard
        assert (first[0], first[2]) == (True, True)
        liar = a_listener(stack.mqtt_user, stack.mqtt_password)
        liar.publish(host_state.TOPIC, host_state.said(False, 0), 1, retain=True)
        await until(lambda: (False, 0) in [one[:2] for one in heard], "a lie is heard", WITHIN_S)
        await until(lambda: heard[-1][:2] == first[:2], "it is contradicted", WITHIN_S)
    await until(lambda: not heard[-1][0] and heard[-1][1] > first[1], "an orderly end is told", WITHIN_S)
    for client in (node, liar):
        client.disconnect()
        client.loop_stop()


async def test_an_edge_node_speaks_for_itself_only(stack: Stack, unique: str) -> None:
    secret = gateways.add(stack.data, unique)
    async with running(an_ingest(stack)):
        honest = await AnEdgeNode(stack, unique, secret).ready()
        thief = AnEdgeNode(stack, unique + "-x", gateways.add(stack.data, unique + "-x"))
        await thief.ready()
        body = payload(
            metric("level", datatype=DOUBLE, value=field(13, 9.0)), seq=0, time_ms=now_us() // 1_000
        )
        thief._client.publish(f"spBv1.0/city/NBIRTH/{unique}", body, qos=0)
        honest.birth()
        found = await stored(stack, unique, 1)
        honest.close()
        thief.close()
    assert [row["value"] for row in found] == [1.5]


async def test_a_person_checks_a_post_by_the_same_command_as_any_gateways(stack: Stack, unique: str) -> None:
    panel = a_panel(unique)
    identity = f"gb26875/{panel[::-1].hex()}"
    await register(stack, [ZONE, Gateway(unique, "port-01", identity=identity)], version=23)
    ports = Ports(tcp={"gb26875": 0})
    async with running(an_ingest(stack, ports=ports)) as ingest, a_line(ingest, "gb26875") as line:
        line.send(framed(1, (1, 1), now_us(), panel, bytes(6), SEND, b"\x15\1\1" + six_bytes(now_us())))
        await line.hears(30)
        asked = asyncio.ensure_future(
            asyncio.to_thread(gateway_command.send, stack, unique, "check-post", {"minutes": 3}, WITHIN_S)
        )
        command = await line.hears(33)
        assert command[26:30] == bytes([gb26875.CONTROL, gb26875.CHECK_POST, 1, 3])
        line.send(framed(int.from_bytes(command[2:4], "little"), (1, 1), now_us(), panel, bytes(6), ACK))
        here = b"\x18\1\x20\0" + six_bytes(now_us())
        line.send(framed(2, (1, 1), now_us(), panel, bytes(6), SEND, here))
        found = await asked
        assert found is not None
        assert found["status"] == "done"
        unknown = await asyncio.to_thread(gateway_command.send, stack, unique, "dance", {}, WITHIN_S)
        assert unknown is not None
        assert unknown["status"] == "unsupported"
    assert await rejects(stack, unique) == []


async def test_thingsboards_own_topics_come_through_the_door_under_the_account_that_logged_in(
    stack: Stack, unique: str
) -> None:
    secret = gateways.add(stack.data, unique)
    await register(stack, [ZONE, Gateway(unique, "port-01")], version=24)
    acknowledged: list[int] = []
    refused: list[object] = []

    def a_client(token: str, port: int) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
        client.username_pw_set(token)
        client.on_publish = lambda *_: acknowledged.append(1)
        client.on_connect = lambda _, __, ___, reason, ____: refused.append(reason.is_failure)
        client.connect("127.0.0.1", port)
        client.loop_start()
        return client

    async with running(an_ingest(stack, ports=Ports(door=0))) as ingest:
        assert ingest.field is not None
        port = ingest.field.ports["mqtt"]
        right, wrong = a_client(f"{unique}:{secret}", port), a_client(f"{unique}:guess", port)
        try:
            await until(lambda: len(refused) >= 2, "both are answered", WITHIN_S)
            assert sorted(map(bool, refused))[:2] == [False, True]
            ts = now_us() // 1_000
            right.publish("v1/devices/me/telemetry", json.dumps({"ts": ts, "values": {"level": 0.5}}), 1)
            telemetry = {"Device A": [{"ts": ts, "values": {"level": 0.75}}]}
            right.publish("v1/gateway/telemetry", json.dumps(telemetry), 1)
            observation = {"phenomenonTime": "2026-11-01T00:30:15Z", "result": 0.25}
            right.publish("v1.1/Datastreams(7)/Observations", json.dumps(observation), 1)
            found = await stored(stack, unique, 3)
            await until(lambda: len(acknowledged) == 3, "the broker acknowledged", WITHIN_S)
        finally:
            for client in (right, wrong):
                client.disconnect()
                client.loop_stop()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), WITHIN_S) == b""
        writer.close()
    assert [row["value"] for row in found] == [0.5, 0.75, 0.25]
