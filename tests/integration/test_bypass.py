"""Level 1 reaches people without the database, and with it: each notice once, whoever sends it."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from psycopg_pool import AsyncConnectionPool

from cityvigil import postgres, process
from dispatch.bypass import Bypass
from dispatch.store import Store
from schemas.alert import Alert
from tests.case_builders import an_alert, changed
from tests.integration.dispatch_desk import Desk, a_desk, running, until
from tests.integration.receiver import Receiver, a_receiver
from tests.services import a_data_folder

RUN = Path(__file__).with_name("run_bypass.py")
ROOT = RUN.parent.parent.parent
NOWHERE = "postgresql://cityvigil@127.0.0.1:9/cityvigil"


class Database:
    """A PostgreSQL of the test's own, that it may stop by its process id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = process.pick_ports(1)[0]
        self._process: process.Process | None = None

    def dsn(self, name: str) -> str:
        return postgres.dsn(self._port, name)

    def start(self) -> None:
        postgres.prepare(self._folder / "cluster", self._port, fsync=False)
        log = self._folder / "log"
        self._process = postgres.start(self._folder / "cluster", self._folder, log)
        process.wait_until_healthy(self._process, log, lambda: postgres.answers(self._port), 60)

    def stop(self) -> None:
        if self._process is not None:
            process.stop(self._process, postgres.STOP_SIGNAL, 30)


@pytest.fixture
def database() -> Iterator[Database]:
    with a_data_folder() as folder:
        folder.mkdir(mode=0o711)
        found = Database(folder)
        found.start()
        yield found
        found.stop()


@pytest.fixture
async def desk(kafka_bootstrap: str, postgres_dsn: str, unique: str) -> AsyncIterator[Desk]:
    async with a_desk(kafka_bootstrap, postgres_dsn, unique) as made:
        yield made


def a_bypass(desk: Desk, folder: Path, webhook: str, **changes: Any) -> Bypass:
    values: dict[str, Any] = {
        "kafka": desk.kafka,
        "postgres": desk.dsn,
        "folder": folder,
        "now_us": lambda: time.time_ns() // 1_000,
        "webhook": webhook,
        "alerts_topic": desk.alerts,
        "group": desk.alerts,
        **changes,
    }
    return Bypass(**values)


def keys_of(alerts: list[Alert], *units: str) -> set[str]:
    return {f"{alert.alert_id}/level-1/{unit}/webhook" for alert in alerts for unit in units}


def in_every_zone(count: int) -> list[Alert]:
    """Level 1 leaks that are a scene each."""
    return [
        an_alert(level=1, zone=f"shinan-{n:03}", subject=f"sensor/gw-{n}/ch4", correlation=f"gw-{n}/1/1")
        for n in range(count)
    ]


async def has(receiver: Receiver, count: int) -> None:
    async def done() -> bool:
        return len(receiver.got) >= count

    await until(done)


async def snapshot_taken(bypass: Bypass) -> None:
    async def taken() -> bool:
        return bypass.details()["snapshot_age_s"] is not None

    await until(taken)


@asynccontextmanager
async def again(desk: Desk) -> AsyncIterator[Desk]:
    """The same desk over a new pool: the database went away under the first."""
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(desk.dsn, min_size=1, max_size=6, open=False)
    async with pool:
        yield Desk(desk.kafka, desk.dsn, desk.alerts, desk.events, Store(pool), pool)


async def imported(desk: Desk, count: int) -> list[dict[str, Any]]:
    """The outbox's rows of the webhook, once so many are delivered."""
    query = "select * from outbox where channel = 'webhook' and sent_at is not null order by key"

    async def done() -> bool:
        return len(await desk.rows(query)) >= count

    await until(done)
    return await desk.rows(query)


async def test_with_the_database_stopped_level_1_is_told_once_and_nobody_again_when_it_is_back(
    kafka_bootstrap: str, database: Database, unique: str, tmp_path: Path
) -> None:
    with psycopg.connect(database.dsn("postgres"), autocommit=True) as admin:
        admin.execute(f'create database "{unique}"'.encode())
    folder = tmp_path / "bypass"
    async with a_desk(kafka_bootstrap, database.dsn(unique), unique) as desk, a_receiver() as receiver:
        await desk.rows(
            "insert into users (name, password, roles, created_at) values ('wang', 'x', '{duty}', now())"
            " returning name"
        )
        async with running(a_bypass(desk, folder, receiver.address)) as bypass:
            await snapshot_taken(bypass)
        await desk.pool.close()
        database.stop()

        leak = an_alert(level=1, zone="shinan-01")
        async with running(a_bypass(desk, folder, receiver.address)) as bypass:
            orange = an_alert(level=2, zone="shinan-02", subject="sensor/gw-2/ch4")
            await desk.publish([leak, changed(leak, "update"), orange])
            await has(receiver, 2)
            assert bypass.not_ready() is None
            assert set(receiver.keys) == keys_of([leak], "duty-desk", "gas-company")
            assert receiver.got[0][1]["people"] == ["wang"]

            database.start()
            async with (
                again(desk) as back,
                running(back.service(webhook=receiver.address, journal=folder)),
            ):
                await imported(back, 4)
                case = await back.case_of(leak)

                async def placed() -> bool:
                    waiting = await back.rows("select 1 from outbox where case_id is null")
                    return not waiting

                await until(placed)
                rows = await back.rows("select * from outbox where alert_id = %s", leak.alert_id)
        told_once = keys_of([leak], "duty-desk", "gas-company")
        assert [key for key in receiver.keys if key in told_once] == receiver.keys[:2]
        assert len(receiver.keys) == len(set(receiver.keys))
        assert {(row["via"], row["case_id"], row["attempts"]) for row in rows} == {
            ("bypass", case["case_id"], 1)
        }
        assert {row["key"] for row in rows if row["channel"] == "webhook"} == told_once
        assert all(row["caused_at"] <= row["first_attempt_at"] <= row["sent_at"] for row in rows)


async def test_with_everything_up_bypass_and_dispatch_between_them_tell_each_once(
    desk: Desk, tmp_path: Path
) -> None:
    leaks = in_every_zone(30)
    async with (
        a_receiver() as receiver,
        running(desk.service(webhook=receiver.address, journal=tmp_path)),
        running(a_bypass(desk, tmp_path, receiver.address)),
    ):
        await desk.publish(leaks)
        rows = await imported(desk, 60)
        await desk.taken(30)
    expected = keys_of(leaks, "duty-desk", "gas-company")
    assert sorted(receiver.keys) == sorted(expected)
    assert {row["key"] for row in rows} == expected
    assert all(row["sent_at"] and not row["dead_at"] for row in rows)


async def test_alerts_of_one_scene_are_told_once_as_of_one_case(desk: Desk, tmp_path: Path) -> None:
    first, *others = [an_alert(level=1, subject=f"sensor/gw-{n}/ch4") for n in range(5)]
    elsewhere = an_alert(level=1, zone="shinan-02", subject="sensor/gw-9/ch4")
    async with (
        a_receiver() as receiver,
        running(a_bypass(desk, tmp_path, receiver.address)),
        running(desk.service(webhook=receiver.address, journal=tmp_path)),
    ):
        await desk.publish([first])
        await imported(desk, 2)
        await desk.publish([*others, elsewhere])
        await imported(desk, 4)
        await desk.taken(6)
    assert sorted(receiver.keys) == sorted(keys_of([first, elsewhere], "duty-desk", "gas-company"))


async def test_what_the_receiver_refuses_for_a_while_is_tried_again_under_its_key(
    desk: Desk, tmp_path: Path
) -> None:
    leak = an_alert(level=1)
    async with a_receiver(503) as receiver, running(a_bypass(desk, tmp_path, receiver.address)):
        await desk.publish([leak])
        await has(receiver, 3)
    assert set(receiver.keys) == keys_of([leak], "duty-desk", "gas-company")
    assert sorted(body["attempt"] for _, body in receiver.got) == [1, 1, 2]


async def test_a_bypass_killed_again_and_again_loses_nobody_and_repeats_only_what_was_in_flight(
    desk: Desk, tmp_path: Path
) -> None:
    leaks = in_every_zone(60)
    expected = keys_of(leaks, "duty-desk", "gas-company")
    async with a_receiver() as receiver:
        # It never meets its database: nobody listens there.
        bypass = start(desk, tmp_path, receiver.address)
        try:
            await positioned(desk)
            publishing = asyncio.create_task(_one_by_one(desk, leaks))
            for mark in (20, 70):
                await has(receiver, mark)
                bypass.send_signal(signal.SIGKILL)
                bypass.wait()
                bypass = start(desk, tmp_path, receiver.address)
            await publishing

            async def all_told() -> bool:
                return set(receiver.keys) >= expected

            await until(all_told)
            # Its lines in the journal end after the receiver's answer: then dispatch has nothing to send.
            async with running(desk.service(webhook=receiver.address, journal=tmp_path)):
                rows = await imported(desk, len(expected))
        finally:
            bypass.kill()
            bypass.wait()
    assert set(receiver.keys) == expected == {row["key"] for row in rows}
    repeats = len(receiver.keys) - len(expected)
    tried_again = [row["key"] for row in rows if row["attempts"] > 1]
    assert repeats <= len(tried_again), "a repeat is a try that the journal shows"


async def test_a_notice_that_waited_long_for_its_channel_is_claimed_anew_and_sent_once(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatch.bypass.AT_ONCE", 1)
    monkeypatch.setattr("dispatch.bypass.WAITED_FOR_ROOM", dt.timedelta(milliseconds=5))
    leaks = in_every_zone(10)
    async with a_receiver() as receiver, running(a_bypass(desk, tmp_path, receiver.address)):
        await desk.publish(leaks)
        await has(receiver, 20)
    assert sorted(receiver.keys) == sorted(keys_of(leaks, "duty-desk", "gas-company"))
    assert any(body["attempt"] > 1 for _, body in receiver.got)


async def test_without_a_bypass_dispatch_tells_and_a_bypass_that_comes_later_knows(
    desk: Desk, tmp_path: Path
) -> None:
    leak, next_leak = in_every_zone(2)
    async with a_receiver() as receiver, running(desk.service(webhook=receiver.address, journal=tmp_path)):
        async with running(a_bypass(desk, tmp_path, receiver.address)):
            pass  # it has its place in the log now
        await desk.publish([leak])
        rows = await imported(desk, 2)
        assert {row["via"] for row in rows} == {"dispatch"}
        async with running(a_bypass(desk, tmp_path, receiver.address)):
            await desk.publish([next_leak])
            await imported(desk, 4)
    expected = keys_of([leak, next_leak], "duty-desk", "gas-company")
    assert sorted(receiver.keys) == sorted(expected)


async def _one_by_one(desk: Desk, alerts: list[Alert]) -> None:
    for begin in range(0, len(alerts), 5):
        await desk.publish(alerts[begin : begin + 5])


async def positioned(desk: Desk) -> None:
    """Until the first bypass of this group has its place: what comes now is its."""
    admin = AIOKafkaAdminClient(bootstrap_servers=desk.kafka)
    await admin.start()
    try:

        async def placed() -> bool:
            with suppress(KafkaError):  # a new broker has no coordinator yet
                return bool(await admin.list_consumer_group_offsets(desk.alerts))
            return False

        await until(placed)
    finally:
        await admin.close()


def start(desk: Desk, folder: Path, webhook: str) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, str(RUN), desk.kafka, NOWHERE, str(folder), webhook, desk.alerts],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
