"""A case 案件: the work that alerts or people cause, its states, and what may be done to it.

The vocabulary and the table of who may do what; how a case moves is dispatch/lifecycle.py.
"""

from __future__ import annotations

import datetime as dt
import enum
from typing import Any

import msgspec


class State(enum.StrEnum):
    detected = "detected"
    verified = "verified"
    declined = "declined"
    filed = "filed"
    dispatched = "dispatched"
    accepted = "accepted"
    returned = "returned"
    arrived = "arrived"
    handling = "handling"
    reported = "reported"
    checking = "checking"
    rework = "rework"
    closed = "closed"
    deferred = "deferred"
    suspended = "suspended"
    merged = "merged"
    voided = "voided"


ENDED = frozenset({State.closed, State.declined, State.merged, State.voided})
OPEN = frozenset(State) - ENDED


class Role(enum.StrEnum):
    duty = "duty"
    leader = "leader"
    unit = "unit"
    checker = "checker"
    engineer = "engineer"
    approver = "approver"
    auditor = "auditor"
    admin = "admin"


class Action(enum.Enum):
    open = "open"  # by dispatch or a person; not in the HTTP table
    join = "join"  # another alert of the same cause joined
    upgrade = "upgrade"  # one of its alerts got worse than the case was; by dispatch
    verify = "verify"
    file = "file"
    decline = "decline"
    dispatch = "dispatch"
    accept = "accept"
    return_ = "return"
    arrive = "arrive"
    handle = "handle"
    report = "report"
    check = "check"
    rework = "rework"
    close = "close"
    reopen = "reopen"
    defer = "defer"
    suspend = "suspend"
    resume = "resume"
    merge = "merge"
    void = "void"
    escalate = "escalate"  # a clock ran out; by dispatch


class Verdict(enum.StrEnum):
    """What a person found when verifying."""

    real = "real"
    false = "false"
    test = "test"
    equipment = "equipment"
    unclear = "unclear"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One case as it stands. Work times are wall time; `event_last` is city time, for grouping."""

    case_id: str
    version: int
    state: State
    level: int  # the most severe of its alerts so far
    category: str
    network: str
    zone: str | None
    district: str | None
    unit: str | None  # lead unit
    co_units: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    condition: str = "active"  # active while any of its alerts is, else cleared
    verdict: Verdict | None = None
    resume_to: State | None = None
    returns: int = 0
    merged_into: str | None = None
    place: str | None = None
    text: str | None = None
    caller: str | None = None
    acknowledged_by: str | None = None
    acknowledged_at: dt.datetime | None = None
    opened_at: dt.datetime
    updated_at: dt.datetime
    event_first: dt.datetime | None = None
    event_last: dt.datetime | None = None
    dispatched_at: dt.datetime | None = None
    stopped_at: dt.datetime | None = None  # deferred or suspended since; its clocks stand still
    clocks: dict[str, dt.datetime] = {}  # running clocks: acknowledge, verify, on_site, close -> due
    escalated: tuple[str, ...] = ()  # clocks that ran out and were told


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a case's history; `hash` covers it and the hash before it."""

    case_id: str
    seq: int
    action: Action
    from_state: State | None
    to_state: State
    actor: str
    role: str
    at: dt.datetime
    reason: str | None = None
    evidence: dict[str, Any] = {}
    previous: str = ""
    hash: str = ""
