"""`cityvigil audit verify`: the history of all cases against its hashes and against its copies in the log."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import psycopg
from psycopg import IsolationLevel

from cityvigil import compacted
from dispatch.audit_check import Head, Verdict, check
from schemas.topics import CASE_EVENTS, Topic


async def verify(kafka: str, dsn: str, noted: Head | None = None, topic: Topic = CASE_EVENTS) -> Verdict:
    """Raises KafkaError or psycopg.Error where one of them cannot be read."""
    end = await compacted.end_of(kafka, topic)  # first: what is in the log then is in the snapshot
    async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=5) as connection:
        await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        async with aclosing(_events(kafka, topic, end)) as events:
            return await check(connection, events, noted)


async def _events(kafka: str, topic: Topic, end: int) -> AsyncGenerator[bytes]:
    async with aclosing(compacted.read(kafka, topic, end=end)) as messages:
        async for message in messages:
            yield message.value
