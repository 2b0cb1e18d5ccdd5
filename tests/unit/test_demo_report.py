"""How a timed demo is judged: missed, misrouted, twice, false."""

from __future__ import annotations

import datetime as dt
from typing import Any

from cityvigil.demo_report import CaseRow, Fault, Message, judge, percentiles, table
from schemas.alert import Alert, Evidence

ONSET = dt.datetime(2026, 11, 23, 8, 10, tzinfo=dt.UTC)
LEAK = Fault(
    kind="gas-leak",
    network="gas",
    zone="shinan-01",
    subjects=frozenset({"sensor/gw-1/ch4", "sensor/gw-1/ch4-2"}),
    onset=ONSET,
    end=ONSET + dt.timedelta(minutes=40),
    expected_level=2,
    expected_unit="gas-company",
)


def _message(subject: str = "sensor/gw-1/ch4", minutes: float = 2, **changes: Any) -> Message:
    observed = ONSET + dt.timedelta(minutes=minutes)
    fields: dict[str, Any] = {
        "alert_id": f"alert-{subject}-{minutes}",
        "seq": 1,
        "change": "raise",
        "mode": "live",
        "rule": "gas-manhole-methane",
        "rule_version": "0" * 16,
        "subject": subject,
        "category": "gas_manhole_methane",
        "network": "gas",
        "zone": "shinan-01",
        "district": "shinan",
        "level": 2,
        "worst": 2,
        "state": "active",
        "since": observed,
        "observed_at": observed,
        "evidence": Evidence(text_zh="", text_en="", source="", confidence="judgement"),
        "published_at": ONSET,
        "correlation": None,
    }
    return Message(Alert(**(fields | changes)), ONSET + dt.timedelta(milliseconds=80))


def _case(*messages: Message, **changes: Any) -> CaseRow:
    fields: dict[str, Any] = {"case_id": "C-1", "state": "detected", "level": 2, "unit": "gas-company"}
    return CaseRow(**(fields | changes), alerts=tuple(m.alert.alert_id for m in messages))


def test_a_fault_that_became_one_case_at_the_right_unit_and_level_passes() -> None:
    first, second = _message(), _message("sensor/gw-1/ch4-2", 3)
    result = judge([LEAK], [first, second], [_case(first, second)])
    assert result.passed
    (row,) = result.faults
    assert (row["case"], row["alerts"], row["sense_to_alert_ms"]) == ("C-1", 2, 80.0)
    assert "gas-company" in table(result.faults)


def test_a_fault_without_an_alert_is_missed_and_so_is_one_without_a_case() -> None:
    assert judge([LEAK], [], []).wrong == ["gas-leak in shinan-01 was missed: no alert rose"]
    assert judge([LEAK], [_message()], []).wrong == [
        "gas-leak in shinan-01 was missed: its alert became no case"
    ]


def test_an_alert_before_the_onset_or_long_after_the_end_does_not_count_for_the_fault() -> None:
    early, late = _message(minutes=-1), _message(minutes=51)
    result = judge([LEAK], [early, late], [_case(early, late)])
    assert "was missed" in result.wrong[0]
    assert result.false_cases == ["C-1"]


def test_a_wrong_unit_and_a_wrong_level_are_both_told() -> None:
    message = _message()
    result = judge([LEAK], [message], [_case(message, unit="water-group", level=3)])
    assert len(result.wrong) == 2
    assert "3 (expected 2)" in table(result.faults)


def test_two_cases_for_one_fault_are_twice() -> None:
    first, second = _message(), _message("sensor/gw-1/ch4-2", 3)
    result = judge([LEAK], [first, second], [_case(first), _case(second, case_id="C-2")])
    assert any("alerted twice" in line for line in result.wrong)


def test_one_message_applied_twice_fails_the_demo() -> None:
    message = _message()
    assert not judge([LEAK], [message], [_case(message)], [("alert-1", 1)]).passed


def test_two_false_cases_are_allowed_and_three_are_not() -> None:
    message = _message()
    others = [_message(f"sensor/gw-9/p{i}", i) for i in range(3)]
    cases = [_case(message), *(_case(m, case_id=f"C-f{i}") for i, m in enumerate(others))]
    assert judge([LEAK], [message, *others], cases[:3]).passed
    assert judge([LEAK], [message, *others], cases).wrong == ["3 cases are false, 2 are allowed"]


def test_a_message_repeated_by_a_restarted_worker_is_timed_once_by_its_first() -> None:
    message = _message()
    again = Message(message.alert, message.kafka_at + dt.timedelta(seconds=5))
    assert judge([LEAK], [again, message], [_case(message)]).delays_ms == [80.0]
    assert percentiles([]) == {"p50": None, "p95": None, "p99": None, "max": None}
    assert percentiles([80.0])["p99"] == 80.0
