"""Runs the services of one machine as child processes, and restarts what dies.

A child that dies is started again after a pause that grows from 0.2 s to 5 s while it keeps dying and
is forgotten once it has lived for ten seconds. Children end with the supervisor, even when that is
killed (the kernel tells them: `end_with_parent`). It does not judge why a child died: the log says.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cityvigil import process

log = logging.getLogger(__name__)

PAUSE_S = (0.2, 0.5, 1.0, 2.0, 5.0)
LIVED_S = 10.0
PATIENCE_S = 15.0
_PR_SET_PDEATHSIG = 1

LESS_URGENT = 5
"""The niceness of the historian and of a local PostgreSQL: a third of the share of the others."""


@dataclass(frozen=True, slots=True)
class Child:
    """A service to keep alive: `verb` of the command line, its environment, where it serves health."""

    name: str
    verb: Sequence[str]
    environ: Mapping[str, str]
    port: int


@dataclass(slots=True)
class _Running:
    child: Child
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    ending: bool = False
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Supervisor:
    """Keeps children alive until stopped; `DATA/services.json` says who runs where."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._running: list[_Running] = []
        (data / "logs").mkdir(parents=True, exist_ok=True)

    def keep(self, child: Child) -> None:
        """Starts a child and keeps it alive from now on."""
        running = _Running(child)
        running.task = asyncio.create_task(self._keep(running), name=child.name)
        self._running.append(running)

    async def end(self, *names: str) -> None:
        """Ends these, by default all, last started first."""
        for running in reversed(self._running.copy()):
            if not names or running.child.name in names:
                running.ending = True
                await self._end(running)
                self._running.remove(running)
        if self._running:
            self._write_state()
        else:
            state_file(self._data).unlink(missing_ok=True)

    async def lose(self, name: str) -> None:
        """kill -9, and it is not started again: its machine is gone. For `bench faults`."""
        running = next(one for one in self._running if one.child.name == name)
        self._let_go(running)
        if running.process is not None and running.process.returncode is None:
            running.process.kill()
            await running.process.wait()
        self._write_state()

    def leave(self, name: str) -> asyncio.subprocess.Process:
        """The process of this name goes on, and is nobody's charge from now on. For `bench faults`."""
        running = next(one for one in self._running if one.child.name == name)
        assert running.process is not None, f"{name} was never started"
        self._let_go(running)
        self._write_state()
        return running.process

    def _let_go(self, running: _Running) -> None:
        running.ending = True
        self._running.remove(running)
        if running.task is not None:
            running.task.cancel()

    async def _keep(self, running: _Running) -> None:
        died = 0
        while not running.ending:
            began = time.monotonic()
            running.process = await self._start(running.child)
            self._write_state()
            code = await running.process.wait()
            if running.ending:
                return
            died = 0 if time.monotonic() - began > LIVED_S else died
            pause = PAUSE_S[min(died, len(PAUSE_S) - 1)]
            died += 1
            running.restarts += 1
            log.warning("%s ended with %s, starting it again in %.1f s", running.child.name, code, pause)
            await asyncio.sleep(pause)

    async def _start(self, child: Child) -> asyncio.subprocess.Process:
        with log_file(self._data, child.name).open("ab") as sink:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "cityvigil",
                *child.verb,
                env={**os.environ, **child.environ, "CITYVIGIL_SUPERVISED": str(os.getpid())},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )

    async def _end(self, running: _Running) -> None:
        started = running.process
        if started is not None and started.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it ended at this very moment
                started.terminate()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await started.wait()
            except TimeoutError:
                log.warning("%s did not end in %.0f s: killed", running.child.name, PATIENCE_S)
                with contextlib.suppress(ProcessLookupError):
                    started.kill()
                await started.wait()
        if running.task is not None:
            running.task.cancel()
            await asyncio.gather(running.task, return_exceptions=True)

    def _write_state(self) -> None:
        rows = [
            {
                "name": running.child.name,
                "pid": running.process.pid if running.process else None,
                "port": running.child.port,
                "restarts": running.restarts,
                "started": running.process and process.birth(running.process.pid),
            }
            for running in self._running
        ]
        path = state_file(self._data)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({"supervisor": os.getpid(), "services": rows}))
        fresh.replace(path)


def state_file(data: Path) -> Path:
    return data / "services.json"


def end_left_behind(data: Path) -> None:
    """Ends what a killed supervisor left: services that have not yet ended with it, or can not."""
    try:
        rows = json.loads(state_file(data).read_text())["services"]
    except FileNotFoundError:
        return
    left = [process.Process(row["name"], row["pid"], row["started"]) for row in rows if row.get("started")]
    for one in left:
        process.send(one, signal.SIGTERM)
    process.wait(lambda: not any(map(process.is_alive, left)), PATIENCE_S)
    for one in filter(process.is_alive, left):
        log.warning("%s (pid %d) of a supervisor that was killed did not end: killed", one.name, one.pid)
        process.kill(one)
    state_file(data).unlink()


def log_file(data: Path, name: str) -> Path:
    return data / "logs" / f"{name}.log"


def end_with_parent(parent: int) -> None:
    """Asks Linux to send this process SIGTERM when its parent dies; a no-op elsewhere."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), signal.SIGTERM)


def give_way(service: str) -> None:
    """The historian waits where a core is short: people wait for alerts, nobody for rows."""
    if service == "record":
        os.nice(LESS_URGENT)
