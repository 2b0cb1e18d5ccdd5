"""Logging in and out over the API: POST, GET and DELETE /api/v1/session."""

from __future__ import annotations

import datetime as dt

from starlette.requests import Request
from starlette.responses import Response

from dispatch.console import metrics
from dispatch.console.answers import LogIn, Me
from dispatch.console.bodies import read_json
from dispatch.console.desk import desk_of
from dispatch.console.endpoint import Endpoint
from dispatch.console.identity import COOKIE, check_origin, signed_in
from dispatch.console.json_answer import Json
from dispatch.console.problems import Problem
from dispatch.people import SESSION_LIFE, LoginRefused, Session, User
from schemas.clock import to_datetime

REFUSALS = {
    "credentials": (401, "user or password is wrong"),
    "disabled": (403, "this account is disabled"),
    "code-required": (401, "this account has a second factor: give its code"),
    "code-unexpected": (422, "code: expected none, this account has no second factor"),
    "code": (401, "the code is wrong or was used before"),
    "too-many": (429, "too many failed log-ins: wait"),
}


async def begin(request: Request, name: str, password: str, code: str | None) -> Session:
    """A session for these credentials. Raises LoginRefused; a page of another site is refused first."""
    check_origin(request)
    desk = desk_of(request)
    address = request.client.host if request.client else ""
    now = to_datetime(desk.now())
    try:
        session = await desk.people.log_in(name, password, code or None, address=address, now=now)
    except LoginRefused as refused:
        metrics.logins.labels(refused.why).inc()
        raise
    metrics.logins.labels("welcome").inc()
    return session


def carry(response: Response, request: Request, session: Session) -> Response:
    """The session's cookie onto the answer."""
    response.set_cookie(
        COOKIE,
        session.cookie,
        max_age=int(SESSION_LIFE.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


async def _log_in(request: Request) -> Response:
    body = await read_json(request, LogIn)
    try:
        session = await begin(request, body.user, body.password, body.code)
    except LoginRefused as refused:
        status, detail = REFUSALS[refused.why]
        headers = {"Retry-After": str(refused.retry_after_s)} if refused.retry_after_s else {}
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        raise Problem(status, detail, headers=headers, reason=refused.why) from None
    return carry(Json(_me(session.user, session.expires_at)), request, session)


async def _who_am_i(request: Request) -> Response:
    return Json(_me(await signed_in(request)))


async def _log_out(request: Request) -> Response:
    await signed_in(request)
    if cookie := request.cookies.get(COOKIE):
        await desk_of(request).people.log_out(cookie)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE)
    return response


def _me(user: User, expires_at: dt.datetime | None = None) -> Me:
    return Me(user.name, sorted(user.roles), user.unit, sorted(user.districts), expires_at)


ENDPOINTS = [
    Endpoint(
        "POST", "/session", _log_in, "Log in; sets the session cookie, 12 h", LogIn, Me,
        open=True, refusals=(401, 403, 429),
    ),
    Endpoint("GET", "/session", _who_am_i, "Who this cookie or token is", answers=Me),
    Endpoint("DELETE", "/session", _log_out, "Log out", status=204),
]  # fmt: skip
