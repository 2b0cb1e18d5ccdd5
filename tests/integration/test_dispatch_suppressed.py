"""An alert of a sensor in maintenance is recorded and told to nobody until the sensor is in service again."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator

import pytest

from dispatch.grouping import case_id_of
from tests.case_builders import an_alert
from tests.integration.dispatch_desk import Desk, a_desk, now, running, until


@pytest.fixture
async def desk(kafka_bootstrap: str, postgres_dsn: str, unique: str) -> AsyncIterator[Desk]:
    async with a_desk(kafka_bootstrap, postgres_dsn, unique) as made:
        yield made


async def test_an_alert_of_a_sensor_in_maintenance_finds_its_case_when_the_window_ends(desk: Desk) -> None:
    alert = an_alert(level=2, suppressed="maintenance")
    _, gateway, point = alert.subject.split("/")
    await desk.rows(
        "insert into sensors (sensor, gateway, point, state, maintenance_from, maintenance_to)"
        " values (7, %s, %s, 'in-service', %s, %s) returning sensor",
        gateway,
        point,
        now() - dt.timedelta(hours=1),
        now() + dt.timedelta(hours=1),
    )
    async with running(desk.service()):
        await desk.taken(await desk.publish([alert]))
        recorded = await desk.store.alert(alert.alert_id)
        assert recorded is not None
        assert (recorded["suppressed"], recorded["case_id"]) == ("maintenance", None)
        assert await desk.rows("select 1 from cases") == []
        assert await desk.rows("select 1 from outbox") == []

        await desk.rows("update sensors set maintenance_to = %s returning sensor", now())
        await until(lambda: _has_case(desk, alert.alert_id))
        case = await desk.case_of(alert)
        assert (case["case_id"], case["level"]) == (case_id_of(alert.alert_id), 2)
        assert await desk.rows("select 1 from outbox where alert_id = %s", alert.alert_id) != []


async def test_an_alert_that_cleared_in_maintenance_stays_a_record(desk: Desk) -> None:
    alert = an_alert(suppressed="commissioning")
    cleared = an_alert(suppressed="commissioning", seq=2, change="clear", state="cleared")
    after = an_alert(subject="sensor/gw-gas-n01-2/ch4-1")
    async with running(desk.service()):
        await desk.taken(await desk.publish([alert, cleared, after]))
        recorded = await desk.store.alert(alert.alert_id)
        assert recorded is not None
        assert (recorded["state"], recorded["case_id"]) == ("cleared", None)
        assert len(await desk.rows("select 1 from cases")) == 1


async def _has_case(desk: Desk, alert_id: str) -> bool:
    known = await desk.store.alert(alert_id)
    return known is not None and known["case_id"] is not None
