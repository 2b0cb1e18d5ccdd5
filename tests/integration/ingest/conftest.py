"""A stack for each file here, as they stop its brokers and cut them off, and a gateway for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from cityvigil.stack import Stack
from tests.integration.ingest_bench import AGateway, a_known_gateway, a_stack


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with a_stack() as stack:
        yield stack


@pytest.fixture
async def gateway(stack: Stack, unique: str) -> AsyncIterator[AGateway]:
    gateway = a_known_gateway(stack, unique)
    yield await gateway.ready()
    gateway.close()
