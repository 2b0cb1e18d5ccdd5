"""What others wrote talks to us: pymodbus and dlt645 carried by a gateway, pysparkplug, ThingsBoard's SDK."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from dlt645.service.serversvc.async_server_service import AsyncMeterServerService
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from cityvigil import gateways
from cityvigil.mosquitto import MAX_PACKET_BYTES
from cityvigil.process import pick_ports
from cityvigil.stack import Stack
from ingest.field import Ports
from schemas.control import Tick
from schemas.reading import Quality
from schemas.registry import Gateway, Sensor, Zone
from tests.clients.running import a_client
from tests.integration.ingest_bench import (
    AGateway,
    an_ingest,
    controls,
    now_us,
    register,
    rejects,
    rows,
    running,
)

pytestmark = pytest.mark.integration

WITHIN_S = 60.0
ZONE = Zone("port-01", "port", "港一", "Port 1", partition=1)


async def an_answer_of_registers(values: list[float]) -> bytes:
    """What pymodbus' client heard of pymodbus' device, in the framing of a serial line."""
    heard: list[bytes] = []

    def listen(is_sending: bool, data: bytes) -> bytes:
        if not is_sending:
            heard.append(data)
        return data

    device = SimDevice(1, simdata=[SimData(0, values=values, datatype=DataType.FLOAT32)])
    server = ModbusTcpServer(device, framer=FramerType.RTU, address=("127.0.0.1", 0))
    await server.listen()
    assert isinstance(server.transport, asyncio.Server)
    port = server.transport.sockets[0].getsockname()[1]
    client = AsyncModbusTcpClient("127.0.0.1", port=port, framer=FramerType.RTU, trace_packet=listen)
    try:
        assert await client.connect()
        answered = await client.read_holding_registers(0, count=2 * len(values), device_id=1)
        assert not answered.isError()
    finally:
        client.close()
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus does not type it
    return b"".join(heard)


async def answers_of_a_meter(voltage: float, energy: float) -> bytes:
    """What dlt645's meter answers over TCP, asked for a voltage and for its energy."""
    (port,) = pick_ports(1)
    meter = AsyncMeterServerService.new_tcp_server("127.0.0.1", port, 5.0)
    meter.set_address("112611000100")
    meter.set_02(0x02010100, voltage)
    meter.set_00(0x00010000, energy)
    await meter.start()
    found = b""
    try:
        for item in (0x02010100, 0x00010000):
            asked = bytes((byte + 0x33) % 256 for byte in item.to_bytes(4, "little"))
            frame = b"\x68" + bytes.fromhex("112611000100") + b"\x68\x11\x04" + asked
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(frame + bytes([sum(frame) % 256, 0x16]))
            found += await asyncio.wait_for(reader.readuntil(b"\x16"), WITHIN_S)
            writer.close()
            await writer.wait_closed()
    finally:
        await meter.stop()
    return found


async def test_registers_of_pymodbus_are_values_of_a_gateway(
    stack: Stack, unique: str, gateway: AGateway
) -> None:
    pressure = Sensor(51, unique, "1/pressure", "water_main_pressure", "MPa", "port-01")
    await register(stack, [ZONE, Gateway(unique, "port-01"), pressure], version=31)
    answer = await an_answer_of_registers([412.5, -3.25])
    registers = [
        {"point": "pressure", "at": 0, "type": "f32", "unit": "kPa"},
        {"point": "temperature", "at": 2, "type": "f32", "unit": "Cel"},
    ]
    body = {"time": "2026-11-01T00:30:15Z", "frames": [answer.hex()], "registers": registers}
    async with running(an_ingest(stack)):
        said = json.dumps(body).encode()
        assert await gateway.send(said, 1, topic=f"up/{unique}/modbus") == {"status": "stored"}
    found = await rows(stack, unique)
    assert [(row["value"], row["sensor"] == 51) for row in found] == [(0.4125, True), (-3.25, False)]


async def test_answers_of_a_dlt645_meter_are_values_of_a_gateway(
    stack: Stack, unique: str, gateway: AGateway
) -> None:
    voltage = Sensor(52, unique, "000100112611/02010100", "fire_power_voltage", "V", "port-01")
    await register(stack, [ZONE, Gateway(unique, "port-01"), voltage], version=32)
    answers = await answers_of_a_meter(220.5, 1234.56)
    async with running(an_ingest(stack)):
        assert await gateway.send(answers, 1, topic=f"up/{unique}/dlt645") == {"status": "stored"}
    found = await rows(stack, unique)
    assert [(row["value"], row["sensor"] == 52) for row in found] == [(220.5, True), (1234.56, False)]


async def stored(stack: Stack, gateway: str, count: int) -> list[tuple[Any, Any, Any]]:
    """(sensor, value, quality) of a gateway's readings, once there are so many."""
    async with asyncio.timeout(WITHIN_S):
        while len(found := [row for row in await rows(stack, gateway) if row["sensor"] is not None]) < count:
            await asyncio.sleep(0.05)
    return [(row["sensor"], row["value"], row["quality"]) for row in found]


async def test_pysparkplugs_node_is_heard_and_says_its_births_again_when_a_new_host_asks(
    stack: Stack, unique: str
) -> None:
    secret = gateways.add(stack.data, unique)
    level = Sensor(53, unique, "level", "road_water_depth", "m", "port-01")
    pump = Sensor(54, unique, "pump/running", "drain_pump_state", "1", "port-01")
    await register(stack, [ZONE, Gateway(unique, "port-01"), level, pump], version=33)
    good, late, lost = Quality.good, Quality.historical, Quality.link_lost
    host, _, port = stack.mqtt.rpartition(":")
    async with AsyncExitStack() as around:
        async with running(an_ingest(stack)):
            node = await around.enter_async_context(a_client("sparkplug", host, port, unique, secret))
            assert await node.says() == "born"
            assert await stored(stack, unique, 2) == [(53, 1.5, good), (54, 0, good)]
            node.tell("level", 2.0)
            node.tell("late", 1.75, now_us() // 1_000 - 60_000)
            node.tell("pump", True)
            assert [await node.says() for _ in range(3)] == ["level", "late", "pump"]
            found = await stored(stack, unique, 5)
            assert found[2:] == [(53, 2.0, good), (53, 1.75, late), (54, 1, good)]
        # The next host knows no births, and what it hears first has a number that it does not expect.
        async with running(an_ingest(stack)):
            node.tell("level", 2.5)
            assert [await node.says() for _ in range(2)] == ["level", "born"]
            node.tell("level", 3.0)
            assert await node.says() == "level"
            found = await stored(stack, unique, 8)
            # It died to be born again; what births repeat, with the time that it had, is not stored twice.
            assert found[5:] == [(53, 2.5, good), (53, 2.5, lost), (53, 3.0, good)]
            node.kill()
            found = await stored(stack, unique, 10)
            assert sorted(found[8:]) == [(53, 3.0, lost), (54, 1, lost)]
            async with asyncio.timeout(WITHIN_S):
                while not any(
                    unique in one.silent for _, one in await controls(stack) if isinstance(one, Tick)
                ):
                    await asyncio.sleep(0.2)
    assert await rejects(stack, unique) == []


async def test_thingsboards_sdk_is_heard_as_a_device_and_as_a_gateway_by_its_token(
    stack: Stack, unique: str
) -> None:
    token = f"{unique}:{gateways.add(stack.data, unique)}"
    level = Sensor(55, unique, "level", "road_water_depth", "m", "port-01")
    behind = Sensor(56, unique, "Device A/level", "road_water_depth", "m", "port-01")
    await register(stack, [ZONE, Gateway(unique, "port-01"), level, behind], version=34)
    async with running(an_ingest(stack, ports=Ports(door=0))) as ingest:
        assert ingest.field is not None
        door = "127.0.0.1", str(ingest.field.ports["mqtt"])
        ts = now_us() // 1_000
        async with a_client("thingsboard", "device", *door, token) as device:
            device.tell("limits")
            payload, inflight, has_rate = await device.says()
            assert MAX_PACKET_BYTES * 0.79 < payload < MAX_PACKET_BYTES * 0.8  # of which it uses 80 %
            assert (inflight, has_rate) == (65_535 * 80 // 100, False)
            device.tell("ask", ["fw_version"])
            assert await device.says() == {}
            device.tell("attributes", {"firmware": "1.0"})
            device.tell("telemetry", {"ts": ts, "values": {"level": 0.25}})
            device.tell(
                "telemetry",
                [{"ts": ts + 1, "values": {"level": 0.5}}, {"ts": ts + 2, "values": {"level": 0.75}}],
            )
            assert [await device.says() for _ in range(3)] == [0, 0, 0]
        async with a_client("thingsboard", "gateway", *door, token) as gateway:
            gateway.tell("limits")
            assert await gateway.says() == [payload, inflight, False]
            gateway.tell("ask", ["fw_version"], "Device A")
            assert (await gateway.says())["values"] == {}
            gateway.tell("connect", "Device A")
            gateway.tell("telemetry", [{"ts": ts, "values": {"level": 1.25}}], "Device A")
            assert [await gateway.says() for _ in range(2)] == [0, 0]
        found = await stored(stack, unique, 4)
    assert [one[:2] for one in found] == [(55, 0.25), (55, 0.5), (55, 0.75), (56, 1.25)]
    assert await rejects(stack, unique) == []
