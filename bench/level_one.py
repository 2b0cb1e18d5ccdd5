"""How long a level 1 alert takes to people while PostgreSQL is dead: `python -m bench.level_one`.

Starts a stack, `cityvigil bypass` as its supervisor would, and a webhook receiver; kills PostgreSQL by its
process id; writes alerts to Kafka, a scene each; prints the time from Kafka's acknowledgement of an alert to
the receipt of each of its notices, and what the bypass cost. Exits 1 if a notice is missing, doubled, or
later than 2 s at p99.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
from aiokafka import AIOKafkaProducer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cityvigil import process
from cityvigil import stack as local
from cityvigil.http_server import serving
from cityvigil.migrate import migrate
from schemas import topics
from schemas.alert import Alert, Evidence, alert_id, encode
from schemas.settings import Settings

PROMISE_S = 2.0
RECIPIENTS = 2


def a_leak(number: int) -> Alert:
    now = dt.datetime.now(dt.UTC)
    subject = f"sensor/gw-{number}/ch4"
    return Alert(
        alert_id=alert_id("gas-manhole-methane", "live", subject, now),
        seq=1,
        change="raise",
        mode="live",
        rule="gas-manhole-methane",
        rule_version="0123456789abcdef",
        subject=subject,
        category="gas_manhole_methane",
        network="gas",
        zone=f"zone-{number:04}",
        district="shinan",
        level=1,
        worst=1,
        state="active",
        since=now,
        observed_at=now,
        evidence=Evidence(text_zh="甲烷", text_en="methane", source="bench", confidence="judgement"),
        published_at=now,
        correlation=f"gw-{number}/1/1",
    )


@contextlib.asynccontextmanager
async def a_receiver(got: list[tuple[str, float]]) -> AsyncIterator[str]:
    async def take(request: Request) -> Response:
        got.append((request.headers["idempotency-key"], asyncio.get_running_loop().time()))
        return Response(status_code=204)

    port = process.pick_ports(1)[0]
    async with serving(Starlette(routes=[Route("/", take, methods=["POST"])]), "127.0.0.1", port):
        yield f"http://127.0.0.1:{port}/"


async def ready(port: int) -> None:
    """Until the bypass has its place in the log and a snapshot."""
    async with httpx.AsyncClient() as client, asyncio.timeout(120):
        while True:
            with contextlib.suppress(httpx.HTTPError):
                answer = await client.get(f"http://127.0.0.1:{port}/readyz")
                if answer.status_code == 200 and answer.json()["snapshot_age_s"] is not None:
                    return
            await asyncio.sleep(0.1)


async def tell(kafka: str, alerts: int, pause_s: float, got: list[tuple[str, float]]) -> dict[str, float]:
    """When Kafka had each."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await producer.start()
    sent = {}
    try:
        for number in range(alerts):
            leak = a_leak(number)
            await producer.send_and_wait(topics.ALERTS.name, encode(leak), key=b"shinan")
            sent[leak.alert_id] = asyncio.get_running_loop().time()
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(120):
            while len(got) < alerts * RECIPIENTS:
                await asyncio.sleep(0.1)
    finally:
        await producer.stop()
    return sent


async def main(alerts: int, pause_s: float) -> int:
    got: list[tuple[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        stack = local.up(Path(folder) / "data")
        try:
            environ = local.environment(stack)
            await migrate(Settings.from_environ(environ), judgement_live=False)
            port = process.pick_ports(1)[0]
            async with a_receiver(got) as address:
                mine = {
                    "CITYVIGIL_WEBHOOK": address,
                    "CITYVIGIL_HTTP_PORT": str(port),
                    "CITYVIGIL_LOG": "error",
                }
                bypass = subprocess.Popen(
                    [sys.executable, "-m", "cityvigil", "bypass"], env={**os.environ, **environ, **mine}
                )
                try:
                    await ready(port)
                    local.kill(stack.data, "postgres")
                    sent = await tell(stack.kafka, alerts, pause_s, got)
                    cpu_s, rss_mb = cost(bypass.pid)
                finally:
                    bypass.kill()
                    bypass.wait()
        finally:
            local.down(stack.data)
    waited = [at - sent[key.partition("/")[0]] for key, at in got]
    p50, p99 = np.percentile(waited, [50, 99])
    different = len({key for key, _ in got})
    print(f"{alerts} alerts, {len(got)} notices, {different} different; PostgreSQL dead")
    print(
        f"alert -> notified: p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms, max {max(waited) * 1e3:.0f} ms"
    )
    print(f"bypass: {cpu_s:.1f} s of processor time, {rss_mb:.0f} MB")
    return 0 if len(got) == different == alerts * RECIPIENTS and p99 < PROMISE_S else 1


def cost(pid: int) -> tuple[float, float]:
    """Processor time and resident memory."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks, pages = int(fields[11]) + int(fields[12]), int(fields[21])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--alerts", type=int, default=300)
    parser.add_argument("--pause-s", type=float, default=0.05, help="between two alerts")
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.alerts, given.pause_s)))
