"""`/live`: server-sent events `alert`, `case` and `health` with rising ids; Last-Event-ID resumes.

Each stream shows its user's scope only and ends when the session does. `reset` says that what was
missed cannot be had any more: read the lists again. `goodbye` says that the session is over.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator

import msgspec
import psycopg
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from dispatch.console import metrics
from dispatch.console.desk import Desk, desk_of
from dispatch.console.endpoint import Endpoint, Query
from dispatch.console.feed import Event, Feed
from dispatch.console.identity import identify, signed_in
from dispatch.console.problems import wrong_field
from dispatch.console.scope import Scope, scope_of

RECHECK_S = 30.0


async def stream_live(request: Request) -> Response:
    user = await signed_in(request)
    feed: Feed = request.app.state.feed
    text = request.headers.get("last-event-id") or request.query_params.get("after") or ""
    if text and not re.fullmatch(r"\d{1,19}", text):
        raise wrong_field("Last-Event-ID", "an id of this stream", text)
    last = int(text) if text else await feed.newest()
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _events(request, feed, scope_of(user), last), media_type="text/event-stream", headers=headers
    )


async def _events(request: Request, feed: Feed, scope: Scope, last: int) -> AsyncIterator[bytes]:
    desk = desk_of(request)
    checked = time.monotonic()
    metrics.watchers.inc()
    try:
        yield b"retry: 1000\n\n"
        async for event in feed.since(last):
            if time.monotonic() - checked > RECHECK_S:
                checked = time.monotonic()
                if await identify(request) is None:
                    yield b"event: goodbye\ndata: {}\n\n"
                    return
            if event is None:
                yield _written(Event(await feed.newest(), "reset", {}))
            elif event.kind == "health" and (scope.unit or scope.districts):
                # The counts are the whole city's, not theirs.
                yield _written(Event(event.id, "health", {**event.payload, "counts": None}))
            elif event.kind == "health" or await _sees(desk, scope, event):
                yield _written(event)
    except psycopg.OperationalError:
        return  # the database is away: the browser comes back with its last id
    finally:
        metrics.watchers.dec()


async def _sees(desk: Desk, scope: Scope, event: Event) -> bool:
    if event.kind == "case":
        return scope.sees_case(event.payload)
    if not scope.sees_alert(event.payload):
        return False
    if scope.unit is None:
        return True
    case_id = event.payload.get("case_id")
    case = await desk.store.case(case_id) if case_id else None
    return case is not None and scope.sees_case(case)


def _written(event: Event) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        event.id,
        event.kind.encode(),
        msgspec.json.encode(event.payload),
    )


ENDPOINTS = [
    Endpoint(
        "GET", "/live", stream_live,
        "Server-sent events alert, case, health; Last-Event-ID or `after` resumes. Also at /live",
        query=(Query("after", "go on after this id", {"type": "integer"}),), media="text/event-stream",
    ),
]  # fmt: skip
