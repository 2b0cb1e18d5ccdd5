"""People: accounts, roles, sessions, bearer tokens; all SQL about them.

Passwords are argon2id; session cookies and tokens are random and only their SHA-256 is stored, so a copy
of the database logs nobody in. Failed log-ins are counted by user and address and limited. What a person
may do with a case is not decided here but in dispatch/lifecycle.py, from the `Actor` this module gives.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import argon2
import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from dispatch.lifecycle import Actor
from dispatch.totp import matching_step
from schemas.case import Role

SESSION_LIFE = dt.timedelta(hours=12)  # one shift
FAILURE_WINDOW = dt.timedelta(minutes=5)
FAILURES_BY_USER_AND_ADDRESS = 5  # by the pair: a stranger elsewhere cannot lock an officer out
FAILURES_BY_ADDRESS = 50

Pool = AsyncConnectionPool[psycopg.AsyncConnection[Any]]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class PeopleError(ValueError):
    """What was asked of an account cannot be; the text says why."""


class LoginRefused(Exception):
    """Not logged in: credentials, code-required, code-unexpected, code, disabled or too-many."""

    def __init__(self, why: str, retry_after_s: int | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class User:
    name: str
    roles: frozenset[Role]
    unit: str | None
    districts: frozenset[str]
    second_factor: bool
    disabled: bool
    created_at: dt.datetime

    @property
    def actor(self) -> Actor:
        return Actor(name=self.name, roles=self.roles, unit=self.unit, districts=self.districts)

    def as_json(self) -> dict[str, Any]:
        return {
            "user": self.name,
            "roles": sorted(self.roles),
            "unit": self.unit,
            "districts": sorted(self.districts),
            "second_factor": self.second_factor,
            "disabled": self.disabled,
            "created_at": self.created_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Session:
    cookie: str
    user: User
    expires_at: dt.datetime


class People:
    """Accounts in PostgreSQL. Times are given by the caller; `hasher` is argon2id with RFC 9106's
    second recommendation (64 MiB) unless another is given."""

    def __init__(self, pool: Pool, hasher: argon2.PasswordHasher | None = None) -> None:
        self._pool = pool
        self._hasher = hasher or argon2.PasswordHasher()
        self._nobody = self._hasher.hash(secrets.token_urlsafe())
        # 64 MiB each while it runs: a storm of log-ins must not take the machine.
        self._hashing = asyncio.Semaphore(2)

    async def add(
        self,
        name: str,
        *,
        roles: Iterable[str],
        unit: str | None = None,
        districts: Iterable[str] = (),
        second_factor: bool = False,
        now: dt.datetime,
    ) -> tuple[str, str | None]:
        """A new account; returns its one-time password and the TOTP secret, if it has one."""
        known = _roles(roles)
        if not _NAME.fullmatch(name):
            raise PeopleError(
                f"name {name!r}: expected lower-case letters, digits, '.', '_' or '-', up to 64"
            )
        if Role.unit in known and not unit:
            raise PeopleError(f"{name}: the role unit needs --unit, the handling unit it acts for")
        secret = secrets.token_urlsafe(12)
        factor = base64.b32encode(secrets.token_bytes(20)).decode() if second_factor else None
        hashed = await self._hash(secret)
        async with self._pool.connection() as connection:
            added = await connection.execute(
                "insert into users (name, password, roles, unit, districts, second_factor, created_at)"
                " values (%s, %s, %s, %s, %s, %s, %s) on conflict (name) do nothing",
                (name, hashed, sorted(known), unit, sorted(set(districts)), factor, now),
            )
            if added.rowcount == 0:
                raise PeopleError(f"{name}: there is an account of that name already")
        return secret, factor

    async def new_password(self, name: str) -> str:
        """A new one-time password; the old one and every session of the account end."""
        secret = secrets.token_urlsafe(12)
        hashed = await self._hash(secret)
        async with self._pool.connection() as connection:
            changed = await connection.execute(
                "update users set password = %s where name = %s and disabled_at is null", (hashed, name)
            )
            if changed.rowcount == 0:
                raise PeopleError(f"{name}: no such account, or it is disabled")
            await connection.execute("delete from sessions where user_name = %s", (name,))
        return secret

    async def new_token(self, name: str, now: dt.datetime) -> str:
        """A bearer token, shown once; it lives until the account is disabled."""
        token = f"cv_{secrets.token_urlsafe(32)}"
        async with self._pool.connection() as connection:
            added = await connection.execute(
                "insert into tokens (digest, user_name, created_at)"
                " select %s, name, %s from users where name = %s and disabled_at is null",
                (_digest(token), now, name),
            )
            if added.rowcount == 0:
                raise PeopleError(f"{name}: no such account, or it is disabled")
        return token

    async def disable(self, name: str, now: dt.datetime) -> None:
        """No log-in any more; sessions end and tokens are revoked. The name stays: history names it."""
        async with self._pool.connection() as connection:
            changed = await connection.execute(
                "update users set disabled_at = coalesce(disabled_at, %s) where name = %s", (now, name)
            )
            if changed.rowcount == 0:
                raise PeopleError(f"{name}: no such account")
            await connection.execute("delete from sessions where user_name = %s", (name,))
            await connection.execute(
                "update tokens set revoked_at = %s where user_name = %s and revoked_at is null", (now, name)
            )

    async def users(self) -> list[User]:
        rows = await self._rows("select * from users order by name", ())
        return [_user(row) for row in rows]

    async def log_in(
        self, name: str, password: str, code: str | None, *, address: str, now: dt.datetime
    ) -> Session:
        """A session of 12 hours. Raises LoginRefused; who does not exist is told the same as who mistypes."""
        await self._limit(name, address, now)
        rows = await self._rows("select * from users where name = %s", (name,))
        row = rows[0] if rows else None
        if not await self._verify(row["password"] if row else None, password) or row is None:
            await self._failed(name, address, now)
            raise LoginRefused("credentials")
        if row["disabled_at"] is not None:
            raise LoginRefused("disabled")
        if row["second_factor"] is None and code:
            raise LoginRefused("code-unexpected")
        if row["second_factor"] is not None:
            await self._check_code(row, code, address, now)
        cookie = secrets.token_urlsafe(32)
        expires_at = now + SESSION_LIFE
        async with self._pool.connection() as connection:
            await connection.execute("delete from sessions where expires_at <= %s", (now,))
            await connection.execute(
                "insert into sessions (digest, user_name, created_at, expires_at) values (%s, %s, %s, %s)",
                (_digest(cookie), name, now, expires_at),
            )
        return Session(cookie, _user(row), expires_at)

    async def log_out(self, cookie: str) -> None:
        async with self._pool.connection() as connection:
            await connection.execute("delete from sessions where digest = %s", (_digest(cookie),))

    async def by_session(self, cookie: str, now: dt.datetime) -> User | None:
        """Whose session this cookie is; None if it is nobody's or over."""
        rows = await self._rows(
            "select users.* from sessions join users on users.name = sessions.user_name"
            " where digest = %s and expires_at > %s and disabled_at is null",
            (_digest(cookie), now),
        )
        return _user(rows[0]) if rows else None

    async def by_token(self, token: str) -> User | None:
        rows = await self._rows(
            "select users.* from tokens join users on users.name = tokens.user_name"
            " where digest = %s and revoked_at is null and disabled_at is null",
            (_digest(token),),
        )
        return _user(rows[0]) if rows else None

    async def _check_code(
        self, row: dict[str, Any], code: str | None, address: str, now: dt.datetime
    ) -> None:
        if not code:
            raise LoginRefused("code-required")
        step = matching_step(row["second_factor"], code, now.timestamp(), after=row["factor_step"])
        if step is not None:
            async with self._pool.connection() as connection:
                used = await connection.execute(
                    "update users set factor_step = %s where name = %s and factor_step < %s",
                    (step, row["name"], step),
                )
                if used.rowcount == 1:
                    return
        await self._failed(row["name"], address, now)
        raise LoginRefused("code")

    async def _limit(self, name: str, address: str, now: dt.datetime) -> None:
        (row,) = await self._rows(
            "select count(*) as by_address, count(*) filter (where user_name = %s) as by_both, min(at) first"
            " from login_failures where address = %s and at > %s",
            (name, address, now - FAILURE_WINDOW),
        )
        if row["by_both"] >= FAILURES_BY_USER_AND_ADDRESS or row["by_address"] >= FAILURES_BY_ADDRESS:
            wait = row["first"] + FAILURE_WINDOW - now
            raise LoginRefused("too-many", max(1, int(wait.total_seconds())))

    async def _failed(self, name: str, address: str, now: dt.datetime) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(
                "delete from login_failures where at < %s", (now - dt.timedelta(days=1),)
            )
            await connection.execute(
                "insert into login_failures (user_name, address, at) values (%s, %s, %s)",
                (name[:64], address, now),
            )

    async def _hash(self, secret: str) -> str:
        async with self._hashing:
            return await asyncio.to_thread(self._hasher.hash, secret)

    async def _verify(self, hashed: str | None, secret: str) -> bool:
        """Takes as long for an account that does not exist, so that names cannot be told by the clock."""
        async with self._hashing:
            return await asyncio.to_thread(self._matches, hashed or self._nobody, secret)

    def _matches(self, hashed: str, secret: str) -> bool:
        try:
            return self._hasher.verify(hashed, secret)
        except argon2.exceptions.VerifyMismatchError:
            return False

    async def _rows(self, query: str, values: Sequence[Any]) -> list[dict[str, Any]]:
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(query.encode(), values)
            return await cursor.fetchall()


async def add_demo_users(people: People, units: Iterable[str], now: dt.datetime) -> list[dict[str, Any]]:
    """One account per desk and per handling unit; returns what to print: user, password, roles, unit.

    An account that is already there keeps its name and gets a new password."""
    wanted: list[tuple[str, tuple[Role, ...], str | None]] = [
        ("duty", (Role.duty,), None),
        ("leader", (Role.leader, Role.duty, Role.checker), None),
        ("checker", (Role.checker,), None),
        ("admin", (Role.admin,), None),
        *((unit, (Role.unit,), unit) for unit in units),
    ]
    there = {user.name for user in await people.users()}
    logins = []
    for name, roles, unit in wanted:
        if name in there:
            secret = await people.new_password(name)
        else:
            secret, _ = await people.add(name, roles=roles, unit=unit, now=now)
        logins.append({"user": name, "password": secret, "roles": sorted(roles), "unit": unit})
    return logins


def _roles(names: Iterable[str]) -> frozenset[Role]:
    names = list(names)
    unknown = sorted(set(names) - {str(role) for role in Role})
    if unknown or not names:
        raise PeopleError(
            f"roles: expected one or more of {', '.join(Role)}; got {', '.join(unknown) or 'none'}"
        )
    return frozenset(Role(name) for name in names)


def _user(row: dict[str, Any]) -> User:
    return User(
        name=row["name"],
        roles=frozenset(Role(name) for name in row["roles"]),
        unit=row["unit"],
        districts=frozenset(row["districts"]),
        second_factor=row["second_factor"] is not None,
        disabled=row["disabled_at"] is not None,
        created_at=row["created_at"],
    )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
