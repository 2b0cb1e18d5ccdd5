"""Alerts on Kafka become cases in PostgreSQL, exactly, whatever is repeated, malformed or away."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
from collections.abc import AsyncIterator

import msgspec
import pytest

from dispatch import audit, overdue
from dispatch.ledger import transition_of
from dispatch.store import Actor, Conflict, Forbidden, Invalid, Unknown
from schemas.alert import Alert, Place
from schemas.case import Role
from tests.case_builders import CREW, DUTY, LEADER, NOON, an_alert, changed
from tests.integration.dispatch_desk import Desk, a_days_alerts, a_desk, now, running, second_reader, until

MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
async def desk(kafka_bootstrap: str, postgres_dsn: str, unique: str) -> AsyncIterator[Desk]:
    async with a_desk(kafka_bootstrap, postgres_dsn, unique) as made:
        yield made


async def taken_in(desk: Desk, *alerts: Alert | bytes) -> None:
    """The alerts published and worked on by a dispatch that is stopped again."""
    async with running(desk.service()):
        await desk.taken(await desk.read_so_far() + await desk.publish(alerts))


async def test_a_leak_and_its_neighbours_are_one_case_of_the_gas_company(desk: Desk) -> None:
    leak = an_alert(level=3)
    beside = an_alert(subject="sensor/gw-gas-n01-2/ch4-1", level=2, since=NOON + 5 * MINUTE)
    sewer = an_alert(
        rule="drain-sewer-methane", category="drain_sewer_methane", network="drainage",
        subject="sensor/gw-drain-n01-1/ch4", level=3, since=NOON + 6 * MINUTE,
    )  # fmt: skip
    place = Place(text_zh="阀井 7", text_en="chamber 7", lon=120.3, lat=36.05, within_m=40.0)
    elsewhere = an_alert(
        subject="sensor/gw-gas-n02-1/ch4-1", zone="shinan-02", since=NOON + 7 * MINUTE,
        evidence=msgspec.structs.replace(leak.evidence, place=place),
    )  # fmt: skip
    await taken_in(desk, leak, beside, sewer, elsewhere, changed(leak, "clear", 60))

    case = await desk.case_of(leak)
    held = {alert["alert_id"] for alert in case["alerts"]}
    assert held == {leak.alert_id, beside.alert_id, sewer.alert_id}
    assert case["probable_cause"]["alert_id"] in {leak.alert_id, beside.alert_id}
    assert [one["link"] for one in case["probable_cause"]["effects"]] == ["gas-leak-sewer"]
    assert case["probable_cause"]["place"] is None
    alone = (await desk.case_of(elsewhere))["probable_cause"]
    assert alone["alert_id"] == elsewhere.alert_id, "nothing follows from it, but it says where it is"
    assert alone["place"] == msgspec.structs.asdict(place)
    assert (case["unit"], case["level"], case["state"]) == ("gas-company", 2, "detected")
    assert case["co_units"] == ["drainage-group"]
    assert case["condition"] == "active"
    assert [line["action"] for line in case["transitions"]] == ["open", "join", "join"]
    assert case["transitions"][0]["evidence"]["correlation"] == leak.correlation
    assert len((await desk.store.cases()).items) == 2

    await taken_in(desk, changed(beside, "clear", 90), changed(sewer, "clear", 90))
    assert (await desk.case_of(leak))["condition"] == "cleared"


async def test_every_transition_is_chained_and_leaves_as_a_cloud_event(desk: Desk) -> None:
    leak = an_alert()
    async with running(desk.service()):
        await desk.taken(await desk.publish([leak, changed(leak, "upgrade", level=1)]))
        case_id = (await desk.case_of(leak))["case_id"]
        case = await desk.store.act(
            case_id, action="verify", version=2, actor=DUTY, now=now(), evidence={"result": "real", "x": 1e22}
        )
        events = [json.loads(event) for event in await desk.events_of(3)]
    lines = [
        transition_of(row)
        for row in await desk.rows("select * from case_transitions where case_id = %s order by seq", case_id)
    ]
    assert audit.verify(lines) is None
    assert case.version == len(lines) == 3
    assert [event["id"] for event in events] == [f"{case_id}/{seq}" for seq in (1, 2, 3)]
    assert events[2]["type"] == "cityvigil.case.verify"
    assert events[2]["data"]["case"]["state"] == "verified"
    assert events[2]["data"]["transition"]["hash"] == lines[2].hash


async def test_repeats_and_another_interleaving_of_the_partitions_change_nothing(desk: Desk) -> None:
    day = a_days_alerts(seed=5, episodes=80)
    by_district = [[m for m in day if m.district == name] for name in ("shinan", "laoshan", "chengyang")]
    rng = random.Random(1)
    disturbed: list[Alert] = []
    queues = [list(messages) for messages in by_district]
    while any(queues):
        queue = rng.choice([queue for queue in queues if queue])
        disturbed.append(queue.pop(0))
        if rng.random() < 0.3:  # a second delivery of something of the same partition, old or new
            disturbed.append(rng.choice([m for m in disturbed if m.district == disturbed[-1].district]))
    await taken_in(desk, *day)
    expected = await desk.outcome()
    applied = await desk.rows("select alert_id, seq from alert_changes order by 1, 2")
    assert len(expected) > 20
    async with second_reader(desk, log="again") as other:
        await taken_in(other, *disturbed)
        assert await other.outcome() == expected
        assert await other.rows("select alert_id, seq from alert_changes order by 1, 2") == applied


async def test_what_is_no_alert_is_kept_and_passed_over(desk: Desk) -> None:
    leak = an_alert()
    nul = an_alert(subject="sensor/gw-1/\0", since=NOON + MINUTE)
    level = an_alert(subject="sensor/gw-2/x", level=7)
    last = an_alert(subject="sensor/gw-gas-n01-2/ch4-1", since=NOON + 2 * MINUTE)
    await taken_in(desk, leak, b'{"alert_id":', nul, level, b"", last)
    kept = await desk.rows('select reason, raw from dispatch_rejects order by "offset"')
    assert [row["raw"][:12] for row in kept] == [b'{"alert_id":', b'{"alert_id":', b'{"alert_id":', b""]
    assert "level 7" in kept[2]["reason"]
    held = {alert["alert_id"] for alert in (await desk.case_of(leak))["alerts"]}
    assert held == {leak.alert_id, last.alert_id}
    health = [e for e in await desk.store.events_after(0) if e["kind"] == "health"]
    assert len(health) == 4


async def test_level_2_tells_the_unit_at_once_and_outsiders_only_what_was_confirmed(desk: Desk) -> None:
    fire = an_alert(
        rule="fire-smoke-detector-state", category="fire_smoke_detector_state", network="fire", level=2
    )
    quiet = an_alert(rule="fire-co", category="fire_co", network="fire", level=3, zone="shinan-02")
    await taken_in(desk, fire, quiet)

    async def told(alert: Alert) -> set[tuple[str, str]]:
        case = await desk.case_of(alert)
        rows = await desk.rows("select step, recipient from outbox where case_id = %s", case["case_id"])
        return {(row["step"], row["recipient"]) for row in rows}

    assert await told(fire) == {("case", "duty-desk"), ("pre-notice", "fire-control-room")}
    assert await told(quiet) == {("case", "duty-desk")}
    case_id = (await desk.case_of(fire))["case_id"]
    for version, (action, given) in enumerate(
        [("verify", {"result": "real"}), ("file", {}), ("dispatch", {})], start=1
    ):
        await desk.store.act(
            case_id, action=action, version=version, actor=DUTY, now=now(), result=given.get("result")
        )
    assert await told(fire) >= {("dispatch", "fire-control-room"), ("dispatch", "fire-rescue")}


async def test_an_upgrade_while_it_is_handled_reaches_the_unit_and_keeps_the_work(desk: Desk) -> None:
    leak = an_alert(level=3)
    await taken_in(desk, leak)
    case_id = (await desk.case_of(leak))["case_id"]
    await desk.store.acknowledge(leak.alert_id, DUTY, now())
    steps = [("verify", DUTY), ("file", DUTY), ("dispatch", DUTY), ("accept", CREW), ("arrive", CREW)]
    for version, (action, actor) in enumerate(steps, start=1):
        await desk.store.act(
            case_id, action=action, version=version, actor=actor, now=now(), evidence={"result": "real"}
        )
    await taken_in(desk, changed(leak, "upgrade", 10, level=1))
    case = await desk.case_of(leak)
    assert (case["state"], case["level"], case["version"]) == ("arrived", 1, 7)
    assert case["acknowledged_by"] is None
    assert case["alerts"][0]["acknowledged_by"] is None
    told = await desk.rows("select recipient from outbox where step = 'pre-notice' and case_id = %s", case_id)
    assert [row["recipient"] for row in told] == ["gas-company"]


async def test_of_two_people_who_act_on_one_version_one_gets_the_case_as_it_is(desk: Desk) -> None:
    leak = an_alert()
    await taken_in(desk, leak)
    case_id = (await desk.case_of(leak))["case_id"]
    results = await asyncio.gather(
        *(
            desk.store.act(case_id, action="verify", version=1, actor=DUTY, now=now(), result=result)
            for result in ("real", "false")
        ),
        return_exceptions=True,
    )
    conflict = next(result for result in results if isinstance(result, Conflict))
    done = next(result for result in results if not isinstance(result, BaseException))
    assert conflict.case == done
    assert len((await desk.case_of(leak))["transitions"]) == 2


async def test_people_acknowledge_once_silence_shelve_and_are_refused(desk: Desk) -> None:
    leak = an_alert()
    await taken_in(desk, leak)
    store, at = desk.store, now()
    first = await store.acknowledge(leak.alert_id, DUTY, at)
    second = await store.acknowledge(leak.alert_id, LEADER, at + MINUTE)
    assert (first["already"], second["already"], second["acknowledged_by"]) == (False, True, "duty")
    assert (await desk.case_of(leak))["acknowledged_by"] == "duty"
    assert (await store.silence(leak.alert_id, DUTY, at))["silenced_until"] > at.isoformat()[:19]
    shelved = await store.shelve(leak.alert_id, DUTY, at + 60 * MINUTE, "works in the street", at)
    assert (shelved["shelved_by"], shelved["condition"]) == ("duty", "active")
    assert (await store.unshelve(leak.alert_id, DUTY, at))["shelved_until"] is None
    elsewhere = Actor("wu", frozenset({Role.duty}), None, frozenset({"laoshan"}))
    for actor in (CREW, elsewhere):
        with pytest.raises(Forbidden):
            await store.acknowledge(leak.alert_id, actor, at)
    with pytest.raises(Unknown):
        await store.silence("nothing", DUTY, at)
    with pytest.raises(Invalid):
        await store.shelve(leak.alert_id, DUTY, at + 48 * 60 * MINUTE, "for long", at)
    acts = await desk.rows("select action from alert_actions order by id")
    assert [row["action"] for row in acts] == ["acknowledge", "silence", "shelve", "unshelve"]


async def test_a_case_begun_by_a_call_is_merged_and_its_target_goes_on(desk: Desk) -> None:
    leak = an_alert()
    await taken_in(desk, leak)
    call = await desk.store.open_case(
        category="gas_manhole_methane", zone="shinan-01", place="香港中路", text="闻到燃气味",
        caller="138", actor=DUTY, now=now(),
    )  # fmt: skip
    assert (call.unit, call.level, call.district) == ("gas-company", 3, "shinan")
    target = await desk.case_of(leak)
    merged = await desk.store.act(
        target["case_id"], action="merge", version=1, actor=LEADER, now=now(), into=call.case_id
    )
    assert merged.state == "merged"
    after = await desk.case_of(leak)
    assert (after["case_id"], after["condition"]) == (call.case_id, "active")
    await taken_in(desk, changed(leak, "upgrade", level=2))
    assert (await desk.case_of(leak))["level"] == 2
    with pytest.raises(Conflict):
        await desk.store.act(merged.case_id, action="void", version=2, actor=LEADER, now=now(), reason="x")


async def test_a_declined_case_stays_ended_until_its_alert_gets_worse(desk: Desk) -> None:
    leak = an_alert(level=3)
    await taken_in(desk, leak)
    first = (await desk.case_of(leak))["case_id"]
    for version, action in enumerate(("verify", "decline"), start=1):
        await desk.store.act(
            first, action=action, version=version, actor=DUTY, now=now(), evidence={"result": "false"}
        )
    update = changed(leak, "update")
    await taken_in(desk, update)
    assert (await desk.case_of(leak))["case_id"] == first
    await taken_in(desk, changed(update, "upgrade", level=1))
    again = await desk.case_of(leak)
    assert again["case_id"] != first
    assert (again["state"], again["level"]) == ("detected", 1)
    with pytest.raises(Invalid, match=again["case_id"]):
        await desk.store.act(first, action="reopen", version=3, actor=LEADER, now=now(), reason="real")


async def test_an_overdue_clock_is_told_once_to_the_shift_leader(desk: Desk) -> None:
    leak = an_alert(level=2, category="gas_flow_rate")
    await taken_in(desk, leak)
    opened = dt.datetime.fromisoformat((await desk.case_of(leak))["opened_at"])
    assert await overdue.tell(desk.pool, opened + 9 * MINUTE) == 0
    assert await overdue.tell(desk.pool, opened + 11 * MINUTE) == 2
    assert await overdue.tell(desk.pool, opened + 12 * MINUTE) == 0
    case = await desk.case_of(leak)
    assert [t["evidence"]["clock"] for t in case["transitions"][1:]] == ["acknowledge", "verify"]
    told = await desk.rows("select recipient from outbox where step = 'escalate'")
    assert [row["recipient"] for row in told] == ["shift-leader", "shift-leader"]


async def test_a_reader_of_live_events_sees_every_change_in_rising_order(desk: Desk) -> None:
    day = a_days_alerts(seed=9, episodes=30)
    await taken_in(desk, *day)
    events = await desk.store.events_after(0)
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    alerts = [event["payload"]["seq"] for event in events if event["kind"] == "alert"]
    assert len(alerts) == len(day)
    newest = await desk.store.newest_event()
    assert await desk.store.events_after(newest) == []
    assert await desk.store.events_after(events[-2]["id"]) == events[-1:]


async def test_lists_are_paged_without_gap_or_repeat(desk: Desk) -> None:
    await taken_in(desk, *a_days_alerts(seed=3, episodes=40))
    found: list[str] = []
    cursor = None
    while True:
        page = await desk.store.alerts(cursor=cursor, limit=7)
        found += [item["alert_id"] for item in page.items]
        if (cursor := page.next) is None:
            break
    assert len(found) == len(set(found)) == 40
    levels = {item["level"] for item in (await desk.store.cases(level=2)).items}
    assert levels == {2}
    with pytest.raises(Invalid):
        await desk.store.alerts(cursor="nonsense")


async def test_ready_only_when_the_log_is_read_and_the_database_answers(desk: Desk) -> None:
    service = desk.service(alerts_topic="no-such-topic")
    assert service.not_ready() is not None
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(stop))

    async def says_why() -> bool:
        return "no-such-topic: run" in (service.not_ready() or "")

    await until(says_why)
    stop.set()
    await task
