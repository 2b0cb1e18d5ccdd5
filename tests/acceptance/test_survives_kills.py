"""Everything that runs is killed while faults rise: nothing is lost, doubled or different.

The short set of `cityvigil bench faults`: each process once by kill -9 in an order from a seed, several at
once among them; a worker that joins before another dies for good; a worker and an ingest that sleep and wake
up beside their successors; an ingest whose clock leaps. docs/reliability.md says what is compared; speed
is not.
"""

from __future__ import annotations

import pytest

from cityvigil.faults import measure, plan
from cityvigil.faults.load import Load
from cityvigil.whole_city import WholeCity
from simulators import scenario
from tests.acceptance.conftest import SMALL_CITY

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(3000)]

SEED = 7


async def test_whatever_is_killed_the_city_is_as_if_nobody_had_been(city: WholeCity, sending: Load) -> None:
    steps = plan.short(SEED)
    run, compared = await measure.measured(city, sending, steps, seconds=3000, progress=print)
    assert run.wrong == []
    assert [done.step for done in run.done] == steps

    assert compared["faults"] == len(scenario.load(str(SMALL_CITY)).faults)
    assert compared["stored"] == compared["readings"] > 1_000
    assert compared["updates"] > 0
    assert compared["cases"] >= 5
