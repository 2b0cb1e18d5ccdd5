"""Errors as RFC 9457 problem details, for every path of the API, 404 and 405 included.

A handler raises `Problem`; what reaches a person names the field, what was expected and what came.
Unexpected exceptions are not caught here: they are bugs, logged by the server as such.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """One refused request. `more` are extra members of the problem document."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.more = more


def wrong_field(field: str, expected: str, came: object) -> Problem:
    """422 for one field."""
    shown = repr(came) if not isinstance(came, str) or came == "" else came
    return Problem(
        422,
        f"{field}: expected {expected}, got {shown[:200]}",
        errors=[{"field": field, "expected": expected, "came": shown[:200]}],
    )


def document(status: int, detail: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    } | more


def answer(problem: Problem) -> Response:
    return JSONResponse(
        document(problem.status, problem.detail, **problem.more),
        status_code=problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


async def on_problem(request: Request, error: Exception) -> Response:
    """Starlette's handler for Problem; a page that nobody is logged in for leads to the log-in page."""
    assert isinstance(error, Problem)
    if error.status == 401 and _wants_page(request):
        return RedirectResponse(f"/login?next={request.url.path}", status_code=303)
    return answer(error)


async def on_database_away(request: Request, error: Exception) -> Response:
    """The database cannot be reached: not the asker's fault, and worth another try."""
    return answer(Problem(503, "the database cannot be reached; try again", headers={"Retry-After": "2"}))


async def on_unstorable(request: Request, error: Exception) -> Response:
    """What PostgreSQL cannot hold, such as a NUL in a text: the asker's doing."""
    return answer(Problem(422, f"a value cannot be stored: {str(error).strip().splitlines()[0]}"))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405."""
    assert isinstance(error, HTTPException)
    detail = {
        404: f"there is nothing at {request.url.path}",
        405: f"{request.url.path} does not take {request.method}",
    }.get(error.status_code, error.detail)
    return answer(Problem(error.status_code, detail, headers=dict(error.headers or {})))


def _wants_page(request: Request) -> bool:
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")
