"""`cityvigil users add|passwd|token|disable|list`: people, their roles and secrets, in the stack's database.

`add`, `passwd` and `token` print their secret once, as JSON; nothing can show it again.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool

from cityvigil import where
from cityvigil.errors import CannotRun
from cityvigil.migrate import place
from cityvigil.verbs.options import add_data_option, add_json_option, write_json
from dispatch.people import People, PeopleError, User
from schemas.case import Role

T = TypeVar("T")


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("users", help="people and their roles")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    add = actions.add_parser("add", help="make an account; prints its one-time password")
    add.add_argument(
        "--role", action="append", default=[], metavar="R", help=f"one of {', '.join(Role)}; may be repeated"
    )
    add.add_argument("--unit", metavar="U", help="the handling unit it acts for")
    add.add_argument(
        "--district", action="append", default=[], metavar="D", help="only these districts; may be repeated"
    )
    add.add_argument("--second-factor", action="store_true", help="also ask for a TOTP code at log-in")
    passwd = actions.add_parser("passwd", help="give a new password; the old one and all sessions end")
    token = actions.add_parser("token", help="make a bearer token for a program")
    disable = actions.add_parser("disable", help="no log-in any more; sessions and tokens end")
    show = actions.add_parser("list", help="all of them")
    add_json_option(show)

    for action, run in ((add, _add), (passwd, _passwd), (token, _token), (disable, _disable), (show, _list)):
        if action is not show:
            action.add_argument("name", metavar="NAME")
        add_data_option(action)
        action.set_defaults(run=run)


def _add(args: argparse.Namespace) -> int:
    async def work(people: People) -> tuple[str, str | None]:
        return await people.add(
            args.name,
            roles=args.role,
            unit=args.unit,
            districts=args.district,
            second_factor=args.second_factor,
            now=_now(),
        )

    password, factor = _with_people(args, work)
    said: dict[str, Any] = {"user": args.name, "password": password}
    if factor:
        said["second_factor"] = f"otpauth://totp/cityvigil:{args.name}?secret={factor}&issuer=cityvigil"
    print(json.dumps(said))
    return 0


def _passwd(args: argparse.Namespace) -> int:
    password = _with_people(args, lambda people: people.new_password(args.name))
    print(json.dumps({"user": args.name, "password": password}))
    return 0


def _token(args: argparse.Namespace) -> int:
    token = _with_people(args, lambda people: people.new_token(args.name, _now()))
    print(json.dumps({"user": args.name, "token": token}))
    return 0


def _disable(args: argparse.Namespace) -> int:
    _with_people(args, lambda people: people.disable(args.name, _now()))
    return 0


def _list(args: argparse.Namespace) -> int:
    users: list[User] = _with_people(args, lambda people: people.users())
    write_json(args.json, [user.as_json() for user in users])
    if args.json != "-":
        for user in users:
            scope = " ".join(filter(None, (user.unit, ",".join(sorted(user.districts)))))
            ended = "disabled" if user.disabled else ""
            print(f"{user.name:<24} {','.join(sorted(user.roles)):<24} {scope:<24} {ended}".rstrip())
    return 0


def _with_people(args: argparse.Namespace, work: Callable[[People], Awaitable[T]]) -> T:
    dsn = where.services(args.data).postgres

    async def run() -> T:
        async with AsyncConnectionPool(dsn, min_size=1, max_size=2, open=False, timeout=5) as pool:
            return await work(People(pool))

    try:
        return asyncio.run(run())
    except PeopleError as error:
        raise CannotRun(str(error)) from None
    except psycopg.errors.UndefinedTable:
        raise CannotRun("the database has no accounts yet: run `cityvigil migrate`") from None
    except psycopg.OperationalError as error:
        raise CannotRun(f"PostgreSQL at {place(dsn)}: {' '.join(str(error).split())}") from None


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
