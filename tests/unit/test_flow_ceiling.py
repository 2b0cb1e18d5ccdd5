"""The search for the ceiling: what a step must keep, where it ends, and what is said to set it."""

from __future__ import annotations

from typing import Any

import pytest

from cityvigil.flow import ceiling


def a_result(alert_ms: float = 20.0, stored: int = 10, **cores: float) -> dict[str, Any]:
    return {
        "sent": 10, "stored": stored, "stored_distinct": 10, "rejected": 0,
        "alerts_expected": 3, "alerts": 3, "alerts_duplicate": 0, "alerts_unexpected": 0,
        "sense_to_alert_ms": {"p99": alert_ms}, "sense_to_committed_ms": {"p99": 400.0},
        "through_s": 12.0, "cores": cores or {"ingest": 0.3}, "machine": {"cores": 2},
    }  # fmt: skip


async def test_the_load_is_raised_until_a_promise_is_missed() -> None:
    asked: list[int] = []

    async def measure(rate: int) -> dict[str, Any]:
        asked.append(rate)
        return a_result(alert_ms=rate / 500, ingest=0.4, detect=0.95)

    found = await ceiling.climb(100_000, 10, measure)
    assert asked == [100_000, 125_000, 156_250]
    assert found["ceiling"] == 125_000
    assert found["steps"][-1]["missed"] == ["sense_to_alert_ms p99 312.5 is above 300"]
    assert found["set_by"] == "detect is one process and fills its core (0.95)"


@pytest.mark.parametrize(
    ("result", "missed"),
    [
        (a_result(), []),
        (a_result(stored=9), ["it was not exact"]),
        ({**a_result(), "through_s": 30.0}, ["it took 30.0 s to get through 10 s"]),
        ({**a_result(), "sense_to_alert_ms": {"p99": None}}, ["sense_to_alert_ms p99 None is above 300"]),
    ],
)
def test_a_step_is_carried_when_it_is_exact_in_time_and_nobody_waited(
    result: dict[str, Any], missed: list[str]
) -> None:
    assert ceiling.why_not(result, 10) == missed


def test_the_cores_of_the_machine_are_named_when_all_are_busy() -> None:
    said = ceiling.set_by(a_result(ingest=0.7, postgres=0.8, detect=0.4))
    assert said == "all 2 cores are busy (1.90); postgres takes the most, 0.80 cores"
