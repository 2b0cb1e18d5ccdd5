"""/healthz, /readyz and /metrics of a service, for whoever runs it.

/healthz answers as long as the process turns its event loop; /readyz says 503 and why while the service
can't do its work; /metrics is Prometheus' text format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def routes(
    name: str,
    not_ready: Callable[[], str | None],
    details: Callable[[], Mapping[str, object]] = dict,
) -> list[Route]:
    """The three routes, to be served alone or mounted in the console. `details` stand in /readyz beside the
    verdict."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"service": name, "status": "alive"})

    async def readyz(_: Request) -> Response:
        reason = not_ready()
        if reason is None:
            return JSONResponse({"service": name, "status": "ready", **details()})
        answer = {"service": name, "status": "not ready", "reason": reason, **details()}
        return JSONResponse(answer, status_code=503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
