"""One engine for the tests of this folder; a test that writes empties what it wrote to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from tests.timescale.databases import migrated
from tests.timescale.engine import an_engine


@pytest.fixture(scope="package")
def engine() -> Iterator[str]:
    """The DSN of an empty database; whoever comes first migrates it."""
    with an_engine() as dsn:
        yield dsn


@pytest.fixture
async def connection(engine: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(engine, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def no_aggregates(connection: psycopg.AsyncConnection, engine: str) -> AsyncIterator[None]:
    """This engine's version, 2.23, writes columns at once only where no continuous aggregate looks on."""
    await migrated(connection, engine)
    await connection.execute("drop materialized view readings_1h")
    await connection.execute("drop materialized view readings_1min")
    yield
    await connection.execute("call remove_columnstore_policy('readings')")
    await connection.execute("select remove_retention_policy('readings')")
    await connection.execute("create view readings_1min as select 1; create view readings_1h as select 1")
    await connection.execute("delete from schema_migrations where number = 80")
    await migrated(connection, engine)
