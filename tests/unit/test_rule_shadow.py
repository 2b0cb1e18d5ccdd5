"""What a rule in shadow would have raised is counted from its alerts' messages, once each."""

from __future__ import annotations

import datetime as dt

from cityvigil.rule_set import RuleSet
from cityvigil.rule_shadow import Count, Episode, Row, add, rows
from schemas.alert import Alert
from schemas.clock import CityClock, to_us
from schemas.rule import Rule
from tests.builders import a_rule
from tests.case_builders import NOON, an_alert, changed

DAY = dt.timedelta(days=1)
RULE = a_rule(mode="shadow")


def an_alert_of(hours: float, subject: str = "sensor/gw-1/p1", rule: Rule = RULE, **other: object) -> Alert:
    """In shadow if not said otherwise, so many hours before the window ends."""
    facts = {"mode": "shadow", "rule": rule.name, "rule_version": rule.version, "subject": subject}
    return an_alert(**(facts | {"since": NOON - dt.timedelta(hours=hours)} | other))


def counted(*messages: Alert, rule: Rule = RULE, stood_days: float = 90) -> list[Row]:
    """Over the seven days up to noon."""
    published_ms = to_us(NOON - stood_days * DAY) // 1_000
    known = RuleSet({rule.name: rule}, {}, {rule.name: published_ms}, {}, 1)
    shadow, live = dict[str, Episode](), dict[str, Episode]()
    for message in messages:
        add(shadow if message.mode == "shadow" else live, message)
    return rows(known, shadow.values(), live.values(), NOON - 7 * DAY, NOON, CityClock())


def only(found: list[Row]) -> Row:
    (row,) = found
    return row


def test_an_alert_counts_once_at_its_worst_whatever_is_repeated_or_out_of_order() -> None:
    first = an_alert_of(30)
    upgrade = changed(first, "upgrade", level=2)
    clear = changed(upgrade, "clear", level=3)
    second = an_alert_of(3, "sensor/gw-1/p2")
    row = only(counted(clear, first, second, upgrade, first))
    assert (row.version, row.in_shadow, row.live) == (RULE.version, True, None)
    assert row.shadow == Count(
        alerts=2,
        levels={1: 0, 2: 1, 3: 1, 4: 0},
        subjects=2,
        a_day=0.29,
        open_share=0.5,
        first=first.observed_at,
        last=second.observed_at,
    )


def test_alerts_a_day_count_from_the_publishing_of_a_rule_that_is_younger_than_the_window() -> None:
    assert only(counted(an_alert_of(3), an_alert_of(5), stood_days=2)).shadow.a_day == 1.0


def test_a_rule_in_shadow_that_raised_nothing_has_a_row() -> None:
    row = only(counted())
    assert (row.rule, row.shadow.alerts, row.shadow.open_share) == (RULE.name, 0, None)


def test_what_was_raised_before_the_window_or_told_to_nobody_does_not_count() -> None:
    before = an_alert_of(24 * 8)
    row = only(
        counted(before, changed(before, "update", 24 * 60 * 3), an_alert_of(1, suppressed="maintenance"))
    )
    assert row.shadow.alerts == 0


def test_live_alerts_of_the_same_name_stand_beside_it_without_a_rate_while_it_is_in_shadow() -> None:
    row = only(counted(an_alert_of(2), an_alert_of(50, mode="live", rule_version="older")))
    assert row.live is not None
    assert (row.shadow.alerts, row.live.alerts, row.live.a_day) == (1, 1, None)


def test_a_version_that_was_promoted_keeps_its_row_and_has_no_rate_in_shadow() -> None:
    live = a_rule(mode="live")
    row = only(counted(an_alert_of(80), an_alert_of(2, mode="live"), rule=live, stood_days=1))
    assert row.live is not None
    assert (row.in_shadow, row.shadow.a_day, row.live.a_day) == (False, None, 1.0)
