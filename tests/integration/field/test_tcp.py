"""Stations and panels on real sockets: read, answered when Kafka has it, known again, kept within bounds."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from cityvigil import stack as local
from cityvigil.stack import Stack
from ingest.field import Ports
from ingest.formats import gb26875, hj212, sl651
from ingest.formats.gb26875 import ACK, CONTROL, SEND, SET_CLOCK, framed, six_bytes
from ingest.formats.result import Seen
from ingest.service import Ingest
from ingest.tcp import Allowance
from schemas import credential
from schemas.reading import Quality
from schemas.registry import Gateway, Sensor, Zone
from simulators.protocols.sl651 import report
from tests.integration.ingest_bench import (
    an_ingest,
    now_us,
    register,
    rejects,
    rows,
    running,
    sent_again,
    until,
)
from tests.unit.formats.book import named

pytestmark = pytest.mark.integration

WITHIN_S = 60.0
TCP = Ports(tcp={"hj212": 0, "gb26875": 0, "sl651": 0})
ZONE = Zone("port-01", "port", "港一", "Port 1", partition=1)


@dataclass
class Line:
    """A device's end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def hears(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), WITHIN_S)

    async def is_ended(self) -> bytes:
        """What came before the other side ended it."""
        try:
            return await asyncio.wait_for(self.reader.read(), WITHIN_S)
        except ConnectionError:  # it left bytes of ours unread
            return b""


@asynccontextmanager
async def a_line(ingest: Ingest, protocol: str) -> AsyncIterator[Line]:
    assert ingest.field is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", ingest.field.ports[protocol])
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


def an_upload(station: str, value: float, flag: str = "N", ask: int = 5) -> bytes:
    data = (
        f"QN=20261101083000123;ST=22;CN=2011;PW=123456;MN={station};Flag={ask};"
        f"CP=&&DataTime=20261101083000;a34004-Rtd={value},a34004-Flag={flag}&&"
    )
    return hj212.framed(data.encode())


def its_answer(station: str) -> bytes:
    data = f"QN=20261101083000123;ST=91;CN=9014;PW=123456;MN={station};Flag=4;CP=&&&&"
    return hj212.framed(data.encode())


def a_panel(unique: str) -> bytes:
    """An address that no other test has."""
    return bytes.fromhex(unique[1:11]) + b"\7"


async def test_a_station_is_stored_under_its_gateway_and_answered_with_9014(
    stack: Stack, unique: str
) -> None:
    gateway, station = f"hj212-{unique}", unique.upper()
    pm = Sensor(11, gateway, "a34004-Rtd", "air_pm25", "ug/m3", "port-01")
    await register(stack, [ZONE, Gateway(gateway, "port-01"), pm], version=1)
    async with running(an_ingest(stack, ports=TCP)) as ingest, a_line(ingest, "hj212") as line:
        whole = an_upload(station, 38.5)
        line.send(whole[:50])
        await line.writer.drain()
        line.send(whole[50:])
        answer = its_answer(station)
        assert await line.hears(len(answer)) == answer
        (stored,) = await rows(stack, gateway)
        line.send(whole)
        assert await line.hears(len(answer)) == answer
        assert len(await rows(stack, gateway)) == 1
    assert await sent_again(stack, gateway) == 1
    assert (stored["sensor"], stored["value"], stored["partition"]) == (11, 38.5, 1)


async def test_a_frame_that_comes_again_after_a_crash_of_ingest_is_answered_and_not_stored_twice(
    stack: Stack, unique: str
) -> None:
    gateway, station = f"hj212-{unique}", unique
    await register(stack, [ZONE, Gateway(gateway, "port-01")], version=2)
    answer = its_answer(station)
    for _ in range(2):
        async with running(an_ingest(stack, ports=TCP)) as ingest:
            for _ in range(2):  # a new connection knows it too
                async with a_line(ingest, "hj212") as line:
                    line.send(an_upload(station, 7.25))
                    assert await line.hears(len(answer)) == answer
    assert [row["value"] for row in await rows(stack, gateway)] == [7.25]
    assert await sent_again(stack, gateway) == 3


async def test_who_is_not_registered_is_refused_with_an_example_and_still_answered(
    stack: Stack, unique: str
) -> None:
    async with running(an_ingest(stack, ports=TCP)) as ingest, a_line(ingest, "hj212") as line:
        line.send(an_upload(unique, 1))
        answer = its_answer(unique)
        assert await line.hears(len(answer)) == answer
    (refused,) = await rejects(stack, f"hj212/{unique}")
    assert refused.reason == "credentials"
    assert f"hj212-{unique}" in refused.detail
    assert refused.raw == an_upload(unique, 1)
    assert await rows(stack, f"hj212-{unique}") == []


async def test_a_registered_password_is_asked_of_each_frame(stack: Stack, unique: str) -> None:
    names = [f"hj212-{unique}{n}" for n in (1, 2)]  # the frames say 123456
    hashes = [credential.hashed(password, b"salt") for password in ("123456", "another")]
    gateways = [Gateway(name, "port-01", password=known) for name, known in zip(names, hashes, strict=True)]
    await register(stack, [ZONE, *gateways], version=7)
    async with running(an_ingest(stack, ports=TCP)) as ingest, a_line(ingest, "hj212") as line:
        for number in (1, 2):
            line.send(an_upload(f"{unique}{number}", number))
            assert await line.hears(len(its_answer(f"{unique}1"))) == its_answer(f"{unique}{number}")
    assert [row["value"] for row in await rows(stack, names[0])] == [1.0]
    assert await rows(stack, names[1]) == []
    (refused,) = await rejects(stack, names[1])
    assert (refused.reason, refused.count) == ("credentials", 1)


async def test_a_hydrological_station_is_asked_for_its_two_bytes_and_a_panel_can_say_none(
    stack: Stack, unique: str
) -> None:
    """GB/T 26875.3 has no field for a password: a panel that has one in the registry is never believed."""
    stations = [f"{(int(unique[1:], 16) + n) % 10**10:010d}" for n in (0, 1)]  # their frames say 1234
    names, panel = [f"{kind}-{unique}" for kind in ("right", "wrong", "panel")], a_panel(unique)
    identities = [f"sl651/{stations[0]}", f"sl651/{stations[1]}", f"gb26875/{panel[::-1].hex()}"]
    hashes = [credential.hashed(password, b"salt") for password in ("1234", "A1B2", "1234")]
    known = [
        Gateway(name, "port-01", identity=identity, password=password)
        for name, identity, password in zip(names, identities, hashes, strict=True)
    ]
    await register(stack, [ZONE, *known], version=9)
    async with running(an_ingest(stack, ports=TCP)) as ingest:
        async with a_line(ingest, "sl651") as line:
            for station in stations:
                sent = report(bytes.fromhex(station), 1, now_us(), now_us(), [(1, 0.75)])
                line.send(sent)
                confirmed = sl651.answer(sent, now_us())
                assert confirmed is not None
                heard = await line.hears(len(confirmed))
                assert (heard[:14], heard[14:16]) == (confirmed[:14], sent[14:16])
        async with a_line(ingest, "gb26875") as line:
            state = b"\x15\1\1" + six_bytes(now_us())
            line.send(framed(1, (1, 1), now_us(), panel, bytes(6), SEND, state))
            assert (await line.hears(30))[26] == ACK
    assert [row["value"] for row in await rows(stack, names[0])] == [0.75]
    for name, given in ((names[1], "another"), (names[2], "none")):
        assert await rows(stack, name) == []
        (refused,) = await rejects(stack, name)
        assert (refused.reason, refused.count, refused.detail.endswith(f"got {given}")) == (
            "credentials",
            1,
            True,
        )


async def test_what_is_damaged_is_kept_with_its_reason_and_not_answered(stack: Stack, unique: str) -> None:
    gateway = f"hj212-{unique}"
    await register(stack, [ZONE, Gateway(gateway, "port-01")], version=3)
    async with running(an_ingest(stack, ports=TCP)) as ingest, a_line(ingest, "hj212") as line:
        good, answer = an_upload(unique, 5), its_answer(unique)
        line.send(good + good.replace(b"Rtd=5", b"Rtd=6") + b"noise" + an_upload(unique, 8))
        assert await line.hears(2 * len(answer)) == 2 * answer
    found = {one.reason: one.raw for one in await rejects(stack, gateway)}
    assert set(found) == {"checksum", "syntax"}
    assert found["checksum"] == good.replace(b"Rtd=5", b"Rtd=6")
    assert found["syntax"].startswith(b"noise")
    assert [row["value"] for row in await rows(stack, gateway)] == [5, 8]


async def test_a_fire_panel_is_acknowledged_even_where_it_is_not_understood(
    stack: Stack, unique: str
) -> None:
    panel = a_panel(unique)
    gateway, identity = f"panel-{unique}", f"gb26875/{panel[::-1].hex()}"
    t = six_bytes(now_us())
    smoke = Sensor(21, gateway, "1.1.40.7.state", "fire_smoke_detector_state", "1", "port-01")
    await register(stack, [ZONE, Gateway(gateway, "port-01", identity=identity), smoke], version=4)
    part = b"\1\1\x28" + (7).to_bytes(4, "little") + (2).to_bytes(2, "little") + bytes(31) + t
    states = [b"\2\1" + part, b"\2\1" + part.replace(b"\2\0" + bytes(31), b"\4\0" + bytes(31)), b"\xc8\1ABC"]
    async with running(an_ingest(stack, ports=TCP)) as ingest, a_line(ingest, "gb26875") as line:
        for serial, data in enumerate(states, 1):
            line.send(framed(serial, (1, 1), now_us(), panel, bytes(6), SEND, data))
            acknowledged = await line.hears(30)
            assert gb26875.decode(acknowledged) == [Seen("000000000000", "ack")]
            assert int.from_bytes(acknowledged[2:4], "little") == serial
            assert acknowledged[18:24] == panel
    stored = await rows(stack, gateway)
    assert [(row["value"], row["quality"]) for row in stored] == [(1.0, Quality.good), (0.0, Quality.fault)]
    (refused,) = await rejects(stack, gateway)
    assert (refused.reason, refused.detail) == ("unsupported", "type 200 is not read")


async def test_a_panel_whose_clock_is_off_is_told_the_time_and_a_post_is_checked(
    stack: Stack, unique: str
) -> None:
    panel, gateway = a_panel(unique), f"panel-{unique}"
    await register(
        stack, [ZONE, Gateway(gateway, "port-01", identity=f"gb26875/{panel[::-1].hex()}")], version=5
    )
    async with running(an_ingest(stack, ports=TCP)) as ingest, a_line(ingest, "gb26875") as line:
        state = b"\x15\1\1" + six_bytes(now_us() - 3_600_000_000)
        line.send(framed(1, (1, 1), now_us(), panel, bytes(6), SEND, state))
        heard = await line.hears(30 + 38)
        command = heard[30:]
        assert (command[26], command[27]) == (CONTROL, SET_CLOCK)
        line.send(framed(int.from_bytes(command[2:4], "little"), (1, 1), now_us(), panel, bytes(6), ACK))
        assert ingest.field is not None
        asked = ingest.field.listeners["gb26875"].line_of(gateway)
        assert asked is not None
        assert asked.check_post(5)
        assert gb26875.decode(await line.hears(33)) == [Seen("000000000000", "check_post")]


async def test_a_hydrological_report_is_confirmed(stack: Stack, unique: str) -> None:
    await register(stack, [ZONE, Gateway("sl651-0012345678", "port-01")], version=6)
    reported = named("sl651", "river_test_30")
    async with running(an_ingest(stack, ports=TCP)) as ingest, a_line(ingest, "sl651") as line:
        line.send(reported)
        confirmed = sl651.answer(reported, now_us())
        assert confirmed is not None
        heard = await line.hears(len(confirmed))
        assert heard[:14] == confirmed[:14]
    # The sample's clock stands in 2059, so its readings are refused, each by name.
    assert {one.point for one in await rejects(stack, "sl651-0012345678")} == {"20", "26", "38", "39"}


async def test_garbage_and_slow_frames_end_a_connection_and_giants_are_never_kept(
    stack: Stack, unique: str
) -> None:
    later_us = 0
    ingest = an_ingest(stack, ports=TCP, now=lambda: now_us() + later_us)
    async with running(ingest), a_line(ingest, "hj212") as noisy, a_line(ingest, "gb26875") as slow:
        noisy.send(b"GET / HTTP/1.1\r\n" * 5_000)
        assert await noisy.is_ended() == b""
        async with a_line(ingest, "hj212") as giant:
            giant.send(b"##9999" + b"A" * 70_000)
            assert await giant.is_ended() == b""
        slow.send(b"@@")
        assert ingest.field is not None
        listener = ingest.field.listeners["gb26875"]
        await until(lambda: listener.held, "its bytes are there", WITHIN_S)
        later_us = 61_000_000
        assert await slow.is_ended() == b""
    found = {(one.reason, one.raw[:6]) for one in await rejects(stack, "hj212/127.0.0.1")}
    assert ("syntax", b"GET / ") in found
    assert ("length", b"##9999") in found


async def test_a_sender_that_is_too_fast_is_slowed_and_loses_nothing(stack: Stack, unique: str) -> None:
    gateway = f"hj212-{unique}"
    await register(stack, [ZONE, Gateway(gateway, "port-01")], version=7)
    ingest = an_ingest(stack, ports=TCP)
    async with running(ingest):
        assert ingest.field is not None
        ingest.field.listeners["hj212"].allowance = Allowance(frames_a_second=50, burst_frames=10)
        async with a_line(ingest, "hj212") as line:
            for value in range(40):
                line.send(an_upload(unique, value))
            size = len(its_answer(unique))
            await line.hears(40 * size)
    assert [row["value"] for row in await rows(stack, gateway)] == list(range(40))


async def test_while_kafka_is_stopped_nothing_is_answered_and_afterwards_everything(
    stack: Stack, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.room.FULL_BYTES", 20_000)
    gateway = f"hj212-{unique}"
    await register(stack, [ZONE, Gateway(gateway, "port-01")], version=8)
    ingest = an_ingest(stack, ports=TCP)
    kafka = next(one["pid"] for one in local.status(stack.data)["services"] if one["name"] == "kafka")
    async with running(ingest), a_line(ingest, "hj212") as line:
        os.kill(kafka, signal.SIGSTOP)
        try:
            for value in range(400):
                line.send(an_upload(unique, value))
            await until(lambda: ingest._load.bytes >= 10_000, "frames wait for Kafka")
            held = ingest._load.bytes
        finally:
            os.kill(kafka, signal.SIGCONT)
        await line.hears(400 * len(its_answer(unique)))
    assert held < 100_000
    assert [row["value"] for row in await rows(stack, gateway)] == list(range(400))
