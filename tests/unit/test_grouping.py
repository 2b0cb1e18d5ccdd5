"""Which case an alert belongs to."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from detectors.correlation import linked
from dispatch.grouping import Candidate, case_id_of, joins, needs_case, origin_of
from schemas.alert import Alert
from schemas.case import Case, State
from tests.case_builders import NOON, a_case, an_alert, changed

MINUTE = dt.timedelta(minutes=1)


def joined(alert: Alert, *cases: Case) -> str | None:
    held = [Candidate(case, [an_alert(network=case.network)]) for case in cases]
    found = joins(alert, held, linked)
    return found[0].case_id if found else None


@pytest.mark.parametrize(("minutes", "same"), [(0, True), (30, True), (31, False), (-30, True), (-31, False)])
def test_an_alert_joins_the_open_case_of_its_zone_and_network_for_30_minutes_of_event_time(
    minutes: int, same: bool
) -> None:
    alert = an_alert(since=NOON + minutes * MINUTE)
    assert (joined(alert, a_case()) is not None) is same


def test_the_last_alert_of_a_case_counts_not_the_first() -> None:
    case = a_case(event_last=NOON + 25 * MINUTE)
    assert joined(an_alert(since=NOON + 50 * MINUTE), case) == case.case_id


@pytest.mark.parametrize(
    "changes",
    [{"zone": "shinan-02"}, {"network": "water"}, {"state": State.closed}, {"event_first": None}],
)
def test_another_zone_network_or_an_ended_case_or_a_persons_is_not_joined(changes: dict[str, Any]) -> None:
    case = a_case()
    other = a_case(**changes) if "state" not in changes else type(case)(**{**_fields(case), **changes})
    assert joined(an_alert(), other) is None


def _fields(case: Case) -> dict[str, Any]:
    return {name: getattr(case, name) for name in case.__struct_fields__}


def test_an_alert_without_a_zone_stands_alone() -> None:
    assert joined(an_alert(zone=None), a_case(zone=None)) is None


def sewer(**changes: Any) -> Alert:
    values = {"rule": "drain-sewer-methane", "category": "drain_sewer_methane", "network": "drainage"}
    return an_alert(**{**values, **changes})


def test_methane_in_the_sewer_joins_the_gas_leak_beside_it() -> None:
    found = joins(sewer(), [Candidate(a_case(), [an_alert()])], linked)
    assert found is not None
    assert found[0] == a_case()
    assert found[1] is not None
    assert joined(an_alert(rule="water-ph", category="water_ph", network="water"), a_case()) is None


def test_a_stuck_gas_sensor_is_linked_to_nothing() -> None:
    assert joined(sewer(), a_case(network="device")) is None
    stuck = an_alert(rule="device-stuck", network="device")
    held = [Candidate(a_case(network="drainage"), [sewer()])]
    assert joins(stuck, held, linked) is None


def test_the_case_of_the_own_network_comes_before_a_linked_one() -> None:
    own = a_case(
        case_id="C-00000000000b", network="drainage", event_last=NOON - MINUTE, event_first=NOON - MINUTE
    )
    assert joined(sewer(), a_case(), own) == own.case_id
    assert joined(sewer(), own, a_case()) == own.case_id


def test_only_an_active_alert_that_nobody_works_on_looks_for_a_case() -> None:
    alert = an_alert()
    assert needs_case(alert, None, worse=False)
    assert not needs_case(an_alert(mode="shadow"), None, worse=False)
    assert not needs_case(changed(alert, "clear"), None, worse=False)
    assert not needs_case(alert, a_case(), worse=True)


def test_after_a_case_ended_its_alert_looks_for_another_only_when_it_gets_worse() -> None:
    ended = type(a_case())(**{**_fields(a_case()), "state": State.declined})
    update = changed(an_alert(), "update")
    assert not needs_case(update, ended, worse=False)
    assert needs_case(changed(update, "upgrade", level=1), ended, worse=True)


def test_case_ids_follow_from_the_alert_alone_and_a_second_case_has_its_own() -> None:
    alert = an_alert()
    assert case_id_of(origin_of(alert, ended=False)) == case_id_of(alert.alert_id)
    again = changed(alert, "upgrade", level=1)
    assert case_id_of(origin_of(again, ended=True)) != case_id_of(alert.alert_id)


def test_an_effect_joins_hours_after_its_cause() -> None:
    burst = an_alert(rule="water-main-pressure", category="water_main_pressure", network="water")
    settling = {"rule": "road-settlement", "category": "road_settlement", "network": "structure"}
    case = a_case(network="water")
    held = [Candidate(case, [burst])]
    late = an_alert(**settling, since=NOON + 5 * 60 * MINUTE)
    assert joins(late, held, linked) is not None
    assert joins(an_alert(**settling, since=NOON + 7 * 60 * MINUTE), held, linked) is None


def test_what_follows_an_alert_that_was_taken_in_is_taken_in_with_it() -> None:
    pump = {"rule": "drain-pump-current", "category": "drain_pump_current", "network": "drainage"}
    held = [Candidate(a_case(), [an_alert(), sewer(since=NOON + 10 * MINUTE)])]
    assert joins(an_alert(**pump, since=NOON + 20 * MINUTE), held, linked) is not None
    assert joins(an_alert(**pump, since=NOON + 50 * MINUTE), held, linked) is None


def test_what_a_link_expects_later_joins_its_own_network_s_case_after_30_minutes_too() -> None:
    hard = an_alert(network="weather", category="weather_rain_intensity")
    hour = an_alert(network="weather", category="weather_rain", since=NOON + 45 * MINUTE, alert_id="later")
    case = a_case(network="weather")
    found = joins(hour, [Candidate(case, [hard])], linked)
    assert found is not None
    assert (found[0].case_id, found[1] and found[1].name) == (case.case_id, "rain-gathers")
    other = an_alert(network="weather", category="weather_visibility", since=NOON + 45 * MINUTE, alert_id="x")
    assert joins(other, [Candidate(case, [hard])], linked) is None
