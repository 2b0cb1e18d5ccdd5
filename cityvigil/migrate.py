"""`cityvigil migrate`: makes what the services expect to find, and leaves what is there alone.

Tables from the numbered SQL files, each once and in a transaction of its own, those for TimescaleDB where it
is; Kafka topics; the default rules as version 1 where none was ever published. Any number of them may run at
once: one works, the others wait and find everything done. It loses nothing: where TimescaleDB comes to a
database later, the readings move into a hypertable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError
from psycopg.conninfo import conninfo_to_dict

from cityvigil import compacted, timescale
from cityvigil.errors import CannotRun
from schemas import topics
from schemas.default_rules import default_rules
from schemas.migrations import Migration, migrations
from schemas.rule import RuleEntry, RulesMarker, encode
from schemas.settings import Settings

log = logging.getLogger(__name__)

LOCK = 0x6369_7479_0001  # "city": the advisory lock of those who migrate
BY = "cityvigil migrate"
TOPIC_EXISTS = 36  # Kafka's error code


@dataclass(slots=True)
class Report:
    """What one run did; all empty when there was nothing to do."""

    migrations: list[str] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    rules: int = 0
    engine: timescale.Engine = timescale.PLAIN


async def migrate(settings: Settings, *, judgement_live: bool) -> Report:
    """Raises CannotRun when PostgreSQL or Kafka cannot be reached or refuses."""
    report = Report()
    try:
        async with _alone(settings.postgres) as connection:
            await make_tables(connection, settings.postgres, report)
            await _make_topics(settings.kafka, settings.partitions, report)
            await _publish_rules(settings.kafka, judgement_live, report)
    except psycopg.OperationalError as error:
        raise CannotRun(f"PostgreSQL at {place(settings.postgres)}: {_one_line(error)}") from error
    except KafkaError as error:
        raise CannotRun(f"Kafka at {settings.kafka}: {_one_line(error)}") from error
    return report


@asynccontextmanager
async def _alone(dsn: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A connection that holds the lock for as long as it lives."""
    connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True, connect_timeout=5)
    async with connection:
        await connection.execute("select pg_advisory_lock(%s)", [LOCK])
        yield connection


async def make_tables(connection: psycopg.AsyncConnection, dsn: str, report: Report) -> None:
    """Applies what is missing. `dsn` is where `connection` leads, for a second one."""
    await connection.execute(
        "create table if not exists schema_migrations"
        " (number int primary key, name text not null, applied_at timestamptz not null default now())"
    )
    rows = await (await connection.execute("select number from schema_migrations")).fetchall()
    done = {number for (number,) in rows}
    report.engine = await timescale.offer(connection, dsn)
    for needs in report.engine.has:
        for migration in migrations(needs):
            if migration.number not in done:
                await _apply(connection, migration)
                report.migrations.append(migration.name)
    log.info("the database is %s", report.engine.name)
    if report.engine.missing:
        log.warning("this database has no %s", ", ".join(report.engine.missing))


async def _apply(connection: psycopg.AsyncConnection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql.encode())
        await connection.execute(
            "insert into schema_migrations (number, name) values (%s, %s)",
            [migration.number, migration.name],
        )
    log.info("applied %s", migration.name)


async def _make_topics(bootstrap: str, partitions: int, report: Report) -> None:
    """Replication 1: one broker. A cluster's operator makes the topics with replication 3 beforehand."""
    wanted = {topic.name: topic.partitions or partitions for topic in topics.ALL}
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        there = set(await admin.list_topics())
        new = [
            NewTopic(
                name=topic.name,
                num_partitions=wanted[topic.name],
                replication_factor=1,
                topic_configs={**topic.config(), "max.message.bytes": str(topics.MESSAGE_MAX_BYTES)},
            )
            for topic in topics.ALL
            if topic.name not in there
        ]
        if new:
            for name, code, *why in (await admin.create_topics(new)).topic_errors:
                if code not in (0, TOPIC_EXISTS):
                    raise CannotRun(f"Kafka refused to make the topic {name}: {why[0] if why else code}")
            report.topics = [topic.name for topic in new]
        await _widen(admin, wanted)
    finally:
        await admin.close()


async def _widen(admin: AIOKafkaAdminClient, wanted: dict[str, int]) -> None:
    """Waits until the broker shows every topic; adds partitions where the setting has grown."""
    for _ in range(200):
        described = await admin.describe_topics(list(wanted))
        found = {row["topic"]: len(row["partitions"]) for row in described if not row["error_code"]}
        if found.keys() == wanted.keys() and all(found.values()):
            break
        await asyncio.sleep(0.05)
    else:
        raise CannotRun(f"Kafka does not show these topics: {', '.join(wanted.keys() - found.keys())}")
    for name, count in wanted.items():
        if found[name] < count:
            await admin.create_partitions({name: NewPartitions(count)})
            log.info("topic %s: %d partitions, had %d", name, count, found[name])
        elif found[name] > count:
            log.warning("topic %s has %d partitions, %d were asked for: kept", name, found[name], count)


async def _publish_rules(bootstrap: str, judgement_live: bool, report: Report) -> None:
    """In one batch, so that a topic with rules and without a version cannot come to be."""
    if await compacted.end_of(bootstrap, topics.RULES) > 0:
        return
    rules = default_rules(judgement_live=judgement_live)
    messages = [(rule.name.encode(), encode(RuleEntry(rule, by=BY))) for rule in rules]
    messages.append((b"version", encode(RulesMarker(1, by=BY))))
    await compacted.append(bootstrap, topics.RULES, messages)
    report.rules = len(rules)


def place(dsn: str) -> str:
    """The address in a DSN, without its password."""
    fields = conninfo_to_dict(dsn)
    return f"{fields.get('host', 'localhost')}:{fields.get('port', 5432)}/{fields.get('dbname', '')}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
