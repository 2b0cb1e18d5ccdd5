"""The threshold language reads every cell of the catalogue or says where it cannot."""

from collections import Counter

import pytest

from detectors.binding import bind, normal_range
from detectors.expression import (
    SECOND_US,
    ExpressionError,
    For,
    Term,
    Value,
    parse_cell,
    parse_groups,
)
from detectors.hold import Hold, parse_hold
from schemas.catalogue import catalogue
from schemas.default_rules import default_rules
from tests.builders import a_rule, a_sensor


def test_and_binds_tighter_than_or() -> None:
    groups = parse_cell("v>=2.5 & pipe_evidence|v>=4.0")
    assert [[c.text for c in group.conditions] for group in groups] == [
        ["v>=2.5", "pipe_evidence"],
        ["v>=4.0"],
    ]


@pytest.mark.parametrize(
    ("text", "term", "op", "value", "hold"),
    [
        ("v>=0.5", Term("v"), ">=", Value(0.5), None),
        ("v<0.05", Term("v"), "<", Value(0.05), None),
        ("abs(v)>=0.8*design", Term("v", absolute=True), ">=", Value(0.8, "design"), None),
        ("abs(v-sp)>=0.05", Term("v", absolute=True, about="sp"), ">=", Value(0.05), None),
        ("v>=100%rated", Term("v"), ">=", Value(1.0, "rated"), None),
        ("v<=sp-0.03", Term("v"), "<=", Value(name="sp", offset=-0.03), None),
        ("v>=limit+5", Term("v"), ">=", Value(name="limit", offset=5.0), None),
        ("roc(5min)<=-0.05", Term("roc", 300 * SECOND_US), "<=", Value(-0.05), None),
        ("dev>=40% for 60min", Term("dev"), ">=", Value(40.0, suffix="%"), For(us=3600 * SECOND_US)),
        ("resid>=4sigma for 6 reports", Term("resid"), ">=", Value(4.0, suffix="sigma"), For(reports=6)),
        ("growth>=0.01/d", Term("growth"), ">=", Value(0.01, suffix="/d"), None),
        ("dev>=30% for 2 nights", Term("dev"), ">=", Value(30.0, suffix="%"), For(reports=2)),
        ("state==1 for 5min", Term("state"), "==", Value(1.0), For(us=300 * SECOND_US)),
    ],
)
def test_a_condition_is_read_as_written(
    text: str, term: Term, op: str, value: Value, hold: For | None
) -> None:
    ((condition,),) = (group.conditions for group in parse_cell(text))
    assert (condition.term, condition.op, condition.value, condition.hold) == (term, op, value, hold)
    assert condition.text == text


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("v>=", 4),
        ("v 5", 3),
        (">=5", 1),
        ("v>=5 for", 9),
        ("v>=5 & ", 8),
        ("roc(5)>=1", 6),
        ("v>=5 ?", 6),
        ("", 1),
    ],
)
def test_an_error_says_where(text: str, column: int) -> None:
    with pytest.raises(ExpressionError, match=f"column {column}:"):
        parse_cell(text)


def test_a_group_that_cannot_be_read_leaves_the_others() -> None:
    first, second = parse_groups("v>=0.95 | v 24 h")
    assert not isinstance(first, ExpressionError)
    assert isinstance(second, ExpressionError)
    assert "column 13" in str(second)


def test_the_catalogues_cells_are_read_as_its_notes_count_them() -> None:
    """Of 570 cells 79 name an input (40 names); 33 are prose that no grammar reads, others end in a word
    that is taken for a unit; schemas/cells.csv writes all of these anew."""
    kinds: Counter[str] = Counter()
    names: set[str] = set()
    for row in (row for row in catalogue().values() if not row.own):
        for cell in row.levels.values():
            try:
                inputs = {c.term.name for group in parse_cell(cell) for c in group.conditions if c.is_input}
            except ExpressionError:
                kinds["prose"] += 1
            else:
                kinds["input" if inputs else "grammar"] += 1
                names |= inputs
    assert kinds == {"grammar": 458, "input": 79, "prose": 33}
    assert len(names) == 40


def test_holds_are_times_reports_or_nothing() -> None:
    assert parse_hold("30 s") == Hold(For(us=30 * SECOND_US))
    assert parse_hold("2 reports") == Hold(For(reports=2))
    assert parse_hold("max in 10 min") == Hold()
    assert parse_hold("10-min mean") == Hold()
    fast = parse_hold("2 consecutive fast samples (L1: 1)")
    assert isinstance(fast, Hold)
    assert (fast.of(2, "v"), fast.of(1, "v")) == (For(reports=2), For(reports=1))
    mixed = parse_hold("6 h (L1: 2 reports)")
    assert isinstance(mixed, Hold)
    assert (mixed.of(3, "v"), mixed.of(1, "v")) == (For(us=6 * 3600 * SECOND_US), For(reports=2))
    change = parse_hold("3 samples (roc: 1)")
    assert isinstance(change, Hold)
    assert (change.of(2, "v"), change.of(2, "roc")) == (For(reports=3), For(reports=1))


def test_every_hold_of_the_catalogue_is_understood_or_gives_a_reason() -> None:
    refused = {row.hold for row in catalogue().values() if isinstance(parse_hold(row.hold), str)}
    assert refused == {
        "12 months of data",
        "3 stations agree",
        "evaluate on event time, hold until upload lag passed",
        "event time; 1 day of lag",
    }


def test_every_default_rule_is_bound_to_a_sensor_or_says_why_not() -> None:
    for rule in default_rules(judgement_live=True):
        if rule.detector != "threshold":
            continue
        (key,) = rule.selector.categories
        bound = bind(rule, a_sensor(1, key), catalogue()[key], 60.0)
        assert bound.levels or bound.reasons, rule.name
        missing = set(rule.levels) - bound.levels
        assert all(any(f"level {level}" in r for r in bound.reasons) for level in missing), rule.name


def test_a_missing_site_parameter_leaves_the_cells_that_need_none() -> None:
    bound = bind(
        a_rule("bridge_crack_width"), a_sensor(1, "bridge_crack_width"), catalogue()["bridge_crack_width"], 60
    )
    assert bound.levels == {2}  # its rate of growth
    assert any("site parameter limit is missing" in reason for reason in bound.reasons)
    rule = a_rule("gas_pipe_pressure_medium")
    bound = bind(rule, a_sensor(1, rule.selector.categories[0]), catalogue()["gas_pipe_pressure_medium"], 60)
    assert bound.levels == {1, 2}  # the two with a rate of change


def test_outside_the_heating_season_low_limits_are_inhibited_and_not_unguarded() -> None:
    rule, row = a_rule("heat_primary_return_temp"), catalogue()["heat_primary_return_temp"]
    running = bind(rule, a_sensor(1, row.key), row, 60)
    stopped = bind(rule, a_sensor(1, row.key, params={"interval_s": 60, "mode": 0}), row, 60)
    assert running.levels == {1, 2, 3, 4}
    assert stopped.levels == {2, 3, 4}
    assert stopped.reasons == ()


def test_hysteresis_never_reaches_the_normal_range_or_a_milder_level() -> None:
    for rule in default_rules(judgement_live=True):
        if rule.detector != "threshold":
            continue
        (key,) = rule.selector.categories
        row = catalogue()[key]
        normal = normal_range(row.normal_typical)
        for slot in bind(rule, a_sensor(1, key), row, 60).facts.slots:
            if slot.side > 0 and slot.shown == "v":
                assert slot.keep_low <= slot.low
                if normal and slot.limit > normal[1]:
                    assert slot.keep_low > normal[1], (key, slot)
            if slot.side < 0 and slot.shown == "v":
                assert slot.keep_high >= slot.high
                if normal and slot.limit < normal[0]:
                    assert slot.keep_high < normal[0], (key, slot)
