"""The default rules keep their own tests, through the fold that runs live."""

from __future__ import annotations

import pytest

from cityvigil import rule_trials
from detectors.rehearse import rehearse
from schemas.cards import cards
from schemas.catalogue import catalogue
from schemas.default_rules import default_rules
from schemas.rule import Trial
from tests.builders import a_rule

RULES = {rule.name: rule for rule in default_rules(judgement_live=False)}


@pytest.mark.parametrize("network", sorted({rule.network for rule in RULES.values()}))
def test_every_default_rule_has_tests_and_keeps_them(network: str) -> None:
    found = rule_trials.tried((name, rule) for name, rule in RULES.items() if rule.network == network)
    assert (found.problems, found.untested) == ([], [])
    assert found.held > 0


def test_a_rule_that_breaks_its_own_test_says_what_came_instead() -> None:
    trial = Trial(name="a trace", values=("0.02 x 3", "0.2 x 5"), expect=("raise 4 at 4 min",))
    outcome = rehearse(a_rule(), trial)
    assert outcome.problem is not None
    assert outcome.problem.startswith(
        "expected raise 4 at 240 s, got nothing; unguarded: level 1, v>=2.5 & pipe"
    )


def test_a_test_holds_only_if_level_and_time_are_as_said() -> None:
    values = ("0.02 x 5", "0.7 x 5")
    for expect, holds in (
        (("raise 4",), True),
        (("raise",), True),
        (("raise 4 at 6 min",), True),
        (("raise 4 at 7 min",), False),
        (("raise 3",), False),
        (("raise 4", "clear"), False),
        ((), False),
    ):
        outcome = rehearse(a_rule(), Trial(name="t", values=values, expect=expect))
        assert (outcome.problem is None) == holds, expect


def test_every_category_that_alarms_has_a_card_in_both_languages() -> None:
    for row in catalogue().values():
        if row.role != "covariate":
            card = cards()[row.key]
            assert card.missing(frozenset({1, 2, 3})) == [], row.key
            assert len(card.zh.steps) == len(card.en.steps) >= 3
            assert card.zh.forbidden, row.key


def test_a_gas_card_forbids_ignition_and_entry_without_a_gas_test() -> None:
    for category in ("gas_manhole_methane", "drain_sewer_methane", "drain_h2s"):
        forbidden = " ".join(cards()[category].en.forbidden)
        assert "gas test" in forbidden, category
        assert "flame" in forbidden, category
        assert "未测气" in " ".join(cards()[category].zh.forbidden)
