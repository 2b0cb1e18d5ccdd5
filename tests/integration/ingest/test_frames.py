"""Frames in, answers out, and between them exactly what Kafka holds."""

from __future__ import annotations

import asyncio
import struct
import time
from typing import Any

import pytest

from cityvigil.stack import Stack
from ingest import mqtt, service
from ingest.mqtt import Session, TakenOver
from ingest.tail import ClockDiffers
from schemas.clock import CityClock
from schemas.control import Clock, Gap, Marks, Ownership, RegistryVersion, Tick
from schemas.frame import SegmentFlag
from schemas.reading import Quality
from schemas.registry import WAITING_BASE, Gateway, Sensor, Zone
from tests.integration.ingest_bench import (
    AGateway,
    Payload,
    an_ingest,
    controls,
    now_us,
    register,
    rows,
    running,
    until,
    waiting_sensors,
)

pytestmark = pytest.mark.integration


def a_frame(value: float) -> Payload:
    return [{"n": "p", "v": value}]


async def test_a_frame_is_answered_stored_after_it_is_in_kafka(
    stack: Stack, unique: str, gateway: AGateway
) -> None:
    zone = Zone("port-01", "port", "港一", "Port 1", partition=1)
    pressure = Sensor(7, unique, "p1", "water_main_pressure", "MPa", "port-01")
    await register(stack, [zone, Gateway(unique, "port-01"), pressure], version=1)
    async with running(an_ingest(stack)):
        t = now_us() / 1e6
        payload: Payload = [
            {"bn": "", "bt": t, "n": "p1", "u": "kPa", "v": 350},
            {"n": "p1", "t": -1, "v": 0.36},
            {"n": "door", "vb": True},
            {"n": "mode", "vs": "run"},
        ]
        answered = await gateway.send(payload, 5, epoch=9, published="1700000000000000")
        assert answered == {"status": "stored"}
        stored = await rows(stack, unique)
        again = await gateway.send(payload, 5, epoch=9)
        assert again == {"status": "duplicate"}
        assert len(await rows(stack, unique)) == 4
    waiting = await waiting_sensors(stack, unique)
    assert [row["value"] for row in stored] == [0.35, 0.36, 1.0, "run"]
    assert [row["sensor"] for row in stored] == [7, 7, waiting["door"].sensor, waiting["mode"].sensor]
    assert {row["partition"] for row in stored} == {1}
    assert stored[0]["time"] == round(t * 1e6)
    assert stored[0]["time"] - stored[1]["time"] == 1_000_000
    first = stored[0]
    assert (first["epoch"], first["sequence"], first["flags"]) == (9, 5, SegmentFlag.sequenced)
    assert first["published_wall"] == 1_700_000_000_000_000
    assert abs(first["received_wall"] - t * 1e6) < 60e6


async def test_on_a_gap_it_asks_to_resend_holds_and_goes_on_in_order(stack: Stack, gateway: AGateway) -> None:
    async with running(an_ingest(stack)):
        assert (await gateway.send(a_frame(1), 1))["status"] == "stored"
        third = gateway.publish(a_frame(3), 3)
        assert await gateway.answer(third) == {"status": "resend", "from": 2}
        assert (await gateway.send(a_frame(2), 2))["status"] == "stored"
        assert await gateway.answer(third, 2) == {"status": "stored"}
    assert [row["value"] for row in await rows(stack, gateway.name)] == [1.0, 2.0, 3.0]


async def test_a_gap_that_a_connected_gateway_does_not_fill_is_recorded_after_a_minute(
    stack: Stack, gateway: AGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOK_S", 0.02)
    later_us = 0
    async with running(an_ingest(stack, now=lambda: now_us() + later_us)):
        await gateway.send(a_frame(1), 1)
        fourth = gateway.publish(a_frame(4), 4)
        await gateway.answer(fourth)
        deadline = time.monotonic() + 60
        while len(gateway.answers_to(fourth)) < 2:  # a minute at once would be taken for a suspended process
            assert time.monotonic() < deadline, "the held frame goes on"
            later_us += 1_000_000
            await asyncio.sleep(0.05)
        assert gateway.answers_to(fourth)[1] == {"status": "stored"}
        assert (await gateway.send(a_frame(5), 5))["status"] == "stored"
        found = [record for _, record in await controls(stack) if isinstance(record, Gap)]
    assert [gap for gap in found if gap.gateway == gateway.name] == [Gap(gateway.name, 1, 2, 3)]
    assert [row["sequence"] for row in await rows(stack, gateway.name)] == [1, 4, 5]


async def test_answers_wait_for_a_broker_that_takes_few_at_a_time(
    stack: Stack, gateway: AGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "MIDS", 3)  # two answers on their way, and the subscription's identifier
    async with running(an_ingest(stack)):
        frames = [gateway.publish(a_frame(sequence), sequence) for sequence in range(1, 41)]
        for frame in frames:
            assert (await gateway.answer(frame))["status"] == "stored"


async def test_a_frame_that_was_stored_and_not_answered_is_not_stored_again_after_a_crash(
    stack: Stack, gateway: AGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Session, "answer", lambda *_: None)
        patched.setattr(Session, "acknowledge", lambda *_: None)
        dying = an_ingest(stack)
        task = asyncio.ensure_future(dying.run(asyncio.Event()))
        await until(lambda: dying.not_ready() is None, "ingest is ready")
        first = gateway.publish(a_frame(1), 1)
        while not await rows(stack, gateway.name):
            await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
    assert gateway.answers_to(first) == []
    async with running(an_ingest(stack)):
        await gateway.answer(first)  # the broker still had it, unacknowledged
        assert (await gateway.send(a_frame(1), 1))["status"] == "duplicate"
        assert (await gateway.send(a_frame(2), 2))["status"] == "stored"
    assert [row["sequence"] for row in await rows(stack, gateway.name)] == [1, 2]


async def test_a_point_that_nobody_registered_gets_a_number_and_keeps_it(
    stack: Stack, gateway: AGateway
) -> None:
    async with running(an_ingest(stack)):
        await gateway.send([{"n": "new", "u": "kPa", "v": 1}], 1)
    async with running(an_ingest(stack)):
        await gateway.send([{"n": "new", "u": "MPa", "v": 1}, {"n": "newer", "v": 2}], 2)
    stored = await rows(stack, gateway.name)
    sensors = await waiting_sensors(stack, gateway.name)
    assert [row["sensor"] for row in stored] == [
        sensors["new"].sensor,
        sensors["new"].sensor,
        sensors["newer"].sensor,
    ]
    assert sensors["new"].sensor >= WAITING_BASE
    assert sensors["new"].sensor != sensors["newer"].sensor
    assert (sensors["new"].state, sensors["new"].unit, sensors["new"].category) == ("waiting", "kPa", None)
    assert [row["value"] for row in stored] == [1.0, 1_000.0, 2.0]


async def test_backfill_is_stored_as_historical(stack: Stack, gateway: AGateway) -> None:
    async with running(an_ingest(stack)):
        await gateway.send([{"n": "p", "t": 1.6e9, "v": 1}], 1, topic=f"up/{gateway.name}/backfill")
    (row,) = await rows(stack, gateway.name)
    assert row["quality"] == Quality.historical
    assert row["flags"] == SegmentFlag.sequenced | SegmentFlag.backfill


async def test_answers_find_their_way_however_a_frame_is_named(stack: Stack, gateway: AGateway) -> None:
    name = gateway.name
    async with running(an_ingest(stack)):
        short = gateway.publish(a_frame(1), correlation=struct.pack(">Q", 7))
        assert await gateway.answer(short) == {"status": "stored"}
        odd = gateway.publish(a_frame(2), correlation=b"odd")
        assert await gateway.answer(odd) == {"status": "stored"}
        own = gateway.publish(a_frame(3), 1, response=f"down/{name}/mine/1")
        assert await gateway.answer(own) == {"status": "stored"}
        foreign = gateway.publish(a_frame(4), 2, response="down/somebody/ack")
        assert await gateway.answer(foreign) == {"status": "stored"}
        filtered = gateway.publish(a_frame(4), correlation=b"for a filter", response=f"down/{name}/#")
        assert await gateway.answer(filtered) == {"status": "stored"}
        old = gateway.publish(a_frame(5), topic=f"up/{name}/senml/18446744073709551615/3")
        assert await gateway.answer(old) == {"epoch": 2**64 - 1, "sequence": 3, "status": "stored"}
        gateway.publish(a_frame(6))
        last = await gateway.send(a_frame(7), 3)
    assert last == {"status": "stored"}
    ways = [(topic, correlation) for topic, correlation, _ in gateway.answers]
    assert ways == [
        (f"down/{name}/ack", short),
        (f"down/{name}/ack", odd),
        (f"down/{name}/mine/1", own),
        (f"down/{name}/ack", foreign),
        (f"down/{name}/ack", filtered),
        (f"down/{name}/ack", None),
        (f"down/{name}/ack", struct.pack(">QQ", 1, 3)),
    ]
    stored = await rows(stack, name)
    assert [row["value"] for row in stored] == [1, 2, 3, 4, 4, 5, 6, 7]
    assert [row["flags"] for row in stored] == [1, 0, 1, 1, 0, 1, 0, 1]
    assert [(row["epoch"], row["sequence"]) for row in stored][5] == (2**64 - 1, 3)


async def test_frames_without_a_sequence_are_told_apart_by_content_if_their_times_are_absolute(
    stack: Stack, gateway: AGateway
) -> None:
    async with running(an_ingest(stack)):
        absolute: Payload = [{"n": "p", "t": 1.7e9, "v": 1}]
        first = await gateway.answer(gateway.publish(absolute, correlation=b"a"))
        again = await gateway.answer(gateway.publish(absolute, correlation=b"b"))
        relative = await gateway.answer(gateway.publish(a_frame(2), correlation=b"c"))
        repeated = await gateway.answer(gateway.publish(a_frame(2), correlation=b"d"))
    assert [first["status"], again["status"]] == ["stored", "duplicate"]
    assert [relative["status"], repeated["status"]] == ["stored", "stored"]
    assert [row["value"] for row in await rows(stack, gateway.name)] == [1, 2, 2]


async def test_time_versions_and_marks_are_in_every_partition(stack: Stack, gateway: AGateway) -> None:
    later_us = 0
    await register(stack, [Zone("silent-01", "port", "静", "Quiet", partition=1)], version=10)
    quiet = f"{gateway.name}-quiet"
    async with running(an_ingest(stack, now=lambda: now_us() + later_us)):
        await gateway.send(a_frame(1), 1)
        await gateway.send(a_frame(1), 1)
        offset = await register(stack, [Gateway(quiet, "silent-01", silent_after_s=4)], version=11)

        async def seen(kind: type, partition: int) -> list[Any]:
            return [one for number, one in await controls(stack) if number == partition and type(one) is kind]

        for partition in (0, 1):
            while (await seen(RegistryVersion, partition))[-1:] != [RegistryVersion(11, offset + 1)]:
                await asyncio.sleep(0.1)
        for _ in range(3):  # what a process does not see pass is no silence: a step at a time
            later_us += 2_000_000
            ticks = len(await seen(Tick, 1))
            while len(await seen(Tick, 1)) < ticks + 2:
                await asyncio.sleep(0.1)
        assert (await seen(Tick, 1))[-1].silent == (quiet,)
        assert quiet not in (await seen(Tick, 0))[-1].silent
        generation = (await seen(Ownership, 0))[-1].generation
        while f"{gateway.name}/1" not in ((await seen(Marks, 0)) or [Marks("", 0, {})])[-1].marks:
            await asyncio.sleep(0.1)
        assert (await seen(Marks, 0))[-1].marks[f"{gateway.name}/1"] == (1,)
        assert sum(one.again.get(gateway.name, 0) for one in await seen(Marks, 0)) == 1
        for partition in (0, 1):
            assert await seen(Clock, partition) == [Clock(0, 0, 1.0)]
            ticks_there = await seen(Tick, partition)
            assert all(one.city_us == one.wall_us for one in ticks_there)
            assert ticks_there[-1].generation == generation
    async with running(an_ingest(stack)):
        assert (await seen(Ownership, 1))[-1].generation == generation + 1
        assert await seen(Clock, 1) == [Clock(0, 0, 1.0)]
        ticks = len(await seen(Tick, 1))
        while len(await seen(Tick, 1)) == ticks:
            await asyncio.sleep(0.1)
        assert quiet in (await seen(Tick, 1))[-1].silent


async def test_another_city_clock_than_the_logs_is_refused(stack: Stack) -> None:
    async with running(an_ingest(stack)):
        pass
    with pytest.raises(ClockDiffers, match="city clock runs 1 times"):
        await an_ingest(stack, clock=CityClock(0, 0, 60.0)).run(asyncio.Event())


async def test_an_ingest_whose_session_is_taken_over_ends(stack: Stack) -> None:
    older = an_ingest(stack)
    first = asyncio.ensure_future(older.run(asyncio.Event()))
    await until(lambda: older.not_ready() is None, "the first ingest is ready")
    try:
        async with running(an_ingest(stack)):
            with pytest.raises(TakenOver):
                await asyncio.wait_for(first, 20)
    finally:
        first.cancel()
