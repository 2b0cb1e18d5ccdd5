"""Every way into the platform beside MQTT 5 with JSON, and the gateway that others copy, to where it ends."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cbor2
import paho.mqtt.client as paho
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from cityvigil import gateways
from cityvigil.migrate import migrate
from cityvigil.stack import Stack
from cityvigil.verbs import gateways as verb
from schemas.clock import CityClock
from schemas.frame import SegmentFlag
from schemas.reading import Quality
from simulators import reference_gateway
from streams.record import Record
from tests.integration import run_reference_gateway
from tests.integration.ingest_bench import (
    AGateway,
    Payload,
    an_ingest,
    now_us,
    rejects,
    rows,
    running,
    until,
)
from tests.integration.record_log import settings_of
from tests.services import a_database

pytestmark = pytest.mark.integration


async def test_cbor_is_stored_as_its_json_would_be_and_what_is_wrong_in_it_is_refused(
    stack: Stack, gateway: AGateway
) -> None:
    pack = [{-2: "tank/", -3: 1.7e9, 0: "level", 1: "m", 2: 4.5}, {0: "level", 2: float("nan")}]
    async with running(an_ingest(stack)):
        said = await gateway.send(cbor2.dumps(pack), 1, topic=f"up/{gateway.name}/senml-cbor")
        assert said == {"status": "stored", "reason": "syntax", "rejected": 1}
        cut = await gateway.send(cbor2.dumps(pack)[:-2], 2, topic=f"up/{gateway.name}/senml-cbor")
        assert (cut["status"], cut["reason"]) == ("rejected", "truncated")
        plain = await gateway.send(cbor2.dumps(pack[:1]), 3)
        assert plain == {"status": "stored"}
        old = await gateway.send(cbor2.dumps(pack[:1]), 4, topic=f"up/{gateway.name}/backfill-cbor")
        assert old == {"status": "stored"}
    stored = [row for row in await rows(stack, gateway.name) if row["sensor"] is not None]
    assert [row["value"] for row in stored] == [4.5, 4.5, 4.5]
    assert {row["time"] for row in stored} == {1_700_000_000_000_000}
    assert [row["quality"] == Quality.historical for row in stored] == [False, False, True]
    (refused, _) = await rejects(stack, gateway.name)
    assert cbor2.loads(refused.raw)[-1][0] == "level"


class OldGateway:
    """A client of MQTT 3.1.1: its sequence stands in the topic, its answers in their payload."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.name = name
        self.answers: list[dict[str, Any]] = []
        self.subscribed = False
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"old-{name}", protocol=MQTTProtocolVersion.MQTTv311
        )
        client.username_pw_set(name, gateways.add(stack.data, name))
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        host, _, port = stack.mqtt.rpartition(":")
        client.connect(host, int(port))
        client.loop_start()

    def publish(self, sequence: int, value: float) -> None:
        topic = f"up/{self.name}/senml/{2**64 - 1}/{sequence}"
        self._client.publish(topic, json.dumps([{"n": "p", "v": value}]), qos=1)

    async def answer(self, count: int) -> dict[str, Any]:
        await until(lambda: len(self.answers) >= count, f"{count} answers")
        return self.answers[count - 1]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(f"down/{self.name}/ack", 1)

    def _on_subscribe(self, *_: Any) -> None:
        self.subscribed = True

    def _on_message(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        self.answers.append(json.loads(message.payload))


async def test_a_gateway_of_mqtt_3_is_answered_asked_to_resend_and_stored_in_order(
    stack: Stack, unique: str
) -> None:
    old = OldGateway(stack, unique)
    common: dict[str, Any] = {"epoch": 2**64 - 1}
    try:
        await until(lambda: old.subscribed, "the old gateway is subscribed")
        async with running(an_ingest(stack)):
            old.publish(1, 1.0)
            assert await old.answer(1) == common | {"sequence": 1, "status": "stored"}
            old.publish(3, 3.0)
            assert await old.answer(2) == common | {"sequence": 3, "status": "resend", "from": 2}
            old.publish(2, 2.0)
            said = [await old.answer(count) for count in (3, 4)]
    finally:
        old.close()
    assert said == [common | {"sequence": sequence, "status": "stored"} for sequence in (2, 3)]
    stored = await rows(stack, unique)
    assert [(row["sequence"], row["value"]) for row in stored] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert {row["epoch"] for row in stored} == {2**64 - 1}


async def test_backfill_ends_in_the_database_as_historical(
    stack: Stack, gateway: AGateway, unique: str
) -> None:
    with a_database(stack, unique) as dsn:
        await migrate(settings_of(stack, dsn), judgement_live=True)
        record = Record(kafka=stack.kafka, postgres=dsn, clock=CityClock(), wall_us=now_us)
        stop = asyncio.Event()
        task = asyncio.ensure_future(record.run(stop))
        try:
            async with running(an_ingest(stack)):
                old: Payload = [{"bt": 1.6e9, "n": "p", "v": 1.5}, {"n": "p", "t": 60, "v": 2.5}]
                assert await gateway.send(old, 1, topic=f"up/{gateway.name}/backfill") == {"status": "stored"}
                assert await gateway.send([{"n": "p", "v": 9}], 2) == {"status": "stored"}
                (sensor, *_) = {row["sensor"] for row in await rows(stack, gateway.name)}
                found: list[Any] = []
                async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
                    while len(found) < 3:
                        assert not task.done(), "the historian runs"
                        await asyncio.sleep(0.1)
                        rows_of = "SELECT value, quality FROM readings WHERE sensor = %s ORDER BY time"
                        found = await (await connection.execute(rows_of, (sensor,))).fetchall()
        finally:
            stop.set()
            await asyncio.wait_for(task, 20)
    assert found == [(1.5, 9), (2.5, 9), (9.0, int(Quality.good))]


async def test_a_gateway_that_lost_its_counter_loses_nothing_with_a_new_epoch_or_without(
    stack: Stack, gateway: AGateway
) -> None:
    start_s = 1.7e9

    def frame(value: int) -> Payload:
        return [{"n": "p", "t": start_s + value, "v": value}]

    async with running(an_ingest(stack)):
        last = [gateway.publish(frame(value), value) for value in range(1, 601)][-1]
        await gateway.answer(last)
        assert (await gateway.send(frame(601), 1, epoch=2))["status"] == "stored"
        # Without a new epoch: 1 is so far back that its content is forgotten, 300 is not.
        for sequence, value in ((1, 602), (2, 603), (300, 604), (590, 605)):
            assert (await gateway.send(frame(value), sequence))["status"] == "stored"
            assert (await gateway.send(frame(value), sequence))["status"] == "duplicate"
        assert (await gateway.send(frame(1), 1))["status"] == "duplicate"
        assert (await gateway.send(frame(300), 300))["status"] == "duplicate"
        assert (await gateway.send(frame(606), 601))["status"] == "stored"
    stored = await rows(stack, gateway.name)
    assert [row["value"] for row in stored] == list(range(1, 607))
    assert [row["flags"] for row in stored[-6:]] == [SegmentFlag.sequenced, 0, 0, 0, 0, SegmentFlag.sequenced]


async def test_a_command_is_answered_by_the_reference_gateway_and_is_no_reject(
    stack: Stack, unique: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = gateways.add(stack.data, unique)
    outbox = reference_gateway.Outbox(tmp_path / "outbox")
    client = reference_gateway.Gateway(stack.mqtt, unique, secret, outbox, {"echo": lambda given: given})
    parser = argparse.ArgumentParser()
    verb.add_to(parser.add_subparsers())

    def command(*words: str) -> tuple[int, dict[str, Any]]:
        args = parser.parse_args(["gateways", "command", unique, *words, "--data", str(stack.data)])
        return args.run(args), json.loads(capsys.readouterr().out or "{}")

    def all_three() -> list[tuple[int, dict[str, Any]]]:
        return [command("time"), command("echo", "--args", '{"a":1}'), command("dance")]

    async with running(an_ingest(stack)):
        client.submit([{"n": "p", "v": 1}])
        while len(outbox):
            client.step(0.01)
            await asyncio.sleep(0.01)
        asked = asyncio.ensure_future(asyncio.to_thread(all_three))
        while not asked.done():
            client.step(0.01)
            await asyncio.sleep(0.01)
        client.close()
    (first, clock), (_, echo), (_, unknown) = await asked
    assert (first, clock["status"]) == (0, "done")
    assert abs(clock["result"]["ahead_us"]) < 60_000_000
    assert (echo["status"], echo["result"]) == ("done", {"a": 1})
    assert unknown["status"] == "unsupported"
    assert await rejects(stack, unique) == []
    assert command("time", "--within", "0.1")[0] == 1


async def test_a_gateway_may_ask_for_our_clock(stack: Stack, gateway: AGateway) -> None:
    async with running(an_ingest(stack, clock=CityClock())):
        before_us = now_us()
        gateway.publish(b'{"id":"a","op":"time"}', topic=f"up/{gateway.name}/cmd")
        await until(lambda: gateway.answers, "the answer")
        topic, _, said = gateway.answers[0]
    assert topic == f"down/{gateway.name}/cmd-result"
    assert (said["id"], said["status"]) == ("a", "done")
    assert before_us <= said["result"]["time_us"] <= now_us()


async def test_the_reference_gateway_is_killed_again_and_again_and_every_reading_is_in_the_log_once(
    stack: Stack, unique: str, tmp_path: Path
) -> None:
    last = 400
    secret = gateways.add(stack.data, unique)
    words = [stack.mqtt, unique, secret, str(tmp_path / "outbox"), str(last)]
    command = [sys.executable, "-m", run_reference_gateway.__name__, *words]
    async with running(an_ingest(stack)):
        for goal in (40, 150, 260):
            process = subprocess.Popen(command)
            while len(await rows(stack, unique)) < goal:
                assert process.poll() is None, "the gateway runs"
                await asyncio.sleep(0.02)
            process.kill()
            process.wait()
        process = subprocess.Popen(command)
        await until(lambda: process.poll() is not None, "everything is answered", 40)
    assert process.returncode == 0
    stored = await rows(stack, unique)
    assert [row["value"] for row in stored] == list(range(1, last + 1))
    assert [row["sequence"] for row in stored] == list(range(1, last + 1))
    assert len({row["epoch"] for row in stored}) == 1
