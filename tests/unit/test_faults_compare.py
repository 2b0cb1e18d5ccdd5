"""Losses, repeats and differences are found, and what is equal is not complained of."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from cityvigil.faults import city, compare, report, undisturbed
from cityvigil.faults.left import Account, Cases, Published, Row
from cityvigil.faults.load import Sent
from cityvigil.faults.measure import Done, Run
from cityvigil.faults.plan import Step
from cityvigil.faults.pulse import GUST, Pulse, rows
from cityvigil.faults.undisturbed import Episode
from cityvigil.registry_merge import merged
from schemas.alert import encode
from schemas.default_rules import default_rules
from schemas.registry import Registry, Version
from tests.case_builders import an_alert

NOON = dt.datetime(2026, 1, 1, 4, tzinfo=dt.UTC)
ROWS = [Row(1, 7, 0.5), Row(2, 7, 0.6)]


def test_a_lost_row_a_doubled_row_and_a_changed_one_are_each_found() -> None:
    assert compare.rows(ROWS, ROWS, "the log") == []
    (missing,) = compare.rows(ROWS[:1], ROWS, "the log")
    assert missing.startswith("1 rows of the log are missing")
    (doubled,) = compare.rows([*ROWS, ROWS[0]], ROWS, "the log")
    assert doubled.startswith("1 rows are there that are not of the log, or too often")
    assert len(compare.rows([ROWS[0], Row(2, 7, 0.7)], ROWS, "the log")) == 2


@pytest.mark.parametrize(
    ("bodies", "words"),
    [
        ({("a", 1): b"x"}, "were never published"),
        ({("a", 1): b"x", ("a", 2): b"y", ("b", 1): b"z"}, "are not the second reader's"),
        ({("a", 1): b"x", ("a", 2): b"other"}, "have another body"),
    ],
)
def test_alerts_are_compared_by_id_sequence_and_body(
    bodies: dict[tuple[str, int], bytes], words: str
) -> None:
    expected = {("a", 1): b"x", ("a", 2): b"y"}
    assert compare.alerts(Published(dict(expected), 3, []), expected) == []
    (found,) = compare.alerts(Published(bodies, 0, []), expected)
    assert words in found


def test_a_repeat_with_another_body_is_found_though_one_of_them_is_right() -> None:
    (found,) = compare.alerts(Published({("a", 1): b"x"}, 1, [("a", 1)]), {("a", 1): b"x"})
    assert "repeated with another body" in found


def test_cases_that_people_acted_on_are_not_compared_and_all_others_are() -> None:
    def left(level: int, *acted_on: str) -> Cases:
        return Cases({"C-1": (level,), "C-2": (2,)}, [("C-1", level)], [("a", 1)], frozenset(acted_on))

    assert compare.cases(left(3), left(3)) == []
    assert [line.split(":")[0] for line in compare.cases(left(3), left(2))] == [
        "1 cases differ from the second reader's",
        "2 steps of cases differ",
    ]
    assert compare.cases(left(3, "C-1"), left(2)) == []


def test_an_episode_is_missed_by_its_start_and_our_own_faults_are_aside() -> None:
    body = encode(an_alert(change="raise"))
    alert = an_alert(change="raise")
    rose = Episode.of(alert)
    later = rose._replace(since=rose.since + dt.timedelta(seconds=1))
    assert compare.episodes([body], {rose}, {rose.subject}) == []
    assert len(compare.episodes([body], {later}, {rose.subject})) == 2
    assert compare.episodes([body], {later}, {"sensor/gw-9/other"}) == []
    own = encode(msgspec.structs.replace(alert, network="device"))
    assert compare.episodes([own], set(), {rose.subject}) == []


def test_a_ledger_has_to_say_what_was_handed_to_the_gateways() -> None:
    sent = [Sent("gw-1", 1, (("p", 1.0), ("q", 2.0))), Sent("gw-1", 2, (("p", 1.0),))]
    exact = {"gw-1": Account(2, 2, 0, 0, 3, 0, 1)}
    assert compare.ledger(exact, sent, 0) == []
    assert "3 frames that were never answered" in compare.ledger(exact, sent, 3)[0]
    for wrong in (Account(1, 1, 0, 0, 2, 0, 1), Account(2, 1, 1, 0, 2, 0, 1), Account(2, 2, 0, 0, 3, 1, 1)):
        (line,) = compare.ledger({"gw-1": wrong}, sent, 0)
        assert line.startswith("gw-1: ")
    assert compare.ledger({}, sent, 0)


def _registry(gateways: int) -> Registry:
    registry = Registry()
    entries, refusals = merged(registry, *rows(gateways), partitions=2)
    assert not refusals
    for entry in [*entries, Version(1)]:
        registry.apply(entry)
    return registry


def test_every_beat_of_a_pulse_is_one_episode_in_an_undisturbed_city() -> None:
    registry = _registry(2)
    assert {registry.partition_of("gw-pulse-0"), registry.partition_of("gw-pulse-1")} == {0, 1}
    pulses = [Pulse(number, 1) for number in range(2)]
    sent = [
        Sent(pulse.gateway, int(NOON.timestamp() * 1e6) + beat * 30_000_000, tuple(pulse.beat()))
        for beat in range(40)
        for pulse in pulses
    ]
    raised = undisturbed.raised(sent, registry, default_rules(judgement_live=True))
    gusts = {(one.subject, one.since) for one in raised if one.rule == "weather-wind-gust"}
    assert gusts == {
        (f"sensor/{one.gateway}/{point}", dt.datetime.fromtimestamp(one.time_us / 1e6, dt.UTC))
        for one in sent
        for point, value in one.readings
        if value >= GUST[0]
    }
    assert len(gusts) == len(sent)


def test_the_city_of_a_run_has_faults_all_the_time_and_none_twice() -> None:
    faults = city.for_run(1, 180).faults
    assert len(faults) == len({(one.kind, one.zone) for one in faults}) == 29
    assert {one.zone for one in faults[:10]} == set(city.ZONES)
    onsets = [one.onset_s for one in faults]
    assert onsets == sorted(onsets)


def test_the_report_counts_delays_by_target_and_says_which_promise_is_missed() -> None:
    def done(alert_s: float | None, *targets: str) -> Done:
        return Done(Step("kill", targets, (0.5,) * (len(targets) - 1)), 0, 1.0, alert_s)

    found: dict[str, Any] = report.result(
        1,
        [],
        Run([done(1.0, "record"), done(4.0, "record"), done(9.0, "kafka"), done(2.0, "kafka", "record")]),
        {},
    )
    table = {row["what"]: (row["times"], row["alert_s_max"], row["kept"]) for row in found["targets"]}
    assert table == {
        "kill record": (2, 4.0, False),
        "kill kafka": (1, 9.0, True),
        "kill several at once": (1, 2.0, None),
    }
    assert any("missed" in line for line in report.lines(found))
    assert report.lines(found)[-1] == "exact"
    assert report.lines(report.result(1, [], Run(wrong=["lost"]), {}))[-1] == "not exact"
