"""An endpoint of the API: its route and its description in one place, so that they cannot disagree."""

from __future__ import annotations

import http
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.case import Role

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True)
class Query:
    """A query parameter; `schema` is JSON Schema."""

    name: str
    says: str
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    method: str
    path: str
    """Below PREFIX, with Starlette's parameters: /cases/{case_id}"""
    handler: Callable[[Request], Awaitable[Response]]
    says: str
    body: Any = None
    answers: Any = None
    status: int = 200
    query: tuple[Query, ...] = ()
    roles: tuple[Role, ...] = ()
    open: bool = False
    """Whether it answers without a log-in."""
    refusals: tuple[int, ...] = ()
    """Statuses beyond those every endpoint has."""
    media: str = "application/json"

    @property
    def operation(self) -> str:
        return self.handler.__name__.lstrip("_")

    def refusing(self) -> list[int]:
        found = set(self.refusals)
        if not self.open:
            found |= {401, 403}
        if self.body is not None:
            found |= {400, 413, 415, 422}
        if self.query or re.search(r"{\w+}", self.path):  # a NUL in a text cannot be looked up
            found.add(422)
        return sorted(found)


def routes(endpoints: list[Endpoint]) -> list[Route]:
    """Starlette's routes: one a path, so that a wrong method is 405 and names the right ones."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return [
        Route(PREFIX + path, _dispatching(methods), methods=list(methods), name=f"api:{path}")
        for path, methods in by_path.items()
    ]


def _dispatching(methods: dict[str, Endpoint]) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await methods[method].handler(request)

    return handle


def phrase(status: int) -> str:
    return http.HTTPStatus(status).phrase
