"""Real Mosquitto, Kafka and PostgreSQL as fixtures; a test that uses one is marked `integration`.

The three start once a session, in a folder of their own, and are stopped by pid at its end whatever happened.
Tests never share names: `unique` gives each its prefix, `postgres_dsn` a database of its own. PostgreSQL runs
without fsync here; everything else is as in `cityvigil stack up`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from cityvigil import gateways, postgres
from cityvigil import stack as local
from cityvigil.stack import Stack
from tests.guardian import remove

ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"stack", "fresh_stack"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with a_data_folder() as data:
        yield local.up(data, fsync=False)


@pytest.fixture(scope="module")
def fresh_stack() -> Iterator[Stack]:
    """A stack of the module's own, where names are fixed: nothing stands in its topics."""
    with a_data_folder() as data:
        yield local.up(data, fsync=False)


@pytest.fixture
def unique() -> str:
    """A prefix that no other test uses; fits a gateway, a topic, a group and a database."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="session")
def kafka_bootstrap(stack: Stack) -> str:
    return stack.kafka


@pytest.fixture
def postgres_dsn(stack: Stack, unique: str) -> Iterator[str]:
    """An empty database for one test."""
    with a_database(stack, unique) as dsn:
        yield dsn


@contextmanager
def a_database(stack: Stack, name: str) -> Iterator[str]:
    """An empty database of a stack, gone at the end."""
    port = local.port_of(stack.postgres.rpartition("/")[0])
    with psycopg.connect(postgres.dsn(port, "postgres"), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
    yield postgres.dsn(port, name)
    with psycopg.connect(postgres.dsn(port, "postgres"), autocommit=True) as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@dataclass(frozen=True)
class Mqtt:
    """The broker, the service account, and accounts for gateways."""

    data: Path
    address: str
    user: str
    password: str
    log: Path

    @property
    def host(self) -> str:
        return self.address.rpartition(":")[0]

    @property
    def port(self) -> int:
        return local.port_of(self.address)

    def add_gateway(self, gateway: str, zone: str | None = None) -> str:
        """Its secret."""
        return gateways.add(self.data, gateway, zone)


@pytest.fixture(scope="session")
def mqtt(stack: Stack) -> Mqtt:
    return Mqtt(stack.data, stack.mqtt, stack.mqtt_user, stack.mqtt_password, stack.mqtt_log)


async def create_topics(bootstrap: str, partitions: Mapping[str, int]) -> None:
    """The broker makes no topic by itself, so that a typing error can not."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, count, 1) for name, count in partitions.items()])
    finally:
        await admin.close()


@contextmanager
def a_data_folder() -> Iterator[Path]:
    """A new data folder whose stack is stopped and whose files are gone at the end, whatever the end is."""
    folder = Path(tempfile.mkdtemp(prefix="cityvigil-test-"))
    # mkdtemp closes it to others, and PostgreSQL started by root has to pass.
    folder.chmod(0o711)
    watch = [sys.executable, "-m", "tests.guardian", str(folder)]
    # Its own session: Ctrl-C is for pytest, which then has its own chance to clean up.
    with subprocess.Popen(watch, stdin=subprocess.PIPE, cwd=ROOT, start_new_session=True):
        try:
            yield folder / "data"
        finally:
            remove(folder)
