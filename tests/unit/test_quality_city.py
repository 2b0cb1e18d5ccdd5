"""The measurement on the simulated city: its plan, its cases, and a small run of it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from cityvigil.cli import main
from cityvigil.quality import city, city_plan, city_report
from cityvigil.quality.one_case import cases_of
from simulators.city import ZONES
from simulators.kinds import KINDS
from tests.case_builders import an_alert

SMALL = city.Size(zones=1, density=0.1, learn_days=0, quiet_days=0)
NAMES = [zone.zone for zone in ZONES[:4]]


def test_every_kind_of_fault_is_asked_for_once_and_due_before_it_ends() -> None:
    assert set(city_plan.asked()) == set(KINDS)
    for kind, row in city_plan.asked().items():
        assert 0 < city_plan.due_s(kind) <= row.minutes * 60, kind


def test_a_draw_plays_every_kind_once_and_no_two_of_one_network_in_a_zone() -> None:
    plays = city_plan.plays(NAMES, np.random.default_rng(3))
    chained = [kind for kind, facts in KINDS.items() if facts.trouble is not None]
    played = Counter(planted.spec.kind for play in plays for planted in play.faults)
    assert played == Counter(set(KINDS) - set(chained))
    for play in plays:
        there = Counter((p.spec.zone, KINDS[p.spec.kind].network) for p in play.faults)
        assert set(there.values()) == {1}
        assert play.minutes * 60 >= max(p.spec.onset_s + p.spec.duration_s for p in play.faults)
    assert set(chained) <= {kind for links in city_plan.cascades().values() for kind, _ in links}


def test_linked_alerts_of_a_zone_are_one_case_and_another_zone_is_another() -> None:
    leak = an_alert(alert_id="a", network="gas", category="gas_manhole_methane", zone="shibei-01")
    sewer = an_alert(alert_id="b", network="drainage", category="drain_sewer_methane", zone="shibei-01")
    other = an_alert(alert_id="c", network="drainage", category="drain_sewer_methane", zone="licang-01")
    cases = cases_of([leak, other, sewer])
    assert cases["a"] == cases["b"] != cases["c"]


def test_faults_of_a_small_city_are_found_in_time_and_what_must_be_absorbed_is() -> None:
    kinds = (
        "garage-co",
        "restaurant-gas-leak",
        "sensor-dropout",
        "lift-trapped",
        "duplicates",
        "wrong-unit",
        "clock-off",
    )
    seen = city.run(7, SMALL, kinds=kinds, chains=("kitchen-fire",))
    figures = {row.method: row.figures for row in city_report.rows([seen])}
    judged = figures["default rules"]
    assert (judged["faults"], judged["found_in_time"], judged["at_expected_level"]) == (8, 1.0, 1.0)
    assert (judged["kept_quiet"], judged["false_alerts"], judged["one_case"]) == (1.0, 0, 1.0)
    assert figures["kind wrong-unit"]["told_as_another"] == 0
    assert figures["new installation"]["found_in_time"] < 1  # most thresholds are judgement: in shadow there
    assert figures["kind garage-co"]["median_delay_min"] * 60 <= city_plan.due_s("garage-co")
    assert figures["cascade kitchen-fire"] == {"one_case": 1, "of": 1}


@pytest.mark.parametrize("argv", [["--set", "nab"], ["--set", "city", "--quiet-days", "0"]])
def test_a_measurement_that_cannot_be_made_is_refused(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "quality", *argv]) == 2
    assert "--" in capsys.readouterr().err
