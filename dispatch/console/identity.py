"""Who is asking: session cookie or bearer token, and whether a write comes from our own pages.

Cookie-authenticated writes are checked against cross-site forgery by what every browser sends by itself:
Sec-Fetch-Site, else Origin. A program that sends neither is no browser and cannot be tricked into it.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request

from dispatch.console.desk import desk_of
from dispatch.console.problems import Problem
from dispatch.people import User
from schemas.case import Role
from schemas.clock import to_datetime

COOKIE = "cityvigil_session"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


async def identify(connection: HTTPConnection) -> User | None:
    """The user of this request; None if it names nobody. Raises Problem for a bad token or a forged write."""
    desk = desk_of(connection)
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme:
        user = await desk.people.by_token(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise Problem(
                401,
                "the bearer token is unknown or revoked",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        return user
    cookie = connection.cookies.get(COOKIE)
    if not cookie:
        return None
    user = await desk.people.by_session(cookie, to_datetime(desk.now()))
    if user is not None and connection.scope.get("method", "GET") not in SAFE:
        check_origin(connection)
    return user


def check_origin(connection: HTTPConnection) -> None:
    """Refuses a write that a page of another site caused."""
    site = connection.headers.get("sec-fetch-site")
    if site in ("same-origin", "none"):
        return
    origin = connection.headers.get("origin")
    if site is None and (origin is None or urlsplit(origin).netloc == connection.headers.get("host")):
        return
    raise Problem(403, f"this write was sent by another site: {origin or site}")


async def signed_in(request: Request, *roles: Role) -> User:
    """The user, who has one of `roles` if any are given. Raises Problem 401 or 403."""
    user = await identify(request)
    if user is None:
        raise Problem(
            401,
            "log in: POST /api/v1/session, or send Authorization: Bearer TOKEN",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if roles and not user.roles & set(roles):
        raise Problem(
            403, f"needs the role {' or '.join(roles)}; {user.name} has {', '.join(sorted(user.roles))}"
        )
    return user
