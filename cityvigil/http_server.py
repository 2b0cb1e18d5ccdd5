"""uvicorn inside our own event loop: we bind the socket and keep the signals.

Binding first makes a port in use one clear line; keeping the signals lets one stop event end the HTTP
server and the service beside it together.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from cityvigil.errors import CannotRun

STARTED_LOOK_S = 0.01


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening address. Raises CannotRun when the port is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Inherited by what is accepted: without it head and body of an answer wait 40 ms for each other.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise CannotRun(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from None
    return listener


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    most_at_once: int | None = None,
    proxy_headers: bool = True,
) -> AsyncIterator[int]:
    """Serves `app` while the block runs; gives the port. Open event streams are cut at the end. With a
    certificate, in a file with its key or beside one, it speaks TLS only. `proxy_headers`: whether a proxy on
    this machine is believed who sends."""
    listener = bind(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        server_header=False,
        proxy_headers=proxy_headers,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        limit_concurrency=most_at_once,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.wait({task}, timeout=STARTED_LOOK_S)
        if task.done():
            task.result()
            raise CannotRun(f"the HTTP server on {host}:{port} ended as it started")
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        await task
