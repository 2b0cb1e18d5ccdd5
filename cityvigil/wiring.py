"""From settings to a running service: one process, one service, its health routes beside it.

Everything a service needs is opened here and handed to it, clock included; an `AsyncExitStack` closes it
in the reverse order. A service ends by the stop event (SIGTERM, SIGINT) or by the exception that ended it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Protocol

from starlette.applications import Starlette

from cityvigil import health, logs, supervisor
from cityvigil.errors import CannotRun
from cityvigil.http_server import serving
from cityvigil.steady import Steady, steady_us, wall_us
from schemas.settings import Settings, SettingsError

COLLECT_AT = (10_000, 10, 50)
"""Thresholds of the garbage collector: arrays and frames are freed by their counts, cycles are rare."""

SETTLE_LOOK_S = 0.5


class Service(Protocol):
    """What every edge offers: run until stopped, and say why it is not ready."""

    async def run(self, stop: asyncio.Event) -> None: ...
    def not_ready(self) -> str | None: ...


class Explained:
    """A service some of whose exceptions are no bug but a state of the world that one line tells."""

    def __init__(self, service: Service, told: tuple[type[Exception], ...]) -> None:
        self._service, self._told = service, told

    async def run(self, stop: asyncio.Event) -> None:
        try:
            await self._service.run(stop)
        except self._told as error:
            raise CannotRun(str(error)) from None

    def not_ready(self) -> str | None:
        return self._service.not_ready()


Builder = Callable[[Settings, AsyncExitStack], Awaitable[Service]]


_CLOCK = Steady(wall_us, steady_us)


def now_us() -> int:
    """Wall time without its leaps, microseconds since 1970 UTC."""
    return _CLOCK.now_us()


def settings_from_environ(environ: Mapping[str, str] | None = None) -> Settings:
    """Raises CannotRun for what is missing or malformed; without `environ`, of this process."""
    try:
        return Settings.from_environ(environ)
    except SettingsError as error:
        raise CannotRun(str(error)) from None


async def serve(name: str, settings: Settings, build: Builder) -> None:
    """Runs one service until a signal ends it. Raises what the service raised."""
    logs.configure(name, settings.log_level)
    if parent := os.environ.get("CITYVIGIL_SUPERVISED"):
        supervisor.end_with_parent(int(parent))
        supervisor.give_way(name)
    gc.set_threshold(*COLLECT_AT)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as resources:
        service = await build(settings, resources)
        if not getattr(service, "serves_health", False):
            details = getattr(service, "details", dict)
            # What a service answers beside its health: the simulated cameras their pictures.
            own = getattr(service, "routes", ())
            app = Starlette(routes=[*health.routes(name, service.not_ready, details), *own])
            await resources.enter_async_context(serving(app, settings.http_host, settings.http_port))
        settling = asyncio.create_task(_settle(service))
        try:
            await service.run(stop)
        finally:
            settling.cancel()


async def _settle(service: Service) -> None:
    """What a service loads before it is ready (registry, rules) stays: a collection that walks through all of
    it would hold readings up for a tenth of a second."""
    while service.not_ready() is not None:
        await asyncio.sleep(SETTLE_LOOK_S)
    gc.collect()
    gc.freeze()
