"""How much the platform carries: the load is raised step by step until it is too much, and what stops it.

A step is carried when it was exact, detect and record were through soon after the last frame, and nobody
waited long: the promises for high rates are the bounds. Pure, apart from the measurement that is handed in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cityvigil.flow.measure import is_exact

STEP = 1.25
STEPS = 12
ALERT_MS = 300.0
COMMITTED_MS = 1_500.0
LATE_S = 12.0
"""Detect keeps its place every ten seconds: it is seen to be through up to that late."""

BUSY = 0.9
"""Of a core, or of all: what is nearer to the limit than this is what sets it."""

Measure = Callable[[int], Awaitable[Mapping[str, Any]]]


async def climb(first_rate: int, seconds: int, measure: Measure) -> dict[str, Any]:
    """Steps from `first_rate` up until one is not carried."""
    steps: list[dict[str, Any]] = []
    rate = first_rate
    for _ in range(STEPS):
        result = await measure(rate)
        missed = why_not(result, seconds)
        steps.append({"rate": rate, "missed": missed, "set_by": set_by(result), "result": dict(result)})
        if missed:
            break
        rate = round(rate * STEP)
    carried = [step["rate"] for step in steps if not step["missed"]]
    return {"ceiling": max(carried, default=None), "set_by": steps[-1]["set_by"], "steps": steps}


def why_not(result: Mapping[str, Any], seconds: int) -> list[str]:
    """What a step missed; nothing if it was carried."""
    missed = [] if is_exact(result) else ["it was not exact"]
    for name, bound in (("sense_to_alert_ms", ALERT_MS), ("sense_to_committed_ms", COMMITTED_MS)):
        p99 = result[name]["p99"]
        if p99 is None or p99 > bound:
            missed.append(f"{name} p99 {p99} is above {bound:g}")
    if result["through_s"] > seconds + LATE_S:
        missed.append(f"it took {result['through_s']} s to get through {seconds} s")
    return missed


def set_by(result: Mapping[str, Any]) -> str:
    """What was nearest to its limit while the load was played."""
    cores: Mapping[str, float] = result["cores"]
    total, machine = sum(cores.values()), int(result["machine"]["cores"])
    name = max(cores, key=lambda one: cores[one])
    share = f"{name} takes the most, {cores[name]:.2f} cores"
    if total >= BUSY * machine:
        return f"all {machine} cores are busy ({total:.2f}); {share}"
    if cores[name] >= BUSY and name not in ("kafka", "postgres"):  # those two have more threads than one
        return f"{name} is one process and fills its core ({cores[name]:.2f})"
    return f"neither the cores ({total:.2f} of {machine}) nor a process: waiting; {share}"
