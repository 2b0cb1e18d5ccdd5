"""A city whose gateways speak every protocol, over the wire: what its sensors say stands in Kafka, once."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cityvigil import gateways
from cityvigil.http_server import serving
from cityvigil.registry_topic import import_registry
from cityvigil.stack import Stack
from ingest.field import Ports
from schemas import registry, topics
from schemas.clock import CityClock
from schemas.frame import SegmentFlag
from simulators import scenario
from simulators.protocols.fleet import registered
from simulators.protocols.speech import SPEECHES
from simulators.service import Simulate
from simulators.simulation import Report
from tests.integration.ingest_bench import (
    PARTITIONS,
    a_stack,
    an_ingest,
    frames,
    messages,
    now_us,
    running,
    until,
)

pytestmark = pytest.mark.integration

WITHIN_S = 90.0
SECRET = "a-secret-of-the-platform"
PORTS = Ports(
    tcp={"hj212": 0, "gb26875": 0, "sl651": 0},
    push=functools.partial(serving, host="127.0.0.1", port=0),
    push_secret=SECRET,
)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Its own: a log has one clock, and this one's runs faster."""
    with a_stack() as stack:
        yield stack


async def stored(stack: Stack) -> dict[tuple[str, str], Counter[float]]:
    """(gateway, point) -> values, of everything in the log; the registry says who a number is."""
    names = {}
    for _, value in await messages(stack, topics.SENSORS.name):
        entry = registry.decode(value)
        if isinstance(entry, registry.Sensor):
            names[entry.sensor] = entry.gateway, entry.point
    found: dict[tuple[str, str], Counter[float]] = {}
    for _, packed in await frames(stack):
        for segment in packed.segments:
            assert not int(segment["flags"]) & SegmentFlag.backfill
        for record in packed.records:
            key = names.get(int(record["sensor"]))
            if key is not None:
                found.setdefault(key, Counter())[round(float(record["value"]), 3)] += 1
    return found


async def test_a_city_that_speaks_every_protocol_is_heard_word_for_word(stack: Stack, tmp_path: Path) -> None:
    found = replace(scenario.load("many-protocols"), faults=(), zones=3, density=0.1)
    city = found.city()
    spoken = {gateway.protocol for gateway in city.gateways}
    assert spoken >= set(SPEECHES) - {"cjt188"}
    credentials = gateways.add_many(stack.data, {g.gateway: g.zone for g in city.gateways})
    known = registered(city, credentials)
    await import_registry(stack.kafka, city.zones, known, city.sensors, PARTITIONS, "a test of the field")
    base_us = now_us()
    clock = CityClock(base_us, base_us, 60.0)
    reports: list[Report] = []
    ingest = an_ingest(stack, ports=PORTS, clock=clock)
    async with running(ingest):
        assert ingest.field is not None
        listening = ingest.field.ports
        await until(lambda: "push" in listening, "the pushes have a port", WITHIN_S)
        addresses = {name: f"127.0.0.1:{port}" for name, port in listening.items()}
        addresses["push"] = f"http://{addresses['push']}/push/"
        simulate = Simulate(
            mqtt=stack.mqtt,
            credentials=credentials,
            scenario=found,
            clock=clock,
            now=now_us,
            truth_file=tmp_path / "truth.jsonl",
            city=city,
            told=reports.append,
            addresses=addresses | {"push_secret": SECRET},
            last_answers_s=WITHIN_S,
        )
        stop = asyncio.Event()
        task = asyncio.ensure_future(simulate.run(stop))
        await until(lambda: task.done() or len(reports) >= 3 * len(city.gateways), "reports", WITHIN_S)
        stop.set()
        await asyncio.wait_for(task, WITHIN_S)
    said: dict[tuple[str, str], Counter[float]] = {}
    for report in reports:
        for at, value in zip(report.sensors.tolist(), report.values.tolist(), strict=True):
            sensor = city.sensors[at]
            said.setdefault((sensor.gateway, sensor.point), Counter())[round(value, 3)] += 1
    heard = await stored(stack)
    different = {key: (values, heard.get(key)) for key, values in said.items() if heard.get(key) != values}
    assert different == {}
    assert simulate.report()["totals"]["rejected"] == 0
