"""The hands that kill: signals to the processes of a city, and the wait until they are at work again.

Services are started again by the city's supervisor and brokers by its keeper, as under `cityvigil up`:
nothing here helps them. A limit that passes is an answer (`Overdue`): who failed to return is the finding.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import httpx

from cityvigil import process, stack, supervisor
from cityvigil.faults import fake_clock
from cityvigil.faults.fake_clock import FakeClock
from cityvigil.faults.plan import BROKERS, LEAPS_S, WORKERS, Step
from cityvigil.supervisor import Child
from cityvigil.whole_city import WholeCity, detect_worker, field_ports

BACK_WITHIN_S = 300.0
SETTLED_S = 3.0
LOOK_S = 0.1
LEAP_LASTS_S = 1.0


class Overdue(Exception):
    """Something did not come to pass within its limit."""


class Hands:
    def __init__(self, city: WholeCity) -> None:
        self._city = city
        self.killed_us = 0
        """Wall time of the first signal of the last step."""

    async def do(self, step: Step) -> None:
        """Returns when all are back. Raises Overdue, naming who is not."""
        match step.kind:
            case "kill":
                await self._kill(step)
            case "pause":
                await self._pause(step.targets[0], step.pause_s)
            case "replace":
                await self._replace(step.targets[0])
            case "asleep":
                worker, other = step.targets
                await asyncio.gather(self._pause(worker, step.pause_s), self._replace(other))
            case "join":
                await self._join()
            case "clock":
                await self._leap(step.targets[0])

    async def ready(self, *names: str) -> None:
        for name in names:
            await until(partial(self._is_ready, name), f"{name} to be ready")

    async def _kill(self, step: Step) -> None:
        before = {}
        self.killed_us = 0
        for target, gap_s in zip(step.targets, (*step.gaps_s, 0.0), strict=True):
            before[target] = await self._signal(target, signal.SIGKILL)
            await asyncio.sleep(gap_s)
        for target, pid in before.items():
            await until(partial(self._is_back, target, pid), f"{target} to come back")

    async def _signal(self, target: str, number: signal.Signals) -> int | None:
        """The process that it went to; None if none was there."""
        pid = await asyncio.to_thread(self._pid, target)
        self.killed_us = self.killed_us or time.time_ns() // 1_000
        if pid is not None:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return None
        return pid

    async def _pause(self, target: str, pause_s: float) -> None:
        self.killed_us = 0
        pid = await self._signal(target, signal.SIGSTOP)
        await asyncio.sleep(pause_s)
        if pid is not None:
            os.kill(pid, signal.SIGCONT)
        await self.ready(target)

    async def _replace(self, target: str) -> None:
        """The stopped one wakes up beside its successor, and has to end by itself."""
        city = self._city
        old = city.supervisor.leave(target)
        self.killed_us = time.time_ns() // 1_000
        old.send_signal(signal.SIGSTOP)
        city.supervisor.keep(self._child(target))
        try:
            await self.ready(target)
            await asyncio.sleep(SETTLED_S)
            old.send_signal(signal.SIGCONT)

            async def has_ended() -> bool:
                return old.returncode is not None

            await until(has_ended, f"the {target} that was stopped to end")
            await self.ready(target)
        finally:
            if old.returncode is None:
                old.kill()
                await old.wait()

    async def _join(self) -> None:
        city = self._city
        city.supervisor.keep(detect_worker(city.environ, 3))
        await self.ready("detect", "detect-2", "detect-3")
        await asyncio.sleep(SETTLED_S)
        self.killed_us = time.time_ns() // 1_000
        await city.supervisor.lose("detect")
        await asyncio.sleep(SETTLED_S)
        await self.ready("detect-2", "detect-3")

    async def _leap(self, target: str) -> None:
        """Its clock, not its work: what it does meanwhile has to be as if nothing were."""
        city = self._city
        library = await asyncio.to_thread(fake_clock.library)
        if library is None:
            raise Overdue("a clock can only leap where Debian's package faketime is installed")
        clock = FakeClock(library, city.data / f"clock-of-{target}")
        child = self._child(target)
        await city.supervisor.lose(target)
        city.supervisor.keep(dataclasses.replace(child, environ={**child.environ, **clock.environ}))
        await self.ready(target)
        self.killed_us = time.time_ns() // 1_000
        for seconds in LEAPS_S:
            clock.leap(seconds)
            await asyncio.sleep(LEAP_LASTS_S)
        await self.ready(target)

    def _child(self, target: str) -> Child:
        """Another process for the same place; the one before may still hold its ports."""
        if target in WORKERS:
            return detect_worker(self._city.environ, WORKERS.index(target) + 1)
        (port,) = process.pick_ports(1)
        own = {**field_ports(), "CITYVIGIL_HTTP_PORT": str(port)}
        return Child(target, [target], {**self._city.environ, **own}, port)

    async def restore(self, step: Step) -> None:
        """Two workers again, after a step that left others; clocks that nobody sets."""
        if step.kind == "clock":
            await self._city.supervisor.lose(step.targets[0])
            self._city.supervisor.keep(self._child(step.targets[0]))
            await self.ready(step.targets[0])
        if step.kind == "join":
            self._city.supervisor.keep(detect_worker(self._city.environ, 1))
            await self.ready("detect")
            await self._city.supervisor.end("detect-3")
            await self.ready("detect", "detect-2")

    async def _is_back(self, target: str, killed: int | None) -> bool:
        if await asyncio.to_thread(self._pid, target) in (None, killed):
            return False
        return await self._is_ready(target)

    async def _is_ready(self, target: str) -> bool:
        if target in BROKERS:
            return await asyncio.to_thread(stack.answers, self._city.data, target)
        row = row_of(self._city, target)
        if row is None:
            return False
        try:
            async with httpx.AsyncClient(timeout=2) as client:
                answer = await client.get(f"http://127.0.0.1:{row['port']}/readyz")
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    def _pid(self, target: str) -> int | None:
        if target in BROKERS:
            return stack.pid_of(self._city.data, target)
        row = row_of(self._city, target)
        return int(row["pid"]) if row and row["pid"] else None


def rows_of(city: WholeCity) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(supervisor.state_file(city.data).read_text())["services"]
    return rows


def row_of(city: WholeCity, name: str) -> dict[str, Any] | None:
    return next((row for row in rows_of(city) if row["name"] == name), None)


async def caught_up(missing: Callable[[], Awaitable[float]], what: str) -> None:
    """Until nothing is missing. Raises Overdue when nothing moves; a slow machine moves slowly."""
    least, moved = float("inf"), time.monotonic()
    while (now := await missing()) > 0:
        if now < least:
            least, moved = now, time.monotonic()
        elif time.monotonic() - moved > BACK_WITHIN_S:
            raise Overdue(f"waited {BACK_WITHIN_S:.0f} s for {what}: {least:.0f} are missing")
        await asyncio.sleep(LOOK_S)


async def until(look: Callable[[], Awaitable[bool]], what: str, within_s: float = BACK_WITHIN_S) -> None:
    """Raises Overdue."""
    try:
        async with asyncio.timeout(within_s):
            while not await look():
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise Overdue(f"waited {within_s:.0f} s for {what}") from None
