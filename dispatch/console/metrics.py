"""What the console counts about itself, and the middleware that counts requests by route."""

from __future__ import annotations

import time

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

requests = Counter("cityvigil_console_requests_total", "Answered requests", ["method", "route", "status"])
seconds = Histogram(
    "cityvigil_console_request_seconds",
    "Until the answer began",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
logins = Counter("cityvigil_console_logins_total", "Log-ins by what became of them", ["outcome"])
watchers = Gauge("cityvigil_console_live_streams", "Open live streams")
events = Counter("cityvigil_console_live_events_total", "Live events read from the store", ["kind"])


class Counted:
    """Pure ASGI, so that event streams stay streams. The route's pattern is the label, never the path."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began = time.perf_counter()

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "none")
                requests.labels(scope["method"], route, message["status"]).inc()
                seconds.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, counting)
        return None
