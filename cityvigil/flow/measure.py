"""One flow measurement on a running city: register, play the load, wait until all of it is through, count.

What was stored is counted in the database, distinct (sensor, time) beside rows. sense_to_alert runs from the
moment a frame was due to the arrival of its alert at a consumer of `alerts` such as dispatch is. For
sense_to_committed the historian's place is asked for 20 times a second, and each frame's time ends when the
first answer lies behind it: too long by that interval at most, never too short.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psycopg

from cityvigil import city_clock, gateways, process, whole_city
from cityvigil.errors import CannotRun
from cityvigil.flow import log, machine
from cityvigil.flow.load import KINDS, ZONES, Load, gateway_name, point_name, zone_name
from cityvigil.flow.log import Told
from cityvigil.registry_topic import import_registry, read_registry
from cityvigil.sensor_files import GatewayRow, SensorRow, ZoneRow
from cityvigil.stack import Stack
from schemas.default_rules import rule_name
from schemas.topics import ALERTS, READINGS
from streams.copy_rows import ROW

ASK_S = 0.05
SAMPLE_S = 2.0
START_IN_S = 1.0
REGISTERED_WITHIN_S = 120.0
THROUGH_WITHIN_S = 180.0
QUIET_S = 7 * 86_400.0
"""These gateways are silent whenever nobody measures; that is no blind area."""

RULES = frozenset(rule_name(kind.category) for kind in KINDS if kind.beyond is not None)

_T = TypeVar("_T")
Progress = Callable[[str], None]


async def measure(load: Load, stack: Stack, dsn: str, progress: Progress) -> dict[str, Any]:
    """The result as it is written. Raises CannotRun."""
    if city_clock.read(stack.data).scale != 1:
        raise CannotRun(
            f"the city under {stack.data} runs faster than time: measure beside `up --no-simulators`"
        )
    about = machine.about()
    progress("registering gateways and sensors")
    await _register(load, stack)
    secrets = await asyncio.to_thread(_secrets, load, stack.data)
    readings, alerts = await _both_ends(stack.kafka)
    wal = await _number(dsn, "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")
    told: list[Told] = []
    seen: dict[int, list[tuple[int, int]]] = {number: [] for number in readings}
    highest: dict[str, float] = {}
    async with _generator(load, stack, secrets) as generator:
        progress(f"{load.gateways} gateways are connected")
        pids = _pids(stack.data) | {"bench": os.getpid()}
        before = _cpu_s(pids)
        watching = [
            asyncio.ensure_future(one)
            for one in (log.listen(stack.kafka, alerts, told), _ask(dsn, seen), _sample(pids, highest))
        ]
        try:
            start_us = time.time_ns() // 1_000 + int(START_IN_S * 1e6)
            played = await _play(generator, start_us, load, progress, watching)
            playing_s = (time.time_ns() // 1_000 - start_us) / 1e6
            cores = {name: s / playing_s for name, s in machine.spent(before, _cpu_s(pids)).items()}
            ends = await log.ends_of(stack.kafka, READINGS)
            progress("waiting until detect and record are through")
            await _within(
                THROUGH_WITHIN_S,
                asyncio.gather(log.judged(stack.kafka, ends), _recorded(seen, ends)),
                f"detect or record was not through within {THROUGH_WITHIN_S:.0f} s",
            )
            through_us = time.time_ns() // 1_000
            await _until_told(told, (await _both_ends(stack.kafka))[1], alerts)
        finally:
            for one in watching:
                one.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
        after = _cpu_s(pids)
    progress("counting")
    wal = await _number(dsn, "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')") - wal
    found = await log.segments(stack.kafka, readings, ends, lambda name: name.startswith("gw-bench-"))
    stored, distinct = await _stored(dsn, load, start_us)
    cpu_s = machine.spent(before, after) | {"generator": round(played["cpu_s"], 2)}
    cores |= {"generator": played["cpu_s"] / playing_s}
    sizes = {"mqtt": played["bytes"], "kafka": found.bytes, "copy": stored * ROW.itemsize, "wal": wal}
    return {
        "load": asdict(load),
        "sent": played["sent"],
        "stored": stored,
        "stored_distinct": distinct,
        "rejected": played["rejected"],
        **_alerts(load, told),
        "sense_to_alert_ms": quantiles(_delays(load, told)),
        "sense_to_committed_ms": quantiles(_committed(found.published, seen)),
        "sense_to_answer_ms": quantiles([us / 1e3 for us in played["delays_us"]]),
        "answers": played["answers"],
        "generator_late_ms": round(played["late_us"] / 1e3, 1),
        "through_s": round((through_us - start_us) / 1e6, 1),
        "cpu_s": cpu_s,
        "cores": {name: round(one, 3) for name, one in cores.items()},
        "stages": stages(load.frames * load.frame, cpu_s, sizes),
        "rss_mb": {name: round(mb) for name, mb in highest.items()} | {"generator": round(played["rss_mb"])},
        "bytes": sizes,
        "machine": about,
        "versions": await asyncio.to_thread(_versions, dsn),
    }


def is_exact(result: Mapping[str, Any]) -> bool:
    """Whether everything sent is stored once or refused, and every planting told once."""
    return bool(
        result["stored_distinct"] == result["stored"] == result["sent"] - result["rejected"]
        and result["alerts"] == result["alerts_expected"]
        and not result["alerts_duplicate"]
        and not result["alerts_unexpected"]
    )


STAGES = (
    ("broker", ("mosquitto", "mosquitto-log"), "mqtt"),
    ("ingest", ("ingest",), "mqtt"),
    ("log", ("kafka",), "kafka"),
    ("detect", ("detect",), "kafka"),
    ("record", ("record",), "copy"),
    ("database", ("postgres",), "wal"),
    ("cases", ("dispatch", "bypass", "console"), None),
    ("measuring", ("generator", "bench"), None),
)
"""A stage of the path: its processes, and the bytes that go through it (the database's: those it logs)."""


def stages(
    readings: int, cpu_s: Mapping[str, float], sizes: Mapping[str, int]
) -> dict[str, dict[str, float | None]]:
    """By stage, for each reading: microseconds of processor time, bytes."""
    known = {name for _, names, _ in STAGES for name in names}
    others = ("others", tuple(name for name in cpu_s if _kind(name) not in known), None)
    return {
        stage: {
            "cpu_us": round(sum(s for name, s in cpu_s.items() if _kind(name) in names) * 1e6 / readings, 3),
            "bytes": round(sizes[size] / readings, 1) if size else None,
        }
        for stage, names, size in (*STAGES, others)
        if stage != "others" or names
    }


def _kind(process: str) -> str:
    """Of several workers the name without its number."""
    return process.rstrip("-0123456789")


def quantiles(values: Sequence[float]) -> dict[str, float | None]:
    if not values:
        return {"p50": None, "p95": None, "p99": None, "max": None}
    found = np.percentile(np.array(values), [50, 95, 99, 100])
    return dict(zip(("p50", "p95", "p99", "max"), (round(float(one), 1) for one in found), strict=True))


async def _register(load: Load, stack: Stack) -> None:
    names = range(load.gateways)
    zones = [
        ZoneRow(0, zone_name(n), "bench", f"测试{n + 1}", f"Bench {n + 1}", None, None) for n in range(ZONES)
    ]
    rows = [GatewayRow(0, gateway_name(n), zone_name(n), QUIET_S, QUIET_S) for n in names]
    sensors = [
        SensorRow(
            0, gateway_name(n), point_name(p), category=load.kind_of(p).category, unit=load.kind_of(p).unit,
            zone=zone_name(n), params={"interval_s": QUIET_S},
        )
        for n in names
        for p in range(load.points)
    ]  # fmt: skip
    before = await log.ends_of(stack.kafka, READINGS)
    known = (await read_registry(stack.kafka)).version
    version = await import_registry(stack.kafka, zones, rows, sensors, len(before), "bench flow")
    if version != known:
        await _within(
            REGISTERED_WITHIN_S,
            log.adopted(stack.kafka, before, version),
            "ingest did not take the new registry: is it running?",
        )


def _secrets(load: Load, data: Path) -> Path:
    """The file with every gateway's secret; who has none gets one."""
    path = data / "bench-secrets.json"
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = {gateway_name(n): zone_name(n) for n in range(load.gateways) if gateway_name(n) not in kept}
    if missing:
        kept |= gateways.add_many(data, missing)
        process.write_atomically(path, json.dumps(kept))
    return path


@asynccontextmanager
async def _generator(load: Load, stack: Stack, secrets: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Connected and waiting for its start."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cityvigil.flow.generator",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 28,
    )  # fmt: skip
    assert running.stdin is not None
    order = {
        "load": asdict(load),
        "mqtt": stack.mqtt,
        "secrets": str(secrets),
        "epoch": time.time_ns() // 1_000,
    }
    try:
        running.stdin.write(json.dumps(order).encode() + b"\n")
        await _said(running)
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def _said(generator: asyncio.subprocess.Process) -> dict[str, Any]:
    assert generator.stdout is not None
    line = await generator.stdout.readline()
    if not line:
        raise CannotRun("the generator ended before its time")
    found: dict[str, Any] = json.loads(line)
    if "error" in found:
        raise CannotRun(f"the generator: {found['error']}")
    return found


async def _play(
    generator: asyncio.subprocess.Process,
    start_us: int,
    load: Load,
    progress: Progress,
    watching: Sequence[asyncio.Future[None]],
) -> dict[str, Any]:
    assert generator.stdin is not None
    generator.stdin.write(b"%d\n" % start_us)
    playing = asyncio.ensure_future(_said(generator))
    while not playing.done():
        done = (time.time_ns() // 1_000 - start_us) / 1e6
        progress(f"playing, {max(0.0, done):.0f} of {load.seconds} s")
        everything: list[asyncio.Future[Any]] = [playing, *watching]
        await asyncio.wait(everything, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        for one in watching:
            if one.done():
                one.result()
    return playing.result()


async def _ask(dsn: str, seen: dict[int, list[tuple[int, int]]]) -> None:
    """Until cancelled: where the historian stands, each change with when it was seen."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        while True:
            found = await connection.execute(
                "select partition, next_offset from record_offsets where topic = %s", [READINGS.name]
            )
            rows, now_us = await found.fetchall(), time.time_ns() // 1_000
            for partition, offset in rows:
                known = seen[partition]
                if not known or known[-1][0] != offset:
                    known.append((offset, now_us))
            await asyncio.sleep(ASK_S)


async def _sample(pids: Mapping[str, int], highest: dict[str, float]) -> None:
    while True:
        for name, pid in pids.items():
            highest[name] = max(highest.get(name, 0.0), await asyncio.to_thread(machine.memory_mb, pid))
        await asyncio.sleep(SAMPLE_S)


async def _recorded(seen: Mapping[int, list[tuple[int, int]]], ends: Mapping[int, int]) -> None:
    while any(end and (not seen[n] or seen[n][-1][0] < end) for n, end in ends.items()):
        await asyncio.sleep(log.LOOK_S)


async def _until_told(told: Sequence[Told], ends: Mapping[int, int], begun: Mapping[int, int]) -> None:
    """Detect is through, so what it has to say stands in Kafka; our own reading of it may lag a little."""
    written = sum(ends[n] - begun[n] for n in ends)
    deadline = time.monotonic() + 10
    while len(told) < written and time.monotonic() < deadline:
        await asyncio.sleep(log.LOOK_S)


async def _both_ends(kafka: str) -> tuple[dict[int, int], dict[int, int]]:
    return await log.ends_of(kafka, READINGS), await log.ends_of(kafka, ALERTS)


def _pids(data: Path) -> dict[str, int]:
    rows: Any = whole_city.status(data)["services"]
    return {row["name"]: int(row["pid"]) for row in rows if row["pid"]}


def _cpu_s(pids: Mapping[str, int]) -> dict[str, float]:
    """Since they began. The measurement's own children, its generator among them, are counted apart."""
    own = os.getpid()
    return {name: sum(os.times()[:2]) if pid == own else machine.cpu_s(pid) for name, pid in pids.items()}


def _is_ours(one: Told) -> bool:
    return one.alert.subject.startswith(("sensor/gw-bench-", "gateway/gw-bench-"))


def _alerts(load: Load, told: Sequence[Told]) -> dict[str, int]:
    """`alerts` are the plantings that were told; a repeat is a second message of one (alert, seq), or a
    second alert of one planting."""
    ours = [one.alert for one in told if _is_ours(one)]
    raised = [one for one in ours if one.change == "raise"]
    subjects = {one.subject for one in raised if one.rule in RULES} & load.expected
    episodes = Counter(subject for subject, _ in {(one.subject, one.alert_id) for one in raised})
    messages = Counter((one.alert_id, one.seq) for one in ours)
    return {
        "alerts_expected": len(load.expected),
        "alerts": len(subjects),
        "alerts_duplicate": sum(n - 1 for n in messages.values())
        + sum(n - 1 for subject, n in episodes.items() if subject in load.expected),
        "alerts_unexpected": len({one.alert_id for one in raised if one.subject not in load.expected}),
        "alert_messages": len(ours),
    }


def _delays(load: Load, told: Sequence[Told]) -> list[float]:
    return [
        (one.arrived_us - int(one.alert.published_at.timestamp() * 1e6)) / 1e3
        for one in told
        if one.alert.change == "raise" and one.alert.subject in load.expected and one.alert.published_at
    ]


def _committed(
    published: Sequence[tuple[int, int, int]], seen: Mapping[int, list[tuple[int, int]]]
) -> list[float]:
    """A message is committed once the historian's next offset lies behind it."""
    offsets = {number: [offset for offset, _ in places] for number, places in seen.items()}
    return [
        (seen[partition][bisect_right(offsets[partition], offset)][1] - published_us) / 1e3
        for partition, offset, published_us in published
    ]


async def _stored(dsn: str, load: Load, start_us: int) -> tuple[int, int]:
    """Rows, and distinct ones, of this run: its sensors between its first time and its last."""
    first_us, last_us = start_us - load.moments * load.step_us, start_us + load.due_us(load.frames)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("set work_mem = '256MB'")
        found = await connection.execute(
            """
            select coalesce(sum(n), 0), count(*) from (
                select count(*) as n from readings
                where time between 'epoch'::timestamptz + %s * interval '1 microsecond'
                    and 'epoch'::timestamptz + %s * interval '1 microsecond'
                  and sensor in (select sensor from sensors where gateway like 'gw-bench-%%')
                group by sensor, time
            ) as t
            """,
            [first_us, last_us],
        )
        row = await found.fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


async def _number(dsn: str, query: str) -> int:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        row = await (await connection.execute(query.encode())).fetchone()
    assert row is not None
    return int(row[0])


def _versions(dsn: str) -> dict[str, str]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return machine.versions(connection)


async def _within(seconds: float, work: Awaitable[_T], complaint: str) -> _T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise CannotRun(complaint) from None
