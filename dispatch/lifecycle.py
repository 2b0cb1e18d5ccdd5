"""How a case moves: (case, what happened, now) -> (case, transition). Pure.

Promises: only the moves of the table below; every move is one transition and raises the version by
one; an ended case has no running clock; from every open state there is a way to the end. What a
person may not do is raised as Forbidden (who), Conflict (when) or Invalid (what is missing).
Does not know units, alerts' contents or the database; hashes are put on by dispatch/audit.py.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from dispatch import clocks
from schemas.case import ENDED, OPEN, Action, Case, Role, State, Transition, Verdict

DISPATCH = "dispatch"
"""The actor of what the program does by itself."""

FORCED_AFTER_RETURNS = 2


class Refused(Exception):
    """What a person asked for was not done; nothing changed."""


class Forbidden(Refused):
    """This person may not do it."""


class Invalid(Refused):
    """The request lacks something or names something that does not exist."""


class Unknown(Refused):
    """No such case or alert."""


class Conflict(Refused):
    """The case has moved on, or the action is not possible in its state. Carries the case as it is."""

    def __init__(self, case: Case, message: str) -> None:
        super().__init__(message)
        self.case = case


@dataclass(frozen=True)
class Actor:
    """A person as far as cases are concerned. Empty `districts` means all of them."""

    name: str
    roles: frozenset[Role]
    unit: str | None = None
    districts: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Act:
    """A person does something to a case, having seen its `version`."""

    action: Action
    actor: Actor
    version: int
    unit: str | None = None
    reason: str | None = None
    evidence: dict[str, Any] | None = None
    result: Verdict | None = None
    into: Case | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """An alert of the same cause joined; `co_units` are those that its category adds."""

    alert_id: str
    level: int
    observed_at: dt.datetime
    co_units: tuple[str, ...] = ()
    evidence: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Upgraded:
    """One of its alerts got worse."""

    alert_id: str
    level: int
    observed_at: dt.datetime
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Absorbed:
    """Another case was merged into this one by `actor`."""

    other: Case
    actor: Actor


@dataclass(frozen=True, slots=True)
class Overdue:
    """A clock ran out and is told to the shift leader."""

    clock: str


Event = Act | Joined | Upgraded | Absorbed | Overdue

_WORK = frozenset({State.accepted, State.arrived, State.handling})
_STOPPED = frozenset({State.deferred, State.suspended})


@dataclass(frozen=True, slots=True)
class _Row:
    sources: frozenset[State]
    target: State | None  # None: where it was (resume)
    role: Role
    needs: tuple[str, ...] = ()  # fields of Act that must be given


def _from(*states: State) -> frozenset[State]:
    return frozenset(states)


TABLE: dict[Action, _Row] = {
    Action.verify: _Row(_from(State.detected), State.verified, Role.duty, ("result",)),
    Action.file: _Row(_from(State.verified), State.filed, Role.duty),
    Action.decline: _Row(_from(State.verified), State.declined, Role.duty),
    Action.dispatch: _Row(
        _from(State.filed, State.returned, State.rework, State.detected),
        State.dispatched,
        Role.duty,
        ("unit",),
    ),
    Action.accept: _Row(_from(State.dispatched), State.accepted, Role.unit),
    Action.return_: _Row(_from(State.dispatched), State.returned, Role.unit, ("reason",)),
    Action.arrive: _Row(_from(State.accepted), State.arrived, Role.unit),
    Action.handle: _Row(_from(State.arrived), State.handling, Role.unit),
    Action.report: _Row(_from(State.handling), State.reported, Role.unit, ("evidence",)),
    Action.check: _Row(_from(State.reported), State.checking, Role.checker),
    Action.rework: _Row(_from(State.checking), State.rework, Role.checker, ("reason",)),
    Action.close: _Row(_from(State.checking), State.closed, Role.checker),
    Action.reopen: _Row(_from(State.closed, State.declined), State.filed, Role.leader, ("reason",)),
    Action.defer: _Row(_WORK, State.deferred, Role.leader),
    Action.suspend: _Row(_WORK, State.suspended, Role.leader),
    Action.resume: _Row(_STOPPED, None, Role.leader),
    Action.merge: _Row(OPEN, State.merged, Role.leader, ("into",)),
    Action.void: _Row(OPEN, State.voided, Role.leader, ("reason",)),
}


def opened(case: Case, *, actor: str, role: str, evidence: dict[str, Any]) -> tuple[Case, Transition]:
    """The first transition of a case that grouping or a person made (version 1, state detected)."""
    started = clocks.started(case)
    return started, _transition(None, started, Action.open, actor, role, case.opened_at, None, evidence)


def apply(case: Case, event: Event, now: dt.datetime) -> tuple[Case, Transition]:
    """Raises Refused if a person's act is not possible; the program's own events always are."""
    match event:
        case Act():
            return _act(case, event, now)
        case Joined():
            after = _worsened(case, event.level, now)
            after = replace(
                after,
                alerts=(*case.alerts, event.alert_id),
                co_units=_added(case, event.co_units),
                event_first=min(case.event_first or event.observed_at, event.observed_at),
                event_last=max(case.event_last or event.observed_at, event.observed_at),
            )
            return _by_dispatch(case, after, Action.join, now, event.evidence)
        case Upgraded():
            after = replace(
                _worsened(case, event.level, now),
                event_last=max(case.event_last or event.observed_at, event.observed_at),
            )
            return _by_dispatch(case, after, Action.upgrade, now, event.evidence)
        case Absorbed():
            other = event.other
            first = [moment for moment in (case.event_first, other.event_first) if moment]
            last = [moment for moment in (case.event_last, other.event_last) if moment]
            after = replace(
                _worsened(case, other.level, now),
                alerts=(*case.alerts, *(a for a in other.alerts if a not in case.alerts)),
                co_units=_added(case, tuple(u for u in (other.unit, *other.co_units) if u)),
                event_first=min(first, default=None),
                event_last=max(last, default=None),
                condition="active" if "active" in (case.condition, other.condition) else "cleared",
            )
            after = _stamped(after, now)
            evidence = {"merged": other.case_id, "alerts": list(other.alerts)}
            name, role = event.actor.name, Role.leader
            return after, _transition(case, after, Action.join, name, role, now, None, evidence)
        case Overdue():
            due = case.clocks[event.clock]
            after = replace(case, escalated=(*case.escalated, event.clock))
            return _by_dispatch(
                case, after, Action.escalate, now, {"clock": event.clock, "due": due.isoformat()}
            )


def possible(case: Case, actor: Actor, now: dt.datetime) -> tuple[str, ...]:
    """The actions that this person could do now, given what each needs, in the table's order."""
    return tuple(action.value for action in TABLE if _may(case, action, actor, now))


def _may(case: Case, action: Action, actor: Actor, now: dt.datetime) -> bool:
    try:
        _permit(case, action, actor, now)
    except Refused:
        return False
    return True


def _act(case: Case, act: Act, now: dt.datetime) -> tuple[Case, Transition]:
    row = TABLE.get(act.action)
    if row is None:
        raise Invalid(f"{act.action.value!r} is not an action of people")
    role = _permit_who(case, act.action, act.actor, now)
    if act.version != case.version:
        raise Conflict(case, f"the case is at version {case.version}, you saw {act.version}")
    _permit_when(case, act.action, now)
    _complete(case, act, row)
    evidence = dict(act.evidence or {})
    changes: dict[str, Any] = {"state": row.target or case.resume_to}
    match act.action:
        case Action.verify:
            changes["verdict"] = act.result
            evidence["result"] = act.result
        case Action.dispatch:
            changes["unit"] = act.unit
            changes["co_units"] = tuple(unit for unit in case.co_units if unit != act.unit)
            changes["dispatched_at"] = now
            evidence["unit"] = act.unit
        case Action.return_:
            changes["returns"] = case.returns + 1
        case Action.defer | Action.suspend:
            changes["resume_to"] = case.state
            changes["stopped_at"] = now
        case Action.resume:
            changes["resume_to"] = None
        case Action.merge:
            assert act.into is not None
            _permit_where(act.into, act.actor)
            changes["merged_into"] = act.into.case_id
            evidence["into"] = act.into.case_id
        case Action.close:
            evidence["condition"] = case.condition
        case Action.reopen:
            changes["returns"] = 0
        case _:
            pass
    after = replace(case, **changes)
    if after.acknowledged_by is None:
        after = clocks.acknowledged(after, act.actor.name, now)
    after = _stamped(clocks.moved(case, after, now), now)
    name, reason = act.actor.name, act.reason
    return after, _transition(case, after, act.action, name, role, now, reason, evidence)


def _permit(case: Case, action: Action, actor: Actor, now: dt.datetime) -> None:
    _permit_who(case, action, actor, now)
    _permit_when(case, action, now)


def _permit_who(case: Case, action: Action, actor: Actor, now: dt.datetime) -> Role:
    """The role in which this person may do it. Raises Forbidden."""
    role = TABLE[action].role
    _permit_where(case, actor)
    if action is Action.return_ and case.state is State.dispatched and clocks.return_over(case, now):
        if Role.leader not in actor.roles:
            raise Forbidden("the time to return has passed: only the shift leader may still do it")
        return Role.leader
    if action is Action.close and case.state is State.checking and case.condition == "active":
        if Role.leader not in actor.roles:
            raise Forbidden("the condition is still active: only a leader may close, with a reason")
        role = Role.leader
    if role not in actor.roles:
        raise Forbidden(f"{action.value} is for the role {role.value}")
    if role is Role.unit and (actor.unit is None or actor.unit != case.unit):
        raise Forbidden(f"the case is {case.unit}'s, {actor.name} is of {actor.unit}")
    checks = action in (Action.check, Action.rework, Action.close)
    if checks and actor.unit is not None and actor.unit in (case.unit, *case.co_units):
        raise Forbidden(f"{actor.unit} did the work: somebody else checks it")
    return role


def _permit_where(case: Case, actor: Actor) -> None:
    if actor.districts and case.district not in actor.districts:
        raise Forbidden(f"{actor.name} works in {', '.join(sorted(actor.districts))}, not {case.district}")


def _permit_when(case: Case, action: Action, now: dt.datetime) -> None:
    """Raises Conflict if the state does not allow it."""
    if case.state not in TABLE[action].sources:
        raise Conflict(case, f"{action.value} is not possible in state {case.state.value}")
    if (
        action is Action.dispatch
        and case.state is State.detected
        and not clocks.unverified_in_time(case, now)
    ):
        raise Conflict(case, "verify first: dispatch without it is for level 1 that nobody verified in time")
    if action is Action.return_ and case.returns >= FORCED_AFTER_RETURNS:
        raise Conflict(case, f"returned {case.returns} times: this assignment is forced")


def _complete(case: Case, act: Act, row: _Row) -> None:
    """Raises Invalid if something that the action needs is missing."""
    needs = row.needs
    if act.action is Action.close and case.condition == "active":
        needs = ("reason",)
    for name in needs:
        value = getattr(act, name)
        if not value or (isinstance(value, str) and not value.strip()):
            raise Invalid(f"{act.action.value} needs {name}")
    if act.into is not None and (act.into.case_id == case.case_id or act.into.state in ENDED):
        raise Invalid("merge needs another case that is open")


def _worsened(case: Case, level: int, now: dt.datetime) -> Case:
    return clocks.worsened(replace(case, level=level), now) if level < case.level else case


def _added(case: Case, units: tuple[str, ...]) -> tuple[str, ...]:
    new = (u for u in dict.fromkeys(units) if u != case.unit and u not in case.co_units)
    return (*case.co_units, *new)


def _stamped(case: Case, now: dt.datetime) -> Case:
    return replace(case, version=case.version + 1, updated_at=now)


def _by_dispatch(
    before: Case, after: Case, action: Action, now: dt.datetime, evidence: dict[str, Any]
) -> tuple[Case, Transition]:
    after = _stamped(after, now)
    return after, _transition(before, after, action, DISPATCH, DISPATCH, now, None, evidence)


def _transition(
    before: Case | None,
    after: Case,
    action: Action,
    actor: str,
    role: str,
    now: dt.datetime,
    reason: str | None,
    evidence: dict[str, Any],
) -> Transition:
    return Transition(
        case_id=after.case_id,
        seq=after.version,
        action=action,
        from_state=before.state if before else None,
        to_state=after.state,
        actor=actor,
        role=str(role),
        at=now,
        reason=reason,
        evidence=evidence,
    )
