"""Notices leave by the webhook: each with its key, again after a failure, never after a refusal."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.case_builders import DUTY, NOON, an_alert, changed
from tests.integration.dispatch_desk import Desk, a_desk, now, running, until
from tests.integration.receiver import a_receiver


@pytest.fixture
async def desk(kafka_bootstrap: str, postgres_dsn: str, unique: str) -> AsyncIterator[Desk]:
    async with a_desk(kafka_bootstrap, postgres_dsn, unique) as made:
        yield made


async def sent(desk: Desk, channel: str = "webhook") -> list[dict[str, Any]]:
    return await desk.rows(
        "select * from outbox where channel = %s and sent_at is not null order by id", channel
    )


async def test_each_notice_arrives_with_its_key_and_is_recorded_as_sent(desk: Desk) -> None:
    leak = an_alert(level=1)
    async with a_receiver() as receiver, running(desk.service(webhook=receiver.address)):
        await desk.publish([leak, changed(leak, "update")])

        async def done() -> bool:
            return len(await sent(desk)) == 2 and len(await sent(desk, "log")) == 2

        await until(done)
        rows = await sent(desk)
        expected = {f"{leak.alert_id}/level-1/{unit}/webhook" for unit in ("duty-desk", "gas-company")}
        assert {key for key, _ in receiver.got} == {row["key"] for row in rows} == expected
        for row in rows:
            assert row["attempts"] == 1
            assert row["caused_at"] <= row["first_attempt_at"] <= row["sent_at"]
        told = next(body for _, body in receiver.got if body["step"] == "pre-notice")
        assert (told["to"], told["level"], told["alert_id"]) == ("gas-company", 1, leak.alert_id)
        assert told["correlation"] == leak.correlation
        assert told["text_zh"].startswith("【预通知】一级（红）")


async def test_a_failing_webhook_is_tried_again_with_the_same_key(desk: Desk) -> None:
    async with a_receiver(503, 429) as receiver, running(desk.service(webhook=receiver.address)):
        await desk.publish([an_alert(level=3)])

        async def done() -> bool:
            return bool(await sent(desk))

        await until(done)
        (row,) = await sent(desk)
        assert row["attempts"] == 3
        assert row["first_attempt_at"] < row["sent_at"]
        assert {key for key, _ in receiver.got} == {row["key"]}
        assert [body["attempt"] for _, body in receiver.got] == [1, 2, 3]


async def test_a_refused_notice_is_dead_and_says_why_and_the_next_one_goes_out(desk: Desk) -> None:
    async with a_receiver(410) as receiver, running(desk.service(webhook=receiver.address)):
        await desk.publish([an_alert(level=3)])

        async def dead() -> bool:
            return bool(await desk.rows("select 1 from outbox where dead_at is not null"))

        await until(dead)
        await desk.publish([an_alert(zone="shinan-02", subject="sensor/gw-2/ch4", since=NOON)])

        async def done() -> bool:
            return len(await sent(desk)) == 1

        await until(done)
        (row,) = await desk.rows("select error, attempts from outbox where dead_at is not null")
        assert (row["attempts"], "410" in row["error"]) == (1, True)
        assert (await desk.store.counts())["notices_dead"] == 1


async def test_what_a_person_does_in_another_process_wakes_the_sender(desk: Desk) -> None:
    leak = an_alert(level=3)
    async with a_receiver() as receiver, running(desk.service(webhook=receiver.address)):
        await desk.taken(await desk.publish([leak]))
        case_id = (await desk.case_of(leak))["case_id"]
        for version, action in enumerate(("verify", "file", "dispatch"), start=1):
            await desk.store.act(
                case_id, action=action, version=version, actor=DUTY, now=now(), evidence={"result": "real"}
            )

        async def done() -> bool:
            return any(body["step"] == "dispatch" for _, body in receiver.got)

        await until(done)


async def test_a_notice_whose_sender_was_killed_is_sent_again_when_its_lease_is_over(desk: Desk) -> None:
    leak = an_alert(level=3)
    async with running(desk.service()):  # without a webhook there is no row for it
        await desk.taken(await desk.publish([leak]))
    hour_ago = now() - dt.timedelta(hours=1)
    await desk.rows(
        "insert into outbox (key, case_id, level, step, recipient, channel, payload, caused_at, created_at,"
        " attempts, first_attempt_at, next_attempt_at)"
        " values ('k', 'C-1', 3, 'case', 'duty-desk', 'webhook', '{}', %s, %s, 1, %s, %s) returning id",
        *[hour_ago] * 4,
    )
    async with a_receiver() as receiver, running(desk.service(webhook=receiver.address)):

        async def done() -> bool:
            return bool(await sent(desk))

        await until(done)
        assert [(key, body["attempt"]) for key, body in receiver.got] == [("k", 2)]
        (row,) = await sent(desk)
        assert row["first_attempt_at"] == hour_ago
