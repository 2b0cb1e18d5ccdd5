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
                env={**os.environ, **child.environ, "CITYVIGIL_SUPERVISED": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )

    async def _end(self, running: _Running) -> None:
        process = running.process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it ended at this very moment
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), PATIENCE_S)
            except TimeoutError:
                log.warning("%s did not end in %.0f s: killed", running.child.name, PATIENCE_S)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
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
            }
            for running in self._running
        ]
        path = state_file(self._data)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({"supervisor": os.getpid(), "services": rows}))
        fresh.replace(path)


def state_file(data: Path) -> Path:
    return data / "services.json"


def log_file(data: Path, name: str) -> Path:
    return data / "logs" / f"{name}.log"


def end_with_parent() -> None:
    """Asks Linux to send this process SIGTERM when its parent dies; a no-op elsewhere."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def give_way(service: str) -> None:
    """The historian waits where a core is short: people wait for alerts, nobody for rows."""
    if service == "record":
        os.nice(LESS_URGENT)
