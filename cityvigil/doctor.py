"""Looks at every dependency and every promise it can reach, and says what to do about what is wrong.

A check returns one finding; none stops another. It changes nothing. Promises that need a load to be seen
(throughput, delay under load) are measured by `cityvigil bench`, not here.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from cityvigil import compacted, kafka, mosquitto, postgres, stack, supervisor, timescale, where
from cityvigil.detect_state import snapshots_of
from cityvigil.errors import CannotRun
from cityvigil.unguarded import Unguarded, still_learning, unguarded
from detectors.learning import Learning
from schemas import registry, rule, topics
from schemas.migrations import migrations

BEHIND_S = 10.0
CLOCKS_APART_S = 1.0
SNAPSHOT_OLD_S = 180.0
"""The bypass reads the roster each minute."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `advice` is empty when it is fine."""

    check: str
    verdict: Literal["ok", "warn", "fail"]
    says: str
    advice: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


async def examine(data: Path) -> list[Finding]:
    """Every check that can be made: programs always, the rest when a stack runs under `data`."""
    try:
        found = stack.load(data)
    except CannotRun as error:
        if not where.named_by_environment():
            return [*_programs(), Finding("stack", "fail", str(error), f"cityvigil up --data {data}")]
        found, findings = where.services(data), []
    else:
        findings = [*_programs(), *_brokers(stack.status(data), data)]
    checks: Iterable[Callable[[], Awaitable[list[Finding]]]] = (
        lambda: _topics(found.kafka),
        lambda: _database(found.postgres),
        lambda: _lag(found.kafka, found.postgres),
        lambda: _registry(found.kafka, data),
        lambda: _services(data),
    )
    for check in checks:
        findings += await check()
    return findings


def _programs() -> list[Finding]:
    findings = []
    for name, find in (
        ("mosquitto", mosquitto.program),
        ("java", kafka.java),
        ("kafka jars", kafka.jars),
        ("postgresql", lambda: postgres.program("postgres")),
    ):
        try:
            findings.append(Finding(name, "ok", str(find())))
        except CannotRun as error:
            findings.append(Finding(name, "fail", str(error), "make setup"))
    if (plugin := mosquitto.log_in_names()) is None:
        text = "is not built: refused log-ins are counted by address, not by gateway"
        findings.append(Finding("mosquitto plugin", "warn", text, "make setup"))
    else:
        findings.append(Finding("mosquitto plugin", "ok", str(plugin)))
    return findings


def _brokers(status: dict[str, Any], data: Path) -> list[Finding]:
    return [
        Finding(row["name"], "ok", f"answers, pid {row['pid']}")
        if row["health"] == "ok"
        else Finding(row["name"], "fail", f"is {row['health']}", f"cityvigil stack up --data {data}")
        for row in status["services"]
    ]


async def _topics(bootstrap: str) -> list[Finding]:
    try:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            there = set(await admin.list_topics())
        finally:
            await admin.close()
    except KafkaError as error:
        return [Finding("topics", "fail", f"Kafka at {bootstrap}: {error}", "cityvigil stack up")]
    missing = [topic.name for topic in topics.ALL if topic.name not in there]
    if missing:
        return [Finding("topics", "fail", f"missing: {', '.join(missing)}", "cityvigil migrate")]
    return [Finding("topics", "ok", f"all {len(topics.ALL)} are there")]


async def _database(dsn: str) -> list[Finding]:
    try:
        async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=5) as connection:
            return [
                await _schema(connection),
                await _timescale(connection),
                await _clock(connection),
            ]
    except psycopg.Error as error:
        return [Finding("database", "fail", " ".join(str(error).split()), "cityvigil migrate")]


async def _schema(connection: psycopg.AsyncConnection) -> Finding:
    engine = await timescale.find(connection)
    rows = await (await connection.execute("select number from schema_migrations")).fetchall()
    done = {number for (number,) in rows}
    missing = [m.name for needs in engine.has for m in migrations(needs) if m.number not in done]
    if missing:
        return Finding("schema", "fail", f"not applied: {', '.join(missing)}", "cityvigil migrate")
    return Finding("schema", "ok", f"{len(rows)} migrations applied")


async def _timescale(connection: psycopg.AsyncConnection) -> Finding:
    engine = await timescale.find(connection)
    if not engine.missing:
        return Finding("timescaledb", "ok", engine.name)
    return Finding(
        "timescaledb",
        "warn",
        f"{engine.name}: no {', '.join(engine.missing)}",
        "fine for a trial on one machine; production wants TimescaleDB's Community edition",
    )


async def _clock(connection: psycopg.AsyncConnection) -> Finding:
    before = time.time()
    row = await (await connection.execute("select extract(epoch from clock_timestamp())::float8")).fetchone()
    after = time.time()
    assert row is not None
    apart = max(before - row[0], row[0] - after, 0.0)
    if apart > CLOCKS_APART_S:
        return Finding("clocks", "fail", f"the database's clock is {apart:.1f} s off", "set up NTP on both")
    return Finding("clocks", "ok", "this machine and the database agree")


async def _lag(bootstrap: str, dsn: str) -> list[Finding]:
    """How far detect and the historian are behind the log, in messages."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=topics.DETECT_GROUP, enable_auto_commit=False
    )
    try:
        await consumer.start()
        try:
            numbers = await _partitions(bootstrap, topics.READINGS.name)
            partitions = [TopicPartition(topics.READINGS.name, number) for number in numbers]
            ends = await consumer.end_offsets(partitions)
            committed = {tp: await consumer.committed(tp) or 0 for tp in partitions}
        finally:
            await consumer.stop()
        async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=5) as connection:
            rows = await (
                await connection.execute(
                    "select partition, next_offset from record_offsets where topic = %s",
                    [topics.READINGS.name],
                )
            ).fetchall()
    except (KafkaError, psycopg.Error) as error:
        return [Finding("lag", "fail", " ".join(str(error).split()), "cityvigil stack up")]
    recorded = {TopicPartition(topics.READINGS.name, number): offset for number, offset in rows}
    found = []
    for name, done in (("detect", committed), ("record", recorded)):
        behind = sum(ends[tp] - done.get(tp, 0) for tp in partitions)
        found.append(Finding(f"{name} lag", "ok", f"the log is {behind} messages past its last commit"))
    return found


async def _partitions(bootstrap: str, topic: str) -> list[int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    return sorted(row["partition"] for row in described["partitions"])


async def _registry(bootstrap: str, data: Path) -> list[Finding]:
    entries = registry.Registry()
    async for message in compacted.read(bootstrap, topics.SENSORS):
        entries.apply(registry.decode(message.value))
    waiting = [s for s in entries.sensors.values() if s.state == "waiting"]
    findings = [
        Finding(
            "registry",
            "ok" if entries.sensors else "warn",
            f"{len(entries.sensors)} sensors, {len(entries.gateways)} gateways, {len(entries.zones)} zones",
            "" if entries.sensors else "cityvigil sensors import FILE.csv --zones zones.csv",
        )
    ]
    findings += await _guarded(bootstrap, entries, data)
    if waiting:
        some = ", ".join(f"{s.gateway}/{s.point}" for s in waiting[:3])
        findings.append(
            Finding(
                "waiting points",
                "warn",
                f"{len(waiting)} points have no category and no rule looks at them: {some}",
                "cityvigil sensors export, fill in the category, cityvigil sensors import",
            )
        )
    return findings


async def _guarded(bootstrap: str, entries: registry.Registry, data: Path) -> list[Finding]:
    rules: dict[str, rule.Rule] = {}
    async for message in compacted.read(bootstrap, topics.RULES):
        entry = rule.decode(message.value)
        if isinstance(entry, rule.RuleEntry):
            rules[entry.rule.name] = entry.rule
    partitions = max((zone.partition for zone in entries.zones.values()), default=0) + 1
    found = await asyncio.to_thread(unguarded, entries, rules.values(), partitions)
    state = await snapshots_of(bootstrap, data)
    learns = await asyncio.to_thread(still_learning, entries, rules.values(), state)
    return [_judged(len(rules), found), *_learned(learns, known=state is not None)]


def _judged(rules: int, found: Unguarded) -> Finding:
    if not found.sensors:
        return Finding("guard", "ok", f"{rules} rules, no sensor is unguarded")
    most, number = found.reasons.most_common(1)[0]
    return Finding(
        "guard",
        "warn",
        f"{len(found.sensors)} sensors have conditions that cannot be judged; {number}: {most}",
        "give the site parameters that are missing: cityvigil sensors export, param.NAME, import",
    )


def _learned(learns: list[Learning], *, known: bool) -> list[Finding]:
    """What is learned first guards nobody until then."""
    if not learns:
        return []
    sensors, alone = {one.sensor for one in learns}, {one.sensor for one in learns if one.alone}
    says = f"{len(sensors)} sensors have conditions that still learn, {len(alone)} of them no other"
    if not known:
        says += " (no snapshot of detect can be read from here: what it has learned counts as not)"
    advice = "until when: cityvigil rules unguarded; site parameters such as baseline make it unnecessary"
    return [Finding("learning", "warn", says, advice)]


async def _services(data: Path) -> list[Finding]:
    path = supervisor.state_file(data)
    if not path.exists():
        return [Finding("services", "warn", "no supervised services run here", f"cityvigil up --data {data}")]
    rows = json.loads(path.read_text())["services"]
    async with httpx.AsyncClient(timeout=3) as client:
        return list(await asyncio.gather(*(_service(client, row, data) for row in rows)))


async def _service(client: httpx.AsyncClient, row: dict[str, Any], data: Path) -> Finding:
    log = supervisor.log_file(data, row["name"])
    try:
        answer = await client.get(f"http://127.0.0.1:{row['port']}/readyz")
    except httpx.HTTPError:
        return Finding(row["name"], "fail", f"does not answer on port {row['port']}", f"read {log}")
    if answer.status_code != 200:
        return Finding(row["name"], "fail", answer.json().get("reason", answer.text), f"read {log}")
    age = answer.json().get("snapshot_age_s", 0)
    if age is None or age > SNAPSHOT_OLD_S:
        says = "has never seen the roster" if age is None else f"its roster is {age:.0f} s old"
        return Finding(row["name"], "warn", f"ready, {says}", f"is PostgreSQL up? read {log}")
    if row["restarts"]:
        return Finding(row["name"], "warn", f"ready, restarted {row['restarts']} times", f"read {log}")
    return Finding(row["name"], "ok", "ready")
