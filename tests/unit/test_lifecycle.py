"""The table of actions, and laws over any sequence of events."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dispatch import audit, clocks, lifecycle
from dispatch.lifecycle import (
    Absorbed,
    Act,
    Actor,
    Conflict,
    Event,
    Forbidden,
    Invalid,
    Joined,
    Overdue,
    Refused,
    Upgraded,
)
from schemas.case import ENDED, OPEN, Action, Case, Role, State, Transition, Verdict
from tests.case_builders import CHECKER, CREW, DUTY, LEADER, NOON, a_case, an_actor

MINUTE = dt.timedelta(minutes=1)
OTHER = a_case(case_id="C-00000000000f", alerts=("b1",))
GOOD: dict[str, Any] = {"unit": "gas-company", "reason": "why", "evidence": {"text": "done"}, "into": OTHER}


def act(case: Case, action: Action, actor: Actor, *, now: dt.datetime = NOON, **given_: Any) -> Case:
    """The case after a person did it with the version as it is."""
    event = Act(action=action, actor=actor, version=given_.pop("version", case.version), **given_)
    return lifecycle.apply(case, event, now)[0]


def at(state: State, **changes: Any) -> Case:
    return replace(a_case(), state=state, dispatched_at=NOON, **changes)


STEPS: list[tuple[Action, Actor, dict[str, Any]]] = [
    (Action.verify, DUTY, {"result": Verdict.real}),
    (Action.file, DUTY, {}),
    (Action.dispatch, DUTY, {"unit": "gas-company"}),
    (Action.accept, CREW, {}),
    (Action.arrive, CREW, {}),
    (Action.handle, CREW, {}),
    (Action.report, CREW, {"evidence": {"text": "valve replaced"}}),
    (Action.check, CHECKER, {}),
    (Action.close, CHECKER, {}),
]


def test_a_case_walks_from_alert_to_closed() -> None:
    case = replace(a_case(), condition="cleared")
    seen = [case.state]
    for action, actor, given_ in STEPS:
        case = act(case, action, actor, **given_)
        seen.append(case.state)
    words = "detected verified filed dispatched accepted arrived handling reported checking closed"
    assert " ".join(seen) == words
    assert case.version == 10
    assert case.clocks == {}


CONTRACT = """
verify: detected -> verified, duty
file: verified -> filed, duty
decline: verified -> declined, duty
dispatch: filed returned rework -> dispatched, duty
accept: dispatched -> accepted, unit
return: dispatched -> returned, unit
arrive: accepted -> arrived, unit
handle: arrived -> handling, unit
report: handling -> reported, unit
check: reported -> checking, checker
rework: checking -> rework, checker
close: checking -> closed, checker
reopen: closed declined -> filed, leader
defer: accepted arrived handling -> deferred, leader
suspend: accepted arrived handling -> suspended, leader
"""


@pytest.mark.parametrize("line", CONTRACT.strip().splitlines())
def test_an_action_is_possible_from_its_states_for_its_role_only(line: str) -> None:
    name, _, rest = line.partition(": ")
    moves, _, role_name = rest.partition(", ")
    sources, _, target = moves.partition(" -> ")
    role, given_ = Role(role_name), {**GOOD, "result": Verdict.real}
    for state in State:
        case = at(state, condition="cleared")
        for other in Role:
            actor = an_actor(other, unit="gas-company" if other is Role.unit else None)
            if other is not role:
                with pytest.raises(Forbidden):
                    act(case, Action(name), actor, **given_)
            elif state in sources.split():
                assert act(case, Action(name), actor, **given_).state == target
            else:
                with pytest.raises(Conflict) as refused:
                    act(case, Action(name), actor, **given_)
                assert refused.value.case == case


@pytest.mark.parametrize("state", sorted(OPEN))
def test_a_leader_may_void_or_merge_any_open_case(state: State) -> None:
    assert act(at(state), Action.void, LEADER, reason="test data").state is State.voided
    merged = act(at(state), Action.merge, LEADER, into=OTHER)
    assert (merged.state, merged.merged_into) == (State.merged, OTHER.case_id)


@pytest.mark.parametrize(
    ("action", "state", "actor"),
    [
        (Action.verify, State.detected, DUTY),
        (Action.dispatch, State.filed, DUTY),
        (Action.return_, State.dispatched, CREW),
        (Action.report, State.handling, CREW),
        (Action.rework, State.checking, CHECKER),
        (Action.reopen, State.closed, LEADER),
        (Action.void, State.filed, LEADER),
        (Action.merge, State.filed, LEADER),
    ],
)
def test_an_action_without_what_it_needs_is_invalid(action: Action, state: State, actor: Actor) -> None:
    with pytest.raises(Invalid, match="needs"):
        act(at(state, condition="cleared"), action, actor)
    with pytest.raises(Invalid, match="needs"):
        act(at(state, condition="cleared"), action, actor, reason="  ", evidence={})


def test_a_case_is_not_merged_into_itself_or_into_an_ended_one() -> None:
    case = a_case()
    for into in (case, replace(OTHER, state=State.closed)):
        with pytest.raises(Invalid, match="open"):
            act(case, Action.merge, LEADER, into=into)


def test_who_saw_an_old_version_gets_the_case_as_it_is() -> None:
    case = act(a_case(), Action.verify, DUTY, result=Verdict.real)
    with pytest.raises(Conflict) as refused:
        act(case, Action.file, DUTY, version=1)
    assert refused.value.case == case


def test_another_unit_may_not_accept() -> None:
    with pytest.raises(Forbidden):
        act(at(State.dispatched), Action.accept, an_actor(Role.unit, unit="water-group"))


def test_an_officer_of_one_district_may_not_act_in_another() -> None:
    elsewhere = Actor(name="wu", roles=frozenset({Role.duty}), districts=frozenset({"laoshan"}))
    with pytest.raises(Forbidden, match="laoshan"):
        act(a_case(), Action.verify, elsewhere, result=Verdict.real)
    leader = Actor(name="wu", roles=frozenset({Role.leader}), districts=frozenset({"shinan"}))
    with pytest.raises(Forbidden, match="laoshan"):
        act(a_case(), Action.merge, leader, into=replace(OTHER, district="laoshan"))


@pytest.mark.parametrize("unit", ["gas-company", "street-grid"])
def test_who_did_the_work_does_not_check_it(unit: str) -> None:
    case = at(State.reported, co_units=("street-grid",))
    with pytest.raises(Forbidden, match="somebody else"):
        act(case, Action.check, an_actor(Role.checker, Role.unit, unit=unit))


@pytest.mark.parametrize(("level", "minutes"), [(1, 5), (2, 5), (3, 30), (4, 30)])
def test_a_unit_returns_in_its_time_and_after_that_only_the_leader_does(level: int, minutes: int) -> None:
    case = at(State.dispatched, level=level)
    in_time, late = NOON + minutes * MINUTE, NOON + (minutes + 1) * MINUTE
    assert act(case, Action.return_, CREW, reason="not our pipe", now=in_time).returns == 1
    with pytest.raises(Forbidden, match="leader"):
        act(case, Action.return_, CREW, reason="not our pipe", now=late)
    assert act(case, Action.return_, LEADER, reason="not theirs", now=late).state is State.returned


def test_after_two_returns_an_assignment_is_forced() -> None:
    with pytest.raises(Conflict, match="forced"):
        act(at(State.dispatched, returns=2), Action.return_, CREW, reason="again")


def test_level_1_is_dispatched_unverified_only_when_nobody_verified_in_time() -> None:
    case = a_case(level=1)
    with pytest.raises(Conflict):
        act(case, Action.dispatch, DUTY, unit="gas-company", now=NOON + 2 * MINUTE)
    late = act(case, Action.dispatch, DUTY, unit="gas-company", now=NOON + 3 * MINUTE)
    assert late.state is State.dispatched
    with pytest.raises(Conflict):
        act(a_case(level=2), Action.dispatch, DUTY, unit="gas-company", now=NOON + 600 * MINUTE)


def test_a_case_whose_condition_lasts_is_closed_only_by_a_leader_with_a_reason() -> None:
    case = at(State.checking)
    with pytest.raises(Forbidden, match="active"):
        act(case, Action.close, CHECKER, reason="looks fine")
    with pytest.raises(Invalid, match="reason"):
        act(case, Action.close, LEADER)
    assert act(case, Action.close, LEADER, reason="sensor is being replaced").state is State.closed


@pytest.mark.parametrize("action", [Action.defer, Action.suspend])
def test_deferral_stops_the_clocks_and_resume_goes_on_where_it_was(action: Action) -> None:
    case = replace(at(State.arrived), clocks={"close": NOON + 60 * MINUTE})
    stopped = act(case, action, LEADER)
    assert clocks.due_at(stopped) is None
    assert clocks.overdue(stopped, NOON + 600 * MINUTE) == ()
    resumed = act(stopped, Action.resume, LEADER, now=NOON + 90 * MINUTE)
    assert resumed.state is State.arrived
    assert resumed.clocks == {"close": NOON + 150 * MINUTE}


def test_dispatch_to_another_unit_makes_it_the_lead() -> None:
    case = at(State.returned, co_units=("street-grid", "traffic-police"))
    after = act(case, Action.dispatch, DUTY, unit="street-grid")
    assert (after.unit, after.co_units) == ("street-grid", ("traffic-police",))


def test_an_upgrade_while_it_is_handled_raises_the_level_and_wants_to_be_seen_again() -> None:
    case = clocks.acknowledged(at(State.handling), "duty", NOON)
    event = Upgraded(alert_id="a1", level=1, observed_at=NOON, evidence={})
    after, transition = lifecycle.apply(case, event, NOON + MINUTE)
    assert (after.state, after.level, after.acknowledged_by) == (State.handling, 1, None)
    assert after.clocks["acknowledge"] == NOON + 2 * MINUTE
    assert transition.action is Action.upgrade


def test_possible_lists_exactly_what_does_not_refuse() -> None:
    everyone = an_actor(*Role, unit="gas-company")
    for state in State:
        case = at(state, condition="cleared")
        for actor in (DUTY, LEADER, CREW, CHECKER, everyone):
            listed = set(lifecycle.possible(case, actor, NOON))
            done = set()
            for action in lifecycle.TABLE:
                try:
                    act(case, action, actor, **{**GOOD, "result": Verdict.real})
                except Refused:
                    continue
                done.add(action.value)
            assert listed == done


# Laws over random sequences of events

actors = st.sampled_from([DUTY, LEADER, CREW, CHECKER, an_actor(*Role), an_actor(*Role, unit="gas-company")])
acts = st.tuples(st.sampled_from(sorted(lifecycle.TABLE, key=str)), actors, st.sampled_from(list(Verdict)))
machine = st.one_of(
    st.builds(
        Joined,
        alert_id=st.integers(2, 99).map(lambda n: f"a{n}"),
        level=st.integers(1, 4),
        observed_at=st.just(NOON),
        co_units=st.sampled_from([(), ("drainage-group",)]),
        evidence=st.just({}),
    ),
    st.builds(
        Upgraded,
        alert_id=st.just("a1"),
        level=st.integers(1, 4),
        observed_at=st.just(NOON),
        evidence=st.just({}),
    ),
    st.just(Absorbed(OTHER, LEADER)),
    st.just("overdue"),
    st.tuples(st.just("possible"), st.integers(0, 35)),  # one of what is possible: goes deep quickly
    st.sampled_from(["active", "cleared"]),
)
histories = st.lists(st.tuples(st.one_of(acts, machine), st.integers(0, 90)), max_size=60)


def _event(step: Any, case: Case, now: dt.datetime) -> Event | None:
    match step:
        case ("possible", index):
            actor = an_actor(*Role, unit=case.unit if index % 2 else None)
            names = lifecycle.possible(case, actor, now)
            if not names:
                return None
            action = Action(names[index // 2 % len(names)])
            return Act(action=action, actor=actor, version=case.version, **GOOD, result=Verdict.real)
        case (action, actor, verdict):
            given_ = {**GOOD, "result": verdict}
            return Act(action=action, actor=actor, version=case.version, **given_)
        case "overdue":
            running = clocks.to_tell(case, now)
            return Overdue(running[0]) if running else None
        case Joined() | Absorbed() | Upgraded():
            known = isinstance(step, Joined) and step.alert_id in case.alerts
            return None if case.state in ENDED or known else step
    return None


def run(history: list[tuple[Any, int]]) -> tuple[Case, list[Transition], list[Case]]:
    """The case after a history, what was recorded, and every case on the way."""
    now = NOON
    case, first = lifecycle.opened(
        replace(a_case(), clocks={}), actor="dispatch", role="dispatch", evidence={}
    )
    lines, cases = [first], [case]
    for step, minutes in history:
        now += minutes * MINUTE
        if step in ("active", "cleared"):
            case = replace(case, condition=step)
            continue
        event = _event(step, case, now)
        if event is None:
            continue
        try:
            after, line = lifecycle.apply(case, event, now)
        except Refused:
            continue
        lines.append(line)
        cases.append(after)
        case = after
    return case, lines, cases


@given(histories)
def test_every_change_is_one_transition_and_raises_the_version_by_one(history: list[tuple[Any, int]]) -> None:
    _, lines, cases = run(history)
    assert [case.version for case in cases] == list(range(1, len(cases) + 1))
    assert [line.seq for line in lines] == list(range(1, len(lines) + 1))
    for before, line, after in zip(cases, lines[1:], cases[1:], strict=False):
        assert (line.from_state, line.to_state) == (before.state, after.state)
        assert after.level <= before.level
        assert set(before.alerts) <= set(after.alerts)


@given(histories)
def test_no_history_leads_to_a_state_that_cannot_be(history: list[tuple[Any, int]]) -> None:
    for case in run(history)[2]:
        stopped = case.state in (State.deferred, State.suspended)
        assert (case.stopped_at is not None) == stopped
        assert (case.resume_to is not None) == stopped
        assert (case.merged_into is not None) == (case.state is State.merged)
        assert case.returns <= lifecycle.FORCED_AFTER_RETURNS
        assert set(case.escalated) <= set(clocks.KINDS)
        assert case.unit not in case.co_units
        if case.state in ENDED:
            assert case.clocks == {}
            assert clocks.next_clock_at(case) is None
        else:
            assert "close" in case.clocks
            assert ("verify" in case.clocks) <= (case.state is State.detected)


@given(histories)
def test_from_every_open_case_there_is_a_way_to_the_end(history: list[tuple[Any, int]]) -> None:
    case, _, _ = run(history)
    if case.state in ENDED:
        return
    assert {"void", "merge"} <= set(lifecycle.possible(case, LEADER, NOON))
    everyone = [DUTY, LEADER, CREW, CHECKER, an_actor(Role.unit, unit=case.unit), an_actor(Role.checker)]
    case = replace(case, condition="cleared")
    for _ in range(12):  # the ordinary way, whoever may take the next step of it
        if case.state is State.closed:
            break
        wanted = [Action.resume, *(action for action, _, _ in STEPS)]
        action, actor = next(
            (action, actor)
            for action in wanted
            for actor in everyone
            if action.value in lifecycle.possible(case, actor, NOON)
        )
        given_ = {**GOOD, "unit": case.unit or "gas-company", "result": Verdict.real}
        case = act(case, action, actor, **given_)
    assert case.state is State.closed


@given(histories, st.data())
def test_a_changed_or_missing_line_of_the_history_is_found(
    history: list[tuple[Any, int]], data: st.DataObject
) -> None:
    sealed: list[Transition] = []
    for line in run(history)[1]:
        sealed.append(audit.seal(line, sealed[-1].hash if sealed else ""))
    assert audit.verify(sealed) is None
    index = data.draw(st.integers(0, len(sealed) - 1))
    forged = [*sealed]
    forged[index] = replace(forged[index], actor="somebody else")
    assert audit.verify(forged) == index + 1
    if index < len(sealed) - 1:
        assert audit.verify([*sealed[:index], *sealed[index + 1 :]]) == index + 1
