"""One small city for the stories told here: services as `up` starts them, and what its gateways send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_asyncio

from cityvigil import process, stack, whole_city
from cityvigil.faults import load
from cityvigil.faults.load import Load
from cityvigil.faults.plan import WORKERS
from simulators import scenario
from tests.services import a_data_folder

SMALL_CITY = Path(__file__).with_name("small-city.yaml")
PATIENCE_S = 100.0

T = TypeVar("T")


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def city() -> AsyncIterator[whole_city.WholeCity]:
    with a_data_folder() as data:
        await asyncio.to_thread(stack.up, data, fsync=False)
        (port,) = process.pick_ports(1)
        plan = whole_city.Plan(
            data, port, scenario.load(str(SMALL_CITY)), str(SMALL_CITY),
            judgement_live=True, detect_workers=len(WORKERS), simulators=False,
        )  # fmt: skip
        async with whole_city.running(plan) as city:
            yield city


@pytest_asyncio.fixture(scope="package", loop_scope="package", autouse=True)
async def sending(city: whole_city.WholeCity) -> AsyncIterator[Load]:
    """The gateways of that city, which keep a record of what they send."""
    playing = await load.prepared(city, scenario.load(str(SMALL_CITY)))
    playing.start()
    yield playing
    await playing.abandon()


async def until(look: Callable[[], Awaitable[T | None]], what: str) -> T:
    """What `look` gives once it gives something. Fails, naming what was waited for, when it never does."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while (found := await look()) is None:
                await asyncio.sleep(0.1)
            return found
    except TimeoutError:
        pytest.fail(f"waited {PATIENCE_S:.0f} s for {what}")
