"""The console as a service: HTTP server and live feed, running until stopped.

It serves its health routes itself (`serves_health`), on the port that people use. Nothing is done to the
signals of the process: the front door's stop event ends everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.routing import BaseRoute

from dispatch.console.app import build_console
from dispatch.console.desk import Desk
from dispatch.console.feed import Feed


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Console:
    """`dsn` is for the listener, beside the store's pool. `port` 0 takes any free one; `address` says
    which, from when the service was made: a port in use is an OSError of the constructor."""

    serves_health = True

    def __init__(
        self, desk: Desk, *, dsn: str, host: str, port: int, routes: Sequence[BaseRoute] = ()
    ) -> None:
        self._feed = Feed(dsn, desk)
        self._listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
        # asyncio does it only for sockets that say IPPROTO_TCP, which create_server's do not; without it
        # the second half of every answer waits 40 ms for an acknowledgement.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self.app = build_console(desk, self._feed, routes)
        self._server = _Server(
            uvicorn.Config(
                self.app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
            )
        )

    def not_ready(self) -> str | None:
        if not self._server.started:
            return "the HTTP server has not started"
        return self._feed.not_ready()

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(self._server.serve(sockets=[self._listener]))
            tasks.create_task(self._feed.run(stop))
            tasks.create_task(self._end(stop, serving))

    async def _end(self, stop: asyncio.Event, serving: asyncio.Task[None]) -> None:
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        self._server.should_exit = True
