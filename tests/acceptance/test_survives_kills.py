"""Detect, record and dispatch are killed while faults rise: what they leave is an undisturbed reader's."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import itertools
import json
import os
import signal
import time
from typing import Any

import httpx
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from cityvigil import demo, supervisor
from cityvigil.migrate import migrate
from cityvigil.whole_city import WholeCity
from detectors.correlation import linked
from dispatch.worker import Dispatch
from schemas import alert, frame, sequence, topics
from simulators import scenario
from streams.replay import alerts_of_the_log, ends_of_the_log
from tests.acceptance.conftest import SMALL_CITY, until
from tests.services import a_database

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(400)]

KILLED = ("detect", "record", "dispatch")
LAG = "cityvigil_detect_lag_messages{"


async def test_killed_services_leave_what_an_undisturbed_second_reader_makes(city: WholeCity) -> None:
    kills = await _kill_until_every_fault_is_known(city)
    assert min(kills.values()) >= 2
    await city.supervisor.end("simulate", "ingest")
    ends = await ends_of_the_log(city.settings.kafka)
    await until(lambda: _recorded(city, ends), "the historian to reach the end of the log")
    await until(lambda: _detected(city, ends), "detect to reach the end of the log")
    alerts = await _alert_ends(city)
    await until(lambda: _dispatched(city.settings.postgres, alerts), "dispatch to take every alert")
    await city.supervisor.end(*KILLED)
    assert await _committed(city.settings.kafka, ends) == ends

    assert await _stored(city) == await _distinct_readings(city.settings.kafka, ends)

    expected = await alerts_of_the_log(city.settings.kafka, ends)
    published = await _published(city)
    assert {(a.alert_id, a.seq): alert.encode(a) for a in expected} == published
    assert len(expected) >= 10

    ours = await _cases(city.settings.postgres)
    acted_on = [
        case_id
        for (case_id,) in await _select(
            city.settings.postgres, "select distinct case_id from case_transitions where actor <> 'dispatch'"
        )
    ]
    assert len(ours) >= 4
    assert ours == await _cases_of_a_second_reader(city, acted_on)


async def _kill_until_every_fault_is_known(city: WholeCity) -> dict[str, int]:
    """kill -9 in turn, each once it is back at work; how often each was killed."""
    kills = dict.fromkeys(KILLED, 0)
    wanted = {(fault.kind, fault.zone) for fault in scenario.load(str(SMALL_CITY)).faults}
    for name in itertools.cycle(KILLED):
        pid = _pid(city, name)
        os.kill(pid, signal.SIGKILL)
        kills[name] += 1
        await until(functools.partial(_is_back, city, name, pid), f"{name} to come back")
        known = {(f.kind, f.zone) for f in demo.read_faults(city.data) if await _has_a_case(city, f.subjects)}
        if known == wanted and min(kills.values()) >= 2:
            break
    return kills


async def _is_back(city: WholeCity, name: str, killed: int) -> bool | None:
    row = _row(city, name)
    if row["pid"] == killed:
        return None
    try:
        async with httpx.AsyncClient(timeout=2) as client:
            answer = await client.get(f"http://127.0.0.1:{row['port']}/readyz")
    except httpx.HTTPError:
        return None
    return True if answer.status_code == 200 else None


async def _has_a_case(city: WholeCity, subjects: frozenset[str]) -> bool:
    query = "select 1 from alerts where subject = any(%s) and case_id is not null limit 1"
    return bool(await _select(city.settings.postgres, query, list(subjects)))


async def _recorded(city: WholeCity, ends: dict[int, int]) -> bool | None:
    query = "select partition, next_offset from record_offsets where topic = %s"
    return True if dict(await _select(city.settings.postgres, query, topics.READINGS.name)) == ends else None


async def _detected(city: WholeCity, ends: dict[int, int]) -> bool | None:
    """By its own word: it commits with its next snapshot, or when it ends."""
    async with httpx.AsyncClient(timeout=5) as client:
        answer = await client.get(f"http://127.0.0.1:{_row(city, 'detect')['port']}/metrics")
    lags = [float(line.split()[1]) for line in answer.text.splitlines() if line.startswith(LAG)]
    return True if lags == [0.0] * len(ends) else None


async def _dispatched(dsn: str, ends: dict[int, int]) -> bool | None:
    taken = dict(await _select(dsn, "select partition, next_offset from dispatch_offsets"))
    return True if all(taken.get(number, 0) == end for number, end in ends.items()) else None


async def _committed(kafka: str, ends: dict[int, int]) -> dict[int, int]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, group_id=topics.DETECT_GROUP, enable_auto_commit=False
    )
    await consumer.start()
    try:
        places = {number: TopicPartition(topics.READINGS.name, number) for number in ends}
        return {number: await consumer.committed(place) or 0 for number, place in places.items()}
    finally:
        await consumer.stop()


async def _alert_ends(city: WholeCity) -> dict[int, int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=city.settings.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        places = [TopicPartition(topics.ALERTS.name, n) for n in range(city.settings.partitions)]
        return {place.partition: end for place, end in (await consumer.end_offsets(places)).items()}
    finally:
        await consumer.stop()


async def _stored(city: WholeCity) -> list[tuple[int, int, float]]:
    query = "select (extract(epoch from time) * 1000000)::bigint, sensor, value from readings"
    return sorted(await _select(city.settings.postgres, query))


async def _distinct_readings(kafka: str, ends: dict[int, int]) -> list[tuple[int, int, float]]:
    """What the log holds, each frame of a gateway once."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, enable_auto_commit=False, max_partition_fetch_bytes=topics.MESSAGE_MAX_BYTES
    )
    await consumer.start()
    marks: dict[tuple[str, int], sequence.Mark] = {}
    found: list[tuple[int, int, float]] = []
    try:
        for number, end in ends.items():
            place = TopicPartition(topics.READINGS.name, number)
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            while await consumer.position(place) < end:
                for message in (await consumer.getmany(place, timeout_ms=200)).get(place, ()):
                    if message.offset < end and frame.kind_of(message.value) is frame.Kind.readings:
                        found += _new_readings(frame.decode(message.value), marks)
    finally:
        await consumer.stop()
    return sorted(found)


def _new_readings(
    packed: frame.Frame, marks: dict[tuple[str, int], sequence.Mark]
) -> list[tuple[int, int, float]]:
    new = []
    for at, segment in enumerate(packed.segments):
        key = (packed.gateway_of(at), int(segment["epoch"]))
        marks[key], seen = sequence.observe(marks.get(key), int(segment["sequence"]))
        if seen is not sequence.Seen.duplicate:
            part = packed.records[int(segment["first"]) :][: int(segment["count"])]
            new += [(int(r["time"]), int(r["sensor"]), float(r["value"])) for r in part]
    return new


async def _published(city: WholeCity) -> dict[tuple[str, int], bytes]:
    """What `alerts` and `alerts-shadow` hold; a repeat must be the same to the byte."""
    found: dict[tuple[str, int], bytes] = {}
    consumer = AIOKafkaConsumer(bootstrap_servers=city.settings.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        for topic in (topics.ALERTS, topics.ALERTS_SHADOW):
            places = [TopicPartition(topic.name, n) for n in range(city.settings.partitions)]
            ends = await consumer.end_offsets(places)
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            while any([await consumer.position(place) < ends[place] for place in places]):
                for messages in (await consumer.getmany(timeout_ms=200)).values():
                    for message in messages:
                        said = alert.decode(message.value)
                        key = (said.alert_id, said.seq)
                        assert found.setdefault(key, message.value) == message.value
        return found
    finally:
        await consumer.stop()


CASES = (
    "select case_id, (select array_agg(a order by a) from unnest(alerts) a), unit, level, state from cases c"
    " where not exists"
    " (select 1 from case_transitions t where t.case_id = c.case_id and t.actor <> 'dispatch')"
    " order by case_id"
)


async def _cases(dsn: str) -> list[tuple[Any, ...]]:
    return await _select(dsn, CASES)


async def _cases_of_a_second_reader(city: WholeCity, acted_on: list[str]) -> list[tuple[Any, ...]]:
    """The same alerts through a dispatch that nobody disturbs, into a database of its own."""
    with a_database(city.stack, "second_reader") as dsn:
        await migrate(dataclasses.replace(city.settings, postgres=dsn), judgement_live=True)
        stop = asyncio.Event()
        other = Dispatch(
            kafka=city.settings.kafka,
            postgres=dsn,
            linked=linked,
            now_us=lambda: time.time_ns() // 1_000,
        )
        running = asyncio.create_task(other.run(stop))
        alerts = await _alert_ends(city)
        await until(lambda: _dispatched(dsn, alerts), "the second reader to take every alert")
        stop.set()
        await running
        return [row for row in await _cases(dsn) if row[0] not in acted_on]


def _row(city: WholeCity, name: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = json.loads(supervisor.state_file(city.data).read_text())["services"]
    return next(row for row in rows if row["name"] == name)


def _pid(city: WholeCity, name: str) -> int:
    return int(_row(city, name)["pid"])


async def _select(dsn: str, query: str, *values: object) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        return await (await connection.execute(query.encode(), values)).fetchall()
