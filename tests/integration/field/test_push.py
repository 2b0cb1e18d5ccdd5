"""Pushes of platforms and of cameras' boxes over real HTTP: proven, bounded, 200 only when Kafka has them."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import functools
import json
import os
import signal
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from cityvigil import stack as local
from cityvigil.http_server import serving
from cityvigil.stack import Stack
from ingest import http
from ingest.field import Ports
from ingest.service import Ingest
from schemas import credential
from schemas.registry import Gateway, Sensor, Zone
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
SECRET = "a-secret-of-the-platform"
PUSH = Ports(push=functools.partial(serving, host="127.0.0.1", port=0), push_secret=SECRET)
ZONE = Zone("port-01", "port", "港一", "Port 1", partition=1)


async def a_client(ingest: Ingest) -> httpx.AsyncClient:
    assert ingest.field is not None
    ports = ingest.field.ports
    await until(lambda: "push" in ports, "the pushes have a port")
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports['push']}", timeout=WITHIN_S)


def a_report(device: str, **payload: object) -> dict[str, object]:
    return {
        "deviceId": device,
        "messageType": "dataReport",
        "timestamp": now_us() // 1_000,
        "payload": payload,
        "protocol": "tup",
    }


def a_signed_push(device: str, value: float, token: str = SECRET) -> bytes:
    msg = json.dumps(
        {
            "deviceName": device,
            "notifyType": "property",
            "data": {"id": "1", "params": {"level": {"value": value, "time": now_us() // 1_000}}},
        }
    )
    signed = {"msg": msg, "nonce": "n1", "signature": http.signature(token, "n1", msg), "id": "x"}
    return json.dumps(signed).encode()


async def test_a_report_of_ctwing_is_stored_under_its_device_before_it_is_answered(
    stack: Stack, unique: str
) -> None:
    level = Sensor(31, f"ctwing-{unique}", "Water_depth", "road_water_depth", "m", "port-01")
    await register(stack, [ZONE, Gateway(f"ctwing-{unique}", "port-01"), level], version=1)
    report = a_report(unique, Water_depth=0.25, rsrp=-97)
    async with running(an_ingest(stack, ports=PUSH)) as ingest, await a_client(ingest) as client:
        assert (await client.post(f"/push/ctwing/{SECRET}", json=report)).status_code == 200
        assert [row["value"] for row in await rows(stack, f"ctwing-{unique}")] == [0.25, -97]
        assert (await client.post(f"/push/ctwing/{SECRET}", json=report)).status_code == 200
        assert len(await rows(stack, f"ctwing-{unique}")) == 2


async def test_with_a_certificate_pushes_come_over_tls_alone(
    stack: Stack, unique: str, tmp_path: Path
) -> None:
    both = tmp_path / "listener.pem"
    asked = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    named_so = [
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(both),
        "-out",
        str(tmp_path / "own.pem"),
    ]
    subprocess.run(["openssl", "req", *asked, *named_so], check=True, capture_output=True)
    own = (tmp_path / "own.pem").read_text()
    both.write_text(both.read_text() + own)
    await register(stack, [ZONE, Gateway(f"ctwing-{unique}", "port-01")], version=6)
    ports = dataclasses.replace(
        PUSH, push=functools.partial(serving, host="127.0.0.1", port=0, certificate=both)
    )
    async with running(an_ingest(stack, ports=ports)) as ingest, await a_client(ingest) as client:
        address = str(client.base_url.join(f"/push/ctwing/{SECRET}"))
        async with httpx.AsyncClient(
            verify=ssl.create_default_context(cadata=own), timeout=WITHIN_S
        ) as trusting:
            secure = address.replace("http:", "https:")
            assert (await trusting.post(secure, json=a_report(unique, level=0.25))).status_code == 200
        with pytest.raises(httpx.TransportError):
            await client.post(address, json=a_report(unique, level=0.5))
    assert [row["value"] for row in await rows(stack, f"ctwing-{unique}")] == [0.25]


async def test_a_meter_in_the_envelope_is_read_and_other_bytes_are_kept(stack: Stack, unique: str) -> None:
    await register(stack, [ZONE, Gateway("gw-meter", "port-01", identity=f"ctwing/{unique}")], version=2)
    meter = base64.b64encode(named("dlt645", "mk_energy_1234.56")).decode()
    async with running(an_ingest(stack, ports=PUSH)) as ingest, await a_client(ingest) as client:
        for raw in (meter, base64.b64encode(b"who knows").decode()):
            pushed = await client.post(f"/push/ctwing/{SECRET}", json=a_report(unique, APPdata=raw))
            assert pushed.status_code == 200
    (stored,) = await rows(stack, "gw-meter")
    assert stored["value"] == 1234.56
    (refused,) = await rejects(stack, "ctwing/127.0.0.1")
    assert refused.reason == "unsupported"


async def test_onenet_checks_the_address_and_signs_its_pushes(stack: Stack, unique: str) -> None:
    await register(stack, [ZONE, Gateway(f"onenet-{unique}", "port-01")], version=3)
    good = {"msg": "hello", "nonce": "abc", "signature": http.signature(SECRET, "abc", "hello")}
    async with running(an_ingest(stack, ports=PUSH)) as ingest, await a_client(ingest) as client:
        answered = await client.get("/push/onenet", params=good)
        assert (answered.status_code, answered.text) == (200, "hello")
        assert (await client.get("/push/onenet", params=good | {"msg": "other"})).status_code == 403
        for token, status in ((SECRET, 200), ("another-secret-here", 403)):
            pushed = await client.post("/push/onenet", content=a_signed_push(unique, 1.5, token))
            assert pushed.status_code == status
    assert [row["value"] for row in await rows(stack, f"onenet-{unique}")] == [1.5]


async def test_a_cameras_box_proves_itself_and_its_events_are_stored_with_their_pictures(
    stack: Stack, unique: str
) -> None:
    smoke = Sensor(41, unique, "c1/smoke", "camera_smoke_fire", "1", "port-01")
    box = Gateway(unique, "port-01", password=credential.hashed("agreed", b"salt"))
    await register(stack, [ZONE, box, Gateway(f"{unique}-2", "port-01"), smoke], version=5)
    event = {"camera": "c1", "event": "smoke", "value": 0.83, "picture": "https://box/1.jpg"}
    async with running(an_ingest(stack, ports=PUSH)) as ingest, await a_client(ingest) as client:
        for account in ((unique, "guessed"), (f"{unique}-2", ""), ("nobody", "agreed")):
            refused = await client.post("/push/video", json=event, auth=account)
            assert (refused.status_code, refused.headers["WWW-Authenticate"][:5]) == (401, "Basic")
        sent = await client.post("/push/video", json=[event, {"event": "smoke"}], auth=(unique, "agreed"))
        assert sent.status_code == 200
    found = await rows(stack, unique)
    assert (found[0]["sensor"], found[0]["value"], len(found)) == (41, 0.83, 2)
    (refusal,) = await rejects(stack, unique)
    assert (refusal.reason, refusal.topic) == ("syntax", "http/video")


async def test_strangers_and_giants_get_nothing_in(stack: Stack, unique: str) -> None:
    async with running(an_ingest(stack, ports=PUSH)) as ingest, await a_client(ingest) as client:
        assert (await client.post("/push/ctwing/guess", json=a_report(unique, a=1))).status_code == 403
        assert (await client.post(f"/push/ctwing/{SECRET}", content=b"x" * 2_000_000)).status_code == 413
        assert (await client.post("/push/onenet", content=b"\xff\xfe")).status_code == 400
        assert (await client.get("/")).status_code == 404
        unknown = await client.post(f"/push/ctwing/{SECRET}", json=a_report(unique, a=1))
        assert unknown.status_code == 200
    (refused,) = await rejects(stack, f"ctwing/{unique}")
    assert (refused.reason, refused.topic) == ("credentials", "http/ctwing")


async def test_while_kafka_is_stopped_a_push_is_put_off_and_its_repeat_is_stored_once(
    stack: Stack, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "STORED_WITHIN_S", 0.5)
    await register(stack, [ZONE, Gateway(f"ctwing-{unique}", "port-01")], version=4)
    report = a_report(unique, level=1)
    kafka = next(one["pid"] for one in local.status(stack.data)["services"] if one["name"] == "kafka")
    async with running(an_ingest(stack, ports=PUSH)) as ingest, await a_client(ingest) as client:
        os.kill(kafka, signal.SIGSTOP)
        try:
            put_off = await client.post(f"/push/ctwing/{SECRET}", json=report)
        finally:
            os.kill(kafka, signal.SIGCONT)
        assert (put_off.status_code, put_off.headers["Retry-After"]) == (503, "5")
        async with asyncio.timeout(WITHIN_S):
            while (await client.post(f"/push/ctwing/{SECRET}", json=report)).status_code != 200:
                await asyncio.sleep(0.1)
    assert [row["value"] for row in await rows(stack, f"ctwing-{unique}")] == [1]
    assert await sent_again(stack, f"ctwing-{unique}") >= 1
