"""Accounts over the API, for the role admin: list, add, disable."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from dispatch.console.answers import NewUser, UserAdded, UserPage
from dispatch.console.bodies import read_json
from dispatch.console.desk import desk_of
from dispatch.console.endpoint import Endpoint
from dispatch.console.identity import signed_in
from dispatch.console.json_answer import Json
from dispatch.console.problems import Problem
from dispatch.people import PeopleError
from schemas.case import Role
from schemas.clock import to_datetime


async def _list_users(request: Request) -> Response:
    await signed_in(request, Role.admin)
    users = await desk_of(request).people.users()
    return Json({"items": [user.as_json() for user in users], "next": None})


async def _add_user(request: Request) -> Response:
    await signed_in(request, Role.admin)
    body = await read_json(request, NewUser)
    desk = desk_of(request)
    try:
        password, factor = await desk.people.add(
            body.user,
            roles=body.roles,
            unit=body.unit,
            districts=body.districts,
            second_factor=body.second_factor,
            now=to_datetime(desk.now()),
        )
    except PeopleError as error:
        raise Problem(422, str(error)) from None
    return Json(UserAdded(body.user, password, factor), status_code=201)


async def _disable_user(request: Request) -> Response:
    await signed_in(request, Role.admin)
    desk = desk_of(request)
    try:
        await desk.people.disable(request.path_params["user"], to_datetime(desk.now()))
    except PeopleError as error:
        raise Problem(404, str(error)) from None
    return Response(status_code=204)


_ADMIN = (Role.admin,)
ENDPOINTS = [
    Endpoint("GET", "/users", _list_users, "Accounts", answers=UserPage, roles=_ADMIN),
    Endpoint(
        "POST", "/users", _add_user, "Add an account; its password is shown once", NewUser, UserAdded, 201,
        roles=_ADMIN,
    ),
    Endpoint(
        "POST", "/users/{user}/disable", _disable_user, "End an account: sessions and tokens too", status=204,
        roles=_ADMIN, refusals=(404,),
    ),
]  # fmt: skip
