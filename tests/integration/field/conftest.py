"""One stack for all that speaks the field's protocols: names differ from test to test, so they share it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from cityvigil.stack import Stack
from tests.integration.ingest_bench import AGateway, a_known_gateway, a_stack


@pytest.fixture(scope="package")
def field_stack() -> Iterator[Stack]:
    with a_stack() as stack:
        yield stack


@pytest.fixture
def stack(field_stack: Stack) -> Stack:
    return field_stack


@pytest.fixture
async def gateway(stack: Stack, unique: str) -> AsyncIterator[AGateway]:
    gateway = a_known_gateway(stack, unique)
    yield await gateway.ready()
    gateway.close()
