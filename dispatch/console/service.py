"""The console as a service: its pages and its live feed, until stopped.

It is handed what serves an application over HTTP, already bound to the port that people use. Its health
routes stand there too (`serves_health`). Nothing is done to the signals of the process: the front door's stop
event ends everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from dispatch.console.app import build_console
from dispatch.console.desk import Desk
from dispatch.console.feed import Feed

Serving = Callable[[ASGIApp], AbstractAsyncContextManager[int]]
"""Serves an application while its block runs; gives the port."""


class Console:
    """`dsn` is for the listener, beside the store's pool. `port` is 0 until it serves."""

    serves_health = True

    def __init__(self, desk: Desk, *, dsn: str, serving: Serving, routes: Sequence[BaseRoute] = ()) -> None:
        self._feed = Feed(dsn, desk)
        self._serving = serving
        self.app = build_console(desk, self._feed, routes)
        self.port = 0

    def not_ready(self) -> str | None:
        if not self.port:
            return "the HTTP server has not started"
        return self._feed.not_ready()

    async def run(self, stop: asyncio.Event) -> None:
        async with self._serving(self.app) as port:
            self.port = port
            await self._feed.run(stop)
