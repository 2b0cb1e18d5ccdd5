"""Whom the bypass tells: as dispatch would, without a database."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from dispatch import notices, urgent
from dispatch.lifecycle import DISPATCH, opened
from dispatch.roster import without_database
from dispatch.routing import route
from dispatch.urgent import Person, Roster, Scene
from schemas.alert import Alert
from schemas.case import Case, State
from schemas.catalogue import catalogue
from schemas.unit import units
from tests.case_builders import NOON, an_alert, changed

ROSTER = without_database()
MINUTE = dt.timedelta(minutes=1)


def told_by_dispatch(alert: Alert) -> set[str]:
    """The keys of what dispatch tells when the alert opens a case."""
    way = route(alert.category, alert.network, alert.zone)
    case = Case(
        case_id="C-1",
        version=1,
        state=State.detected,
        level=alert.worst,
        category=alert.category or alert.rule,
        network=alert.network,
        zone=alert.zone,
        district=alert.district,
        unit=way.lead,
        co_units=way.co_units,
        alerts=(alert.alert_id,),
        opened_at=NOON,
        updated_at=NOON,
    )
    fresh, transition = opened(case, actor=DISPATCH, role=DISPATCH, evidence={})
    return {notice.key for notice in notices.of(None, fresh, transition, alert)}


@given(category=st.sampled_from(sorted(catalogue())), zone=st.sampled_from(["shinan-01", None]))
def test_it_tells_whom_dispatch_tells_under_the_same_keys(category: str, zone: str | None) -> None:
    alert = an_alert(level=1, category=category, network=catalogue()[category].domain, zone=zone)
    keys = {urgent.key_of(alert.alert_id, unit) for unit in urgent.recipients(alert, ROSTER)}
    assert keys == told_by_dispatch(alert)
    assert all(urgent.is_urgent(f"{key}/webhook") for key in keys)


def test_what_is_not_level_1_keeps_the_key_of_its_case() -> None:
    assert not any(urgent.is_urgent(key) for key in told_by_dispatch(an_alert(level=2)))


@given(category=st.sampled_from(sorted(catalogue())))
def test_nobody_outside_the_house_hears_of_what_nobody_confirmed(category: str) -> None:
    alert = an_alert(level=1, category=category, network=catalogue()[category].domain)
    assert not any(units()[unit].outside for unit in urgent.recipients(alert, ROSTER))


def test_only_the_message_that_makes_an_alert_level_1_is_told() -> None:
    orange = an_alert(level=2)
    red = changed(orange, "upgrade", level=1)
    later = [changed(red, "update"), changed(red, "downgrade", level=2), changed(red, "clear")]
    assert [urgent.is_due(alert) for alert in (orange, red, *later)] == [False, True, False, False, False]
    assert not urgent.is_due(an_alert(level=1, mode="shadow"))


def test_the_people_of_a_unit_are_named_by_district() -> None:
    people = (
        Person(name="chen", roles=("unit",), unit="gas-company", districts=("shinan",)),
        Person(name="liu", roles=("unit",), unit="gas-company", districts=("laoshan",)),
        Person(name="wang", roles=("duty",)),
    )
    roster = Roster(units=ROSTER.units, people=people)
    assert urgent.payload(an_alert(level=1), "gas-company", roster)["people"] == ["chen"]
    assert urgent.payload(an_alert(level=1), "duty-desk", roster)["people"] == ["wang"]


def a_scene(told_at: dt.datetime) -> Scene:
    return Scene(zone="shinan-01", network="gas", first=NOON, last=NOON, told_at=told_at)


def test_a_scene_is_told_once_within_half_an_hour_of_its_alerts() -> None:
    told = [a_scene(NOON)]
    assert urgent.told_already(an_alert(level=1, since=NOON + 29 * MINUTE), told, ROSTER)
    assert not urgent.told_already(an_alert(level=1, since=NOON + 31 * MINUTE), told, ROSTER)
    assert not urgent.told_already(an_alert(level=1, zone="shinan-02"), told, ROSTER)
    assert not urgent.told_already(an_alert(level=1, network="fire"), told, ROSTER)


def test_a_case_that_ended_since_keeps_nobody_from_hearing_of_the_next_alert() -> None:
    told = [a_scene(NOON)]
    roster = Roster(taken_at=NOON + 5 * MINUTE, units=ROSTER.units)
    assert not urgent.told_already(an_alert(level=1), told, roster)


def test_a_case_that_is_open_in_the_snapshot_is_a_scene_that_was_told() -> None:
    roster = Roster(taken_at=NOON, units=ROSTER.units, scenes=(a_scene(NOON),))
    assert urgent.told_already(an_alert(level=1), [], roster)


def test_an_alert_without_a_zone_stands_alone() -> None:
    alert = an_alert(level=1, zone=None)
    assert urgent.scene_of(alert, [], ROSTER, NOON) is None
    assert not urgent.told_already(alert, [a_scene(NOON)], ROSTER)


@given(minutes=st.lists(st.integers(0, 300), min_size=1, max_size=12))
def test_however_its_alerts_come_every_alert_is_told_or_near_one_that_was(minutes: list[int]) -> None:
    told: tuple[Scene, ...] = ()
    spoken: list[dt.datetime] = []
    seen: list[dt.datetime] = []
    for minute in minutes:
        alert = an_alert(level=1, since=NOON + minute * MINUTE)
        if urgent.told_already(alert, told, ROSTER):
            assert any(abs(alert.observed_at - other) <= 30 * MINUTE for other in seen) or any(
                scene.first <= alert.observed_at <= scene.last for scene in told
            )
        else:
            spoken.append(alert.observed_at)
        seen.append(alert.observed_at)
        scene = urgent.scene_of(alert, told, ROSTER, NOON)
        assert scene is not None
        told = urgent.merged(told, scene)
        assert urgent.told_already(alert, told, ROSTER)
        assert len({(s.first, s.last) for s in told}) == len(told)
    assert spoken[0] == seen[0]
