"""Targets by category before level, and when which clock is told."""

from __future__ import annotations

import datetime as dt

import pytest
from msgspec.structs import replace

from dispatch import clocks, lifecycle
from dispatch.lifecycle import Act, Overdue, Upgraded
from schemas.case import Action, State, Verdict
from schemas.catalogue import catalogue
from tests.case_builders import DUTY, NOON, a_case

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("category", "network", "level", "acknowledge", "on_site", "close"),
    [
        ("gas_flow_rate", "gas", 1, MINUTE, 30 * MINUTE, 12 * HOUR),
        ("gas_flow_rate", "gas", 2, 5 * MINUTE, HOUR, 24 * HOUR),
        ("gas_flow_rate", "gas", 3, 15 * MINUTE, 4 * HOUR, 72 * HOUR),
        ("gas_flow_rate", "gas", 4, 2 * HOUR, None, 168 * HOUR),
        ("fire_smoke_detector_state", "fire", 1, MINUTE / 2, 3 * MINUTE, 12 * HOUR),
        ("gas_manhole_methane", "gas", 3, 2 * MINUTE, 30 * MINUTE, 24 * HOUR),
        ("drain_underpass_water_depth", "drainage", 3, MINUTE, 10 * MINUTE, 12 * HOUR),
        ("home_sos_button", "homecare", 1, 5 * MINUTE, 30 * MINUTE, 12 * HOUR),
        ("drain_manhole_cover_tilt", "drainage", 3, 5 * MINUTE, 30 * MINUTE, 6 * HOUR),
        ("heat_primary_return_pressure", "heat", 3, 15 * MINUTE, HOUR, 24 * HOUR),
        ("water_main_pressure", "water", 3, 15 * MINUTE, 2 * HOUR, 24 * HOUR),
        ("gas_manhole_methane", "device", 4, 2 * HOUR, None, 168 * HOUR),
    ],
)
def test_targets_go_by_category_before_level(
    category: str,
    network: str,
    level: int,
    acknowledge: dt.timedelta,
    on_site: dt.timedelta | None,
    close: dt.timedelta,
) -> None:
    goal = clocks.target(category, network, level)
    assert (goal.acknowledge, goal.on_site, goal.close) == (acknowledge, on_site, close)


def test_a_worse_level_is_never_given_more_time() -> None:
    for row in catalogue().values():
        for level in (1, 2, 3):
            worse, better = (clocks.target(row.key, row.domain, n) for n in (level, level + 1))
            assert worse.close <= better.close, row.key
            if worse.on_site and better.on_site:
                assert worse.on_site <= better.on_site, row.key


def test_a_clock_is_told_once_and_an_acknowledgement_has_its_time_twice() -> None:
    case = a_case(level=1)
    assert clocks.overdue(case, NOON + 1.5 * MINUTE) == ("acknowledge",)
    assert clocks.to_tell(case, NOON + 1.5 * MINUTE) == ()
    assert clocks.to_tell(case, NOON + 2 * MINUTE) == ("acknowledge",)
    told, transition = lifecycle.apply(case, Overdue("acknowledge"), NOON + 2 * MINUTE)
    assert transition.action is Action.escalate
    assert clocks.to_tell(told, NOON + 2.5 * MINUTE) == ()
    assert clocks.next_clock_at(told) == NOON + 3 * MINUTE  # verify


def test_an_acknowledged_case_is_not_escalated_for_it() -> None:
    case = clocks.acknowledged(a_case(level=1), "duty", NOON)
    assert clocks.to_tell(case, NOON + 2 * MINUTE) == ()


def test_whoever_acts_on_a_case_has_seen_it() -> None:
    event = Act(action=Action.verify, actor=DUTY, version=1, result=Verdict.real)
    case, _ = lifecycle.apply(a_case(level=1), event, NOON)
    assert (case.acknowledged_by, set(case.clocks)) == ("duty", {"close"})


def test_the_way_to_the_site_counts_from_dispatch_until_arrival() -> None:
    case = replace(a_case(level=1), state=State.filed)
    dispatch = Act(action=Action.dispatch, actor=DUTY, version=1, unit="gas-company")
    case, _ = lifecycle.apply(case, dispatch, NOON + 10 * MINUTE)
    assert case.clocks["on_site"] == NOON + 40 * MINUTE


def test_an_upgrade_shortens_what_still_runs_and_lengthens_nothing() -> None:
    case = a_case(level=3)
    event = Upgraded(alert_id="a1", level=1, observed_at=NOON, evidence={})
    after, _ = lifecycle.apply(case, event, NOON + 29 * MINUTE)
    assert after.clocks["acknowledge"] == NOON + 30 * MINUTE
    assert after.clocks["verify"] == NOON + 30 * MINUTE  # the old one was sooner
    assert after.clocks["close"] == NOON + 29 * MINUTE + 12 * HOUR
