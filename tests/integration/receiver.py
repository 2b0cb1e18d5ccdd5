"""A real HTTP server that takes notices as a city's message gateway would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.integration.dispatch_desk import until


@dataclass
class Receiver:
    """Keeps what it got, answers what the test wants."""

    address: str = ""
    answers: list[int] = field(default_factory=list)  # for the next ones; then 204
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # when, by the loop's clock

    async def take(self, request: Request) -> Response:
        self.got.append((request.headers["idempotency-key"], await request.json()))
        self.seconds.append(asyncio.get_running_loop().time())
        return Response(status_code=self.answers.pop(0) if self.answers else 204)

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.got]


@asynccontextmanager
async def a_receiver(*answers: int) -> AsyncIterator[Receiver]:
    receiver = Receiver(answers=[*answers])
    app = Starlette(routes=[Route("/notices", receiver.take, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    task = asyncio.create_task(server.serve())

    async def up() -> bool:
        return server.started

    await until(up)
    receiver.address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/notices"
    try:
        yield receiver
    finally:
        server.should_exit = True
        await task
