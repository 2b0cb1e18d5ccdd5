"""The order of kills: everything once in turn, then in random order, the same for the same seed."""

from __future__ import annotations

import pytest

from cityvigil.errors import CannotRun
from cityvigil.faults import plan
from cityvigil.faults.plan import TARGETS, Step


def test_the_same_seed_kills_in_the_same_order_and_another_one_in_another() -> None:
    assert plan.plan(7, 3) == plan.plan(7, 3)
    assert plan.plan(7, 3) != plan.plan(8, 3)


def test_everything_is_killed_alone_first_and_then_once_in_each_round() -> None:
    steps = plan.plan(1, 2)
    assert steps[: len(TARGETS)] == [Step("kill", (target,)) for target in TARGETS]
    rounds = [step for step in steps[len(TARGETS) :] if step.kind == "kill"]
    killed = [target for step in rounds for target in step.targets]
    assert sorted(killed[: len(TARGETS)]) == sorted(killed[len(TARGETS) :]) == sorted(TARGETS)


def test_some_are_killed_while_others_still_start() -> None:
    together = [step for step in plan.plan(1, 5) if len(step.targets) > 1 and step.kind == "kill"]
    assert together
    assert all(len(step.gaps_s) == len(step.targets) - 1 for step in together)
    assert any(gap > 0 for step in together for gap in step.gaps_s)
    assert any(gap == 0 for step in together for gap in step.gaps_s)


def test_workers_join_and_die_and_sleep_only_where_there_are_several() -> None:
    assert {step.kind for step in plan.plan(1, 0)} == {"kill", "join", "pause", "replace", "clock"}
    assert {step.kind for step in plan.plan(1, 0, several=False)} == {"kill", "clock"}
    assert {step.kind for step in plan.plan(1, 0, plan.targets("kafka,record"))} == {"kill"}


def test_the_short_set_has_everything_once_in_random_order_and_each_kind_of_step() -> None:
    assert plan.short(7) != plan.short(8)
    steps = plan.short(7)
    killed = [target for step in steps if step.kind == "kill" for target in step.targets]
    assert sorted(killed) == sorted(TARGETS)
    assert any(len(step.targets) > 1 for step in steps if step.kind == "kill")
    assert [step.kind for step in steps if step.kind != "kill"] == ["join", "asleep", "clock"]


def test_targets_are_chosen_by_name() -> None:
    assert plan.targets("kafka, detect") == ("detect", "detect-2", "kafka")
    with pytest.raises(CannotRun, match="no target is called 'zookeeper'"):
        plan.targets("kafka,zookeeper")
