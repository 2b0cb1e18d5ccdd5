"""Accounts in a real PostgreSQL: what logs somebody in, and everything that does not."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from cityvigil.cli import main
from cityvigil.stack import Stack
from dispatch.people import SESSION_LIFE, LoginRefused, People, PeopleError, add_demo_users
from dispatch.totp import STEP_S, code_at
from schemas.case import Role
from schemas.migrations import migrations
from tests.console_stand import QUICK

NOON = dt.datetime(2026, 3, 2, 4, 0, tzinfo=dt.UTC)
DESK = "10.0.0.7"


def migrate(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        for migration in migrations():
            connection.execute(migration.sql.encode())


@pytest.fixture
async def people(postgres_dsn: str) -> AsyncIterator[People]:
    migrate(postgres_dsn)
    async with AsyncConnectionPool(postgres_dsn, min_size=1, max_size=4, open=False) as pool:
        yield People(pool, QUICK)


async def refused(people: People, name: str, password: str, code: str | None = None, **at: object) -> str:
    now = at.get("now", NOON)
    assert isinstance(now, dt.datetime)
    with pytest.raises(LoginRefused) as caught:
        await people.log_in(name, password, code, address=str(at.get("address", DESK)), now=now)
    return caught.value.why


async def test_a_session_is_its_users_until_the_shift_is_over(people: People) -> None:
    password, _ = await people.add("li", roles=["duty"], districts=["shinan"], now=NOON)
    session = await people.log_in("li", password, None, address=DESK, now=NOON)
    user = await people.by_session(session.cookie, NOON + SESSION_LIFE - dt.timedelta(seconds=1))
    assert user is not None
    assert user.actor.roles == {Role.duty}
    assert user.actor.districts == {"shinan"}
    assert await people.by_session(session.cookie, NOON + SESSION_LIFE) is None
    await people.log_out(session.cookie)
    assert await people.by_session(session.cookie, NOON) is None


async def test_with_the_real_parameters_a_password_is_argon2id(people: People, postgres_dsn: str) -> None:
    async with AsyncConnectionPool(postgres_dsn, min_size=1, max_size=2, open=False) as pool:
        real = People(pool)
        password, _ = await real.add("li", roles=["duty"], now=NOON)
        assert await real.log_in("li", password, None, address=DESK, now=NOON)
        assert await refused(real, "li", password + "x") == "credentials"
        async with pool.connection() as connection:
            cursor = await connection.execute("select password from users")
            row = await cursor.fetchone()
    assert row is not None
    assert row[0].startswith("$argon2id$v=19$m=65536,t=3,p=4$")


async def test_neither_passwords_nor_cookies_nor_tokens_stand_in_the_database(
    people: People, postgres_dsn: str
) -> None:
    password, _ = await people.add("li", roles=["duty"], now=NOON)
    session = await people.log_in("li", password, None, address=DESK, now=NOON)
    token = await people.new_token("li", NOON)
    with psycopg.connect(postgres_dsn) as connection:
        kept = "".join(
            str(row)
            for table in ("users", "sessions", "tokens", "login_failures")
            for row in connection.execute(f"select * from {table}".encode()).fetchall()
        )
    assert "$argon2id$" in kept
    for secret in (password, session.cookie, token):
        assert secret not in kept


async def test_a_stranger_is_told_the_same_as_who_mistypes(people: People) -> None:
    await people.add("li", roles=["duty"], now=NOON)
    assert await refused(people, "li", "wrong") == "credentials"
    assert await refused(people, "nobody", "wrong") == "credentials"


async def test_guessing_is_stopped_where_it_comes_from_and_nowhere_else(people: People) -> None:
    password, _ = await people.add("li", roles=["duty"], now=NOON)
    for _ in range(5):
        assert await refused(people, "li", "guess", address="10.9.9.9") == "credentials"
    with pytest.raises(LoginRefused) as caught:
        await people.log_in("li", password, None, address="10.9.9.9", now=NOON + dt.timedelta(minutes=1))
    assert caught.value.why == "too-many"
    assert caught.value.retry_after_s == 240
    assert await people.log_in("li", password, None, address=DESK, now=NOON)
    later = NOON + dt.timedelta(minutes=6)
    assert await people.log_in("li", password, None, address="10.9.9.9", now=later)


async def test_a_second_factor_is_asked_for_and_each_code_works_once(people: People) -> None:
    password, factor = await people.add("li", roles=["duty"], second_factor=True, now=NOON)
    assert factor is not None
    assert len(base64.b32decode(factor)) == 20
    code = code_at(factor, int(NOON.timestamp()) // STEP_S)
    assert await refused(people, "li", password) == "code-required"
    assert await refused(people, "li", password, "000000" if code != "000000" else "111111") == "code"
    assert await people.log_in("li", password, code, address=DESK, now=NOON)
    assert await refused(people, "li", password, code) == "code"


async def test_a_code_for_an_account_without_a_second_factor_is_refused_clearly(people: People) -> None:
    password, factor = await people.add("li", roles=["duty"], now=NOON)
    assert factor is None
    assert await refused(people, "li", password, "123456") == "code-unexpected"


async def test_a_disabled_account_ends_everywhere_at_once(people: People) -> None:
    password, _ = await people.add("li", roles=["duty"], now=NOON)
    session = await people.log_in("li", password, None, address=DESK, now=NOON)
    token = await people.new_token("li", NOON)
    assert await people.by_token(token) is not None
    await people.disable("li", NOON)
    assert await people.by_session(session.cookie, NOON) is None
    assert await people.by_token(token) is None
    assert await refused(people, "li", password) == "disabled"
    with pytest.raises(PeopleError, match="li"):
        await people.new_token("li", NOON)


async def test_a_new_password_ends_the_old_one_and_its_sessions(people: People) -> None:
    old, _ = await people.add("li", roles=["duty"], now=NOON)
    session = await people.log_in("li", old, None, address=DESK, now=NOON)
    new = await people.new_password("li")
    assert await people.by_session(session.cookie, NOON) is None
    assert await refused(people, "li", old) == "credentials"
    assert await people.log_in("li", new, None, address=DESK, now=NOON)


@pytest.mark.parametrize(
    ("name", "roles", "unit", "says"),
    [
        ("li", ["boss"], None, "boss"),
        ("li", [], None, "none"),
        ("Li", ["duty"], None, "name 'Li'"),
        ("li", ["unit"], None, "--unit"),
    ],
)
async def test_an_account_that_cannot_be_says_why(
    people: People, name: str, roles: list[str], unit: str | None, says: str
) -> None:
    with pytest.raises(PeopleError, match=says):
        await people.add(name, roles=roles, unit=unit, now=NOON)


async def test_a_name_is_given_once(people: People) -> None:
    await people.add("li", roles=["duty"], now=NOON)
    with pytest.raises(PeopleError, match="already"):
        await people.add("li", roles=["duty"], now=NOON)


async def test_demo_accounts_can_be_made_twice_and_the_newest_secrets_hold(people: People) -> None:
    first = await add_demo_users(people, ["gas-company"], NOON)
    second = await add_demo_users(people, ["gas-company"], NOON)
    assert [login["user"] for login in first] == ["duty", "leader", "checker", "admin", "gas-company"]
    for login in second:
        assert await people.log_in(login["user"], login["password"], None, address=DESK, now=NOON)


async def test_a_unit_that_is_called_like_a_desk_is_refused(people: People) -> None:
    with pytest.raises(PeopleError, match="duty"):
        await add_demo_users(people, ["duty"], NOON)


def test_the_command_line_prints_each_secret_once(
    stack: Stack, postgres_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate(postgres_dsn)
    # The running stack, with a database of the test's own.
    for entry in stack.data.iterdir():
        if entry.name == "stack.json":
            fields = {**json.loads(entry.read_text()), "postgres": postgres_dsn}
            (tmp_path / entry.name).write_text(json.dumps(fields))
        else:
            (tmp_path / entry.name).symlink_to(entry)
    data = ["--data", str(tmp_path)]

    def said(*argv: str) -> str:
        assert main(["users", *argv, *data]) == 0
        return capsys.readouterr().out

    added = json.loads(said("add", "wang", "--role", "unit", "--unit", "gas-company", "--district", "shinan"))
    assert set(added) == {"user", "password"}
    token = json.loads(said("token", "wang"))["token"]
    assert json.loads(said("passwd", "wang"))["password"] != added["password"]
    said("disable", "wang")
    listed = json.loads(said("list", "--json", "-"))
    assert [(user["user"], user["unit"], user["districts"], user["disabled"]) for user in listed] == [
        ("wang", "gas-company", ["shinan"], True)
    ]
    assert token not in json.dumps(listed)
    assert main(["users", "token", "wang", *data]) == 2
    assert capsys.readouterr().err == "cityvigil users: wang: no such account, or it is disabled\n"
