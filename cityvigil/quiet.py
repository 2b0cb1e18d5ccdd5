"""A quiet city left to itself: what its processes cost and whether any of them grows.

City time is compressed, so that a day passes in minutes: what grows with the city's time shows. What grows
with the wall's time (sessions, connections) needs a slow scale and patience. Memory is the proportional set
size, so that pages which processes share count once. The first third of a run warms up and judges nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from cityvigil import whole_city
from cityvigil.flow import machine

SAMPLE_S = 2.0
BROKERS = ("mosquitto", "kafka", "postgres", "mosquitto-log")
"""Their caches fill up to bounds of their own: shown, and not judged."""

MAY_GROW_MB = 10.0
MAY_GROW = 0.1
"""From the middle third of the run to the last, by process: what a heap that has settled may still do."""

SCENARIO = """\
name: quiet
seed: {seed}
clock:
  scale: {scale:g}
city:
  zones: {zones}
  density: {density:g}

faults: []
"""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sample:
    """At `wall_s` after the start: megabytes and processor seconds by process."""

    wall_s: float
    memory_mb: Mapping[str, float]
    cpu_s: Mapping[str, float]


def write_scenario(folder: Path, *, scale: float, zones: int, density: float, seed: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "quiet.yaml"
    path.write_text(SCENARIO.format(seed=seed, scale=scale, zones=zones, density=density))
    return path


async def watch(city: whole_city.WholeCity, seconds: float, progress: Progress) -> dict[str, Any]:
    """The result as it is written."""
    while "simulate" not in (pids := _pids(city.data)):
        await asyncio.sleep(0.1)
    samples: list[Sample] = []
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < seconds or len(samples) < 3:
        samples.append(await asyncio.to_thread(_sample, pids, passed))
        progress(f"{passed * city.clock.scale / 3600:.1f} h of the city, {passed:.0f} of {seconds:.0f} s")
        await asyncio.sleep(min(SAMPLE_S, seconds / 30))
    ended = {name for name, pid in pids.items() if _pids(city.data).get(name) != pid}
    return judged(samples, city.clock.scale, ended) | {
        "readings": await _readings(city.settings.postgres),
        "machine": machine.about(),
    }


def judged(samples: Sequence[Sample], scale: float, ended: set[str]) -> dict[str, Any]:
    """Costs and growth of each process. `ended` are those that did not live from the start to the end."""
    times = np.array([one.wall_s for one in samples])
    names = sorted(samples[0].memory_mb)
    processes = {
        name: _grown(
            times,
            np.array([one.memory_mb[name] for one in samples]),
            np.array([one.cpu_s[name] for one in samples]),
            scale,
        )
        for name in names
    }
    growing = [
        name
        for name, one in processes.items()
        if name not in BROKERS and one["grew_mb"] > MAY_GROW_MB + MAY_GROW * one["middle_mb"]
    ]
    return {
        "scale": scale,
        "seconds": round(float(times[-1]), 1),
        "city_hours": round(float(times[-1]) * scale / 3600, 2),
        "cores": round(sum(one["cores"] for one in processes.values()), 3),
        "memory_mb": round(max(sum(one.memory_mb.values()) for one in samples)),
        "processes": processes,
        "growing": growing,
        "ended": sorted(ended),
    }


def _grown(times: np.ndarray, memory: np.ndarray, cpu: np.ndarray, scale: float) -> dict[str, float]:
    """`mb_per_city_day` is a straight line's through all after the first third."""
    third = times[-1] / 3
    middle = memory[(times >= third) & (times < 2 * third)]
    last = memory[times >= 2 * third]
    settled = times >= third
    slope = np.polyfit(times[settled], memory[settled], 1)[0] if settled.sum() > 1 else 0.0
    steady = cpu[settled][-1] - cpu[settled][0]
    return {
        "first_mb": round(float(memory[0]), 1),
        "middle_mb": round(float(np.median(middle)), 1),
        "last_mb": round(float(np.median(last)), 1),
        "grew_mb": round(float(np.median(last) - np.median(middle)), 1),
        "mb_per_city_day": round(float(slope) * 86_400 / scale, 2),
        "cores": round(float(steady / max(times[settled][-1] - times[settled][0], 1e-9)), 3),
    }


def _sample(pids: Mapping[str, int], wall_s: float) -> Sample:
    return Sample(
        wall_s,
        {name: machine.memory_mb(pid) for name, pid in pids.items()},
        {name: machine.cpu_s(pid) for name, pid in pids.items()},
    )


def _pids(data: Path) -> dict[str, int]:
    rows: Any = whole_city.status(data)["services"]
    return {row["name"]: int(row["pid"]) for row in rows if row["pid"]}


async def _readings(dsn: str) -> int:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        row = await (await connection.execute("select count(*) from readings")).fetchone()
    return int(row[0]) if row else 0
