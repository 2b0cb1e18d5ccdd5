"""`cityvigil migrate` makes what is missing, once, however many run, and leaves what is there alone."""

from __future__ import annotations

import asyncio
import re

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from cityvigil import compacted
from cityvigil.errors import CannotRun
from cityvigil.migrate import migrate
from cityvigil.stack import Stack, environment
from cityvigil.verbs.migrate import lines
from cityvigil.whole_city import as_wide_as_its_log
from schemas import rule, topics
from schemas.default_rules import default_rules
from schemas.migrations import migrations
from schemas.rule import RuleEntry, RulesMarker
from tests.integration.record_log import settings_of
from tests.services import a_database

NAMES = [migration.name for migration in migrations()]


async def test_of_three_at_once_one_makes_everything_and_a_later_one_nothing(
    fresh_stack: Stack, unique: str
) -> None:
    with a_database(fresh_stack, unique) as dsn:
        settings = settings_of(fresh_stack, dsn)
        reports = await asyncio.gather(*(migrate(settings, judgement_live=True) for _ in range(3)))
        assert sorted(len(report.migrations) for report in reports) == [0, 0, len(NAMES)]
        assert [name for report in reports for name in report.migrations] == NAMES
        assert sorted(report.rules for report in reports) == [0, 0, len(default_rules(judgement_live=True))]
        again = await migrate(settings, judgement_live=False)
        assert (again.migrations, again.topics, again.rules) == ([], [], 0)
        assert lines(again)[0] == "nothing to do"

        messages = [message async for message in compacted.read(fresh_stack.kafka, topics.RULES)]
        *entries, marker = [rule.decode(message.value) for message in messages]
        assert marker == RulesMarker(1, by="cityvigil migrate")
        published = [entry.rule for entry in entries if isinstance(entry, RuleEntry)]
        assert published == default_rules(judgement_live=True)
        assert [message.key.decode() for message in messages] == [one.name for one in published] + ["version"]


async def test_topics_have_the_partitions_and_settings_of_the_table(fresh_stack: Stack, unique: str) -> None:
    with a_database(fresh_stack, unique) as dsn:
        settings = settings_of(fresh_stack, dsn)
        await migrate(settings, judgement_live=True)
        for topic in topics.ALL:
            expected = topic.partitions or settings.partitions
            assert await compacted.partitions_of(fresh_stack.kafka, topic) == expected
            found = await config_of(fresh_stack.kafka, topic)
            assert {name: found[name] for name in topic.config()} == topic.config()
            assert found["max.message.bytes"] == str(topics.MESSAGE_MAX_BYTES)


async def test_a_city_on_one_machine_has_the_partitions_that_are_asked_for_and_all_that_its_log_has(
    fresh_stack: Stack, unique: str
) -> None:
    told = environment(fresh_stack)
    with a_database(fresh_stack, unique) as dsn:
        await migrate(settings_of(fresh_stack, dsn), judgement_live=True)
    there = await compacted.partitions_of(fresh_stack.kafka, topics.READINGS)
    for asked, found in ((there + 3, there + 3), (1, there)):
        environ = await as_wide_as_its_log(told, {"CITYVIGIL_PARTITIONS": str(asked)})
        assert environ == {**told, "CITYVIGIL_PARTITIONS": str(found)}
    with pytest.raises(CannotRun, match="CITYVIGIL_PARTITIONS='many'"):
        await as_wide_as_its_log(told, {"CITYVIGIL_PARTITIONS": "many"})


async def config_of(kafka: str, topic: topics.Topic) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name)])
    finally:
        await admin.close()
    return {row[0]: row[1] for row in response.resources[0][4]}


async def test_a_database_without_timescaledb_is_told_what_it_lacks(fresh_stack: Stack, unique: str) -> None:
    with a_database(fresh_stack, unique) as dsn:
        report = await migrate(settings_of(fresh_stack, dsn), judgement_live=True)
        told = "without timescaledb this database has no compression, retention, continuous aggregates"
        assert told in lines(report)
        assert "the database is plain PostgreSQL" in lines(report)
        assert "this server does not offer the extension timescaledb" in lines(report)


async def test_a_migration_that_fails_leaves_nothing_of_itself(fresh_stack: Stack, unique: str) -> None:
    with a_database(fresh_stack, unique) as dsn:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            await connection.execute("create table reading_texts (in_the_way int)")
            settings = settings_of(fresh_stack, dsn)
            with pytest.raises(psycopg.errors.DuplicateTable):
                await migrate(settings, judgement_live=True)
            found = await connection.execute("select to_regclass('readings'), to_regclass('sensors') is null")
            assert await found.fetchone() == (None, False)
            await connection.execute("drop table reading_texts")
            assert (await migrate(settings, judgement_live=True)).migrations == NAMES[1:]


async def test_what_cannot_be_reached_is_named(fresh_stack: Stack, unique: str) -> None:
    nowhere = "postgresql://cityvigil:secret@127.0.0.1:1/city"
    with pytest.raises(CannotRun, match=re.escape("PostgreSQL at 127.0.0.1:1/city: ")):
        await migrate(settings_of(fresh_stack, nowhere), judgement_live=True)
