"""Frames in, answers out, and between them exactly what Kafka holds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cityvigil.stack import Stack
from schemas.frame import SegmentFlag
from schemas.registry import Gateway, Sensor, Zone
from tests.integration.ingest_bench import (
    Payload,
    a_known_gateway,
    a_stack,
    an_ingest,
    now_us,
    register,
    rows,
    running,
    waiting_sensors,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with a_stack() as stack:
        yield stack


async def test_a_frame_is_answered_stored_after_it_is_in_kafka(stack: Stack, unique: str) -> None:
    gateway = a_known_gateway(stack, unique)
    zone = Zone("port-01", "port", "港一", "Port 1", partition=1)
    pressure = Sensor(7, unique, "p1", "water_main_pressure", "MPa", "port-01")
    await register(stack, [zone, Gateway(unique, "port-01"), pressure], version=1)
    async with running(an_ingest(stack)):
        await gateway.ready()
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
    gateway.close()
