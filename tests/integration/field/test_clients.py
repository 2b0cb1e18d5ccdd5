"""What devices and readers that others wrote say, carried by a gateway: pymodbus, dlt645."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from dlt645.service.serversvc.async_server_service import AsyncMeterServerService
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from cityvigil.process import pick_ports
from cityvigil.stack import Stack
from schemas.registry import Gateway, Sensor, Zone
from tests.integration.ingest_bench import AGateway, a_known_gateway, an_ingest, register, rows, running

pytestmark = pytest.mark.integration

WITHIN_S = 60.0
ZONE = Zone("port-01", "port", "港一", "Port 1", partition=1)


@pytest.fixture
async def gateway(stack: Stack, unique: str) -> AsyncIterator[AGateway]:
    gateway = a_known_gateway(stack, unique)
    yield await gateway.ready()
    gateway.close()


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
