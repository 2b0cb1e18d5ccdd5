"""The log-in page, logging out, and what one may choose before: language and theme."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from dispatch.console.desk import desk_of
from dispatch.console.identity import COOKIE, check_origin, identify
from dispatch.console.render import renderer_of
from dispatch.console.session import REFUSALS, begin, carry
from dispatch.console.words import (
    LANGUAGE_COOKIE,
    LANGUAGES,
    THEME_COOKIE,
    THEMES,
    language_of,
    words,
)
from dispatch.people import LoginRefused

YEAR_S = 365 * 24 * 3600


def own_path(text: str | None) -> str:
    """A path of ours to go to; anything else leads to the start page.

    >>> own_path("/cases/C-1"), own_path("//elsewhere.example"), own_path("https://elsewhere.example")
    ('/cases/C-1', '/', '/')
    """
    plain = bool(text) and text is not None and text.startswith("/") and text[1:2] not in ("/", "\\")
    return text if plain and text is not None and text.isprintable() else "/"


async def show_login(request: Request) -> Response:
    if await identify(request) is not None:
        return RedirectResponse(own_path(request.query_params.get("next")), status_code=303)
    return _form(request, own_path(request.query_params.get("next")))


async def take_login(request: Request) -> Response:
    form = await request.form()
    name, password, code = (str(form.get(field, "")) for field in ("user", "password", "code"))
    following = own_path(str(form.get("next", "")))
    try:
        session = await begin(request, name.strip(), password, code.strip())
    except LoginRefused as refused:
        said = words(language_of(request))(f"refused.{refused.why}")
        return _form(request, following, name=name, refused=said, status=REFUSALS[refused.why][0])
    return carry(RedirectResponse(following, status_code=303), request, session)


async def take_logout(request: Request) -> Response:
    check_origin(request)
    if cookie := request.cookies.get(COOKIE):
        await desk_of(request).people.log_out(cookie)
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(COOKIE)
    return response


async def take_preferences(request: Request) -> Response:
    check_origin(request)
    form = await request.form()
    response = RedirectResponse(own_path(str(form.get("back", ""))), status_code=303)
    if form.get("language") in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, str(form["language"]), max_age=YEAR_S, samesite="lax")
    if form.get("theme") in THEMES:
        response.set_cookie(THEME_COOKIE, str(form["theme"]), max_age=YEAR_S, samesite="lax")
    return response


def _form(
    request: Request, following: str, *, name: str = "", refused: str = "", status: int = 200
) -> Response:
    return renderer_of(request).page(
        request, "login.html", status=status, next=following, name=name, refused=refused
    )


ROUTES = [
    Route("/login", show_login, methods=["GET"]),
    Route("/login", take_login, methods=["POST"]),
    Route("/logout", take_logout, methods=["POST"]),
    Route("/preferences", take_preferences, methods=["POST"]),
]
