"""The catalogue and the rules it gives."""

from __future__ import annotations

import msgspec
import pytest
import yaml

from cityvigil.rule_checks import wrong_with
from schemas.catalogue import catalogue
from schemas.default_rules import OWN_FAULTS, default_rules, rule_name
from schemas.rule import Rule, RuleError, from_yaml


def test_every_row_of_the_catalogue_is_read() -> None:
    rows = catalogue()
    ours = [row.key for row in rows.values() if row.own]
    assert (len(rows) - len(ours), ours) == (168, ["public_place_crowd_count", "water_front_arrival"])
    assert all(rows[key].source.startswith("ours: no row of the given catalogue") for key in ours)
    assert {row.domain for row in rows.values()} >= {
        "gas",
        "water",
        "drainage",
        "heat",
        "bridge",
        "fire",
        "weather",
    }
    assert all(row.plausible_min < row.plausible_max for row in rows.values())


@pytest.mark.parametrize(
    ("key", "interval_s"),
    [
        ("gas_manhole_methane", 7200.0),
        ("water_main_pressure", 60.0),
        ("bridge_strain", 600.0),
        ("fire_smoke_detector_state", 86_400.0),
        ("fire_manual_call_point", None),
        ("water_dma_night_flow", 86_400.0),
    ],
)
def test_the_regular_report_interval_is_the_longest_that_the_row_names(
    key: str, interval_s: float | None
) -> None:
    assert catalogue()[key].interval_s == interval_s


def test_every_row_has_default_rules_as_its_role_says() -> None:
    rules = {rule.name: rule for rule in default_rules(judgement_live=False)}
    plausible = rules["device-plausible"].selector.categories
    for row in catalogue().values():
        rule = rules.get(rule_name(row.key))
        if row.role == "covariate":
            assert rule is None, row.key
            assert row.key in plausible
        elif row.role == "list":
            listed = rules[f"{rule_name(row.key)}-list"]
            assert rule is not None
            assert (set(rule.levels), set(listed.levels)) == ({2}, {4})
            assert (listed.asks, listed.mode) == ("nothing", "shadow")
        elif row.key != "device_silence":  # its rule is of another detector, and of every sensor
            assert rule is not None
            assert set(rule.levels) == set(row.levels), row.key


def test_cells_that_no_grammar_reads_are_written_anew_and_say_how() -> None:
    for rule in default_rules(judgement_live=True):
        if rule.detector == "threshold":
            row = catalogue()[rule.selector.categories[0]]
            assert (rule.levels.items() <= row.levels.items() and rule.hold == row.hold) or (
                "[read as: " in rule.source
            ), rule.name


def test_every_default_rule_is_right_and_none_of_a_grave_level_lacks_its_card() -> None:
    for rule in default_rules(judgement_live=False):
        assert wrong_with(rule) == [], rule.name
        assert rule.response is not None or not set(rule.levels) & {1, 2, 3}


def test_thresholds_of_judgement_start_in_shadow_in_a_new_installation() -> None:
    careful = {rule.name: rule for rule in default_rules(judgement_live=False)}
    assert careful["gas-manhole-methane"].mode == "shadow"
    assert careful["water-main-pressure"].mode == "live"  # sourced
    assert {rule.mode for rule in careful.values() if rule.confidence == "judgement"} == {"shadow", "live"}
    live_guesses = {r.name for r in careful.values() if r.confidence == "judgement" and r.mode == "live"}
    assert live_guesses == OWN_FAULTS
    shown = {rule.name for rule in default_rules(judgement_live=True) if rule.mode == "shadow"}
    groups = {"water-district-balance", "water-district-night-flow", "heat-loop-balance", "gas-main-balance",
              "neighbour-drift", "bridge-modal-shift"}  # fmt: skip
    assert shown == {"ewma", "seasonal", "device-spike", "fire-lane-blocked-list"} | groups


def test_a_rule_keeps_its_version_through_yaml_and_promotion_but_not_through_a_change() -> None:
    rule = default_rules(judgement_live=True)[0]
    text = yaml.safe_dump(msgspec.to_builtins(rule), allow_unicode=True)
    assert from_yaml(text) == rule
    assert msgspec.structs.replace(rule, mode="draft").version == rule.version
    assert msgspec.structs.replace(rule, levels={1: "v>=1"}).version != rule.version


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name: [", r"leak.yaml:1:8: .*expected"),
        ("name: leak", r"leak.yaml: .*missing required field"),
        ("name: leak\nlevles: {}", r"leak.yaml: .*levles"),
    ],
)
def test_a_malformed_rule_is_refused_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(RuleError, match=complaint):
        from_yaml(text, "leak.yaml")


def test_rules_have_names_that_differ() -> None:
    rules: list[Rule] = default_rules(judgement_live=False)
    assert len({rule.name for rule in rules}) == len(rules)
