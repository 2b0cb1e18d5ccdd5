"""What must have happened by when, in wall time: acknowledge, verify, on site, close. Pure.

Targets go by category before level; they are defaults that judgement chose (docs say so). A running
clock is an entry of `Case.clocks` (kind -> due); deferral and suspension stop all of them, and a
clock that ran out is told once, to the shift leader. All levels run in clock time: a calendar of
working hours for level 4, as ordinary cases deserve, is not here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from msgspec.structs import replace

from schemas.case import ENDED, Case, State

Kind = Literal["acknowledge", "verify", "on_site", "close"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_S = dt.timedelta(seconds=1)
_MIN = dt.timedelta(minutes=1)
_H = dt.timedelta(hours=1)
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """None: no clock. On site counts from dispatch, the others from when the level was reached."""

    acknowledge: dt.timedelta
    verify: dt.timedelta | None
    on_site: dt.timedelta | None
    close: dt.timedelta


_SAME_SHIFT = _SAME_DAY = 12 * _H
"""A shift is 12 hours; "the same day" counted from a case at 23:50 would be no time at all."""

BY_LEVEL = {
    1: Target(acknowledge=_MIN, verify=3 * _MIN, on_site=30 * _MIN, close=_SAME_DAY),
    2: Target(acknowledge=5 * _MIN, verify=10 * _MIN, on_site=60 * _MIN, close=24 * _H),
    3: Target(acknowledge=15 * _MIN, verify=30 * _MIN, on_site=4 * _H, close=3 * _DAY),
    4: Target(acknowledge=2 * _H, verify=None, on_site=None, close=7 * _DAY),
}

_FIRE = Target(acknowledge=30 * _S, verify=3 * _MIN, on_site=3 * _MIN, close=_SAME_SHIFT)
_GAS = Target(acknowledge=2 * _MIN, verify=3 * _MIN, on_site=30 * _MIN, close=24 * _H)
_UNDERPASS = Target(acknowledge=_MIN, verify=3 * _MIN, on_site=10 * _MIN, close=_SAME_DAY)
_HOMECARE = Target(acknowledge=5 * _MIN, verify=10 * _MIN, on_site=30 * _MIN, close=_SAME_DAY)
_COVER = Target(acknowledge=5 * _MIN, verify=10 * _MIN, on_site=30 * _MIN, close=6 * _H)
_HEAT_3 = Target(acknowledge=15 * _MIN, verify=30 * _MIN, on_site=1 * _H, close=24 * _H)
_WATER_3 = Target(acknowledge=15 * _MIN, verify=30 * _MIN, on_site=2 * _H, close=24 * _H)


def target(category: str, network: str, level: int) -> Target:
    """What is promised for a case of this category at this level.

    >>> target("gas_manhole_methane", "gas", 1).acknowledge, target("gas_flow_rate", "gas", 1).acknowledge
    (datetime.timedelta(seconds=120), datetime.timedelta(seconds=60))
    """
    match category, network, level:
        case _, "device", _:  # a stuck gas sensor is no gas leak
            return BY_LEVEL[level]
        case _, "fire", 1 | 2:
            return _FIRE
        case "gas_manhole_methane" | "gas_station_leak", _, 1 | 2 | 3:  # from 20 %LEL up
            return _GAS
        case "drain_underpass_water_depth", _, 1 | 2 | 3:  # from 0.15 m up
            return _UNDERPASS
        case _, "homecare", 1 | 2:
            return _HOMECARE
        case "drain_manhole_cover_tilt", _, _:
            return _COVER
        case _, "heat", 3:
            return _HEAT_3
        case _, "water", 3:
            return _WATER_3
    return BY_LEVEL[level]


def started(case: Case) -> Case:
    """A new case's clocks, from when it was opened."""
    return _with(case, _counted(case, case.opened_at, ("acknowledge", "verify", "close")))


def acknowledged(case: Case, by: str, now: dt.datetime) -> Case:
    """Somebody has seen it: that clock ends. The first to do so stays on record."""
    return _with(replace(case, acknowledged_by=by, acknowledged_at=now), _without(case, "acknowledge"))


def worsened(case: Case, now: dt.datetime) -> Case:
    """The level rose: it must be seen again, and what still runs ends by the new level's target."""
    running = tuple(kind for kind in KINDS if kind in case.clocks and kind != "acknowledge")
    sooner = {kind: min(case.clocks[kind], due) for kind, due in _counted(case, now, running).items()}
    again = {} if case.state in ENDED else _counted(case, now, ("acknowledge",))
    if case.state is State.detected and "verify" not in case.clocks:
        again |= _counted(case, now, ("verify",))
    fresh = replace(
        case,
        acknowledged_by=None,
        acknowledged_at=None,
        escalated=tuple(kind for kind in case.escalated if kind != "acknowledge"),
    )
    return _with(fresh, {**case.clocks, **sooner, **again})


def moved(before: Case, after: Case, now: dt.datetime) -> Case:
    """The clocks after a change of state: started, ended, stopped or going on."""
    clocks = dict(after.clocks)
    escalated = after.escalated
    if after.state in ENDED:
        return replace(after, clocks={}, stopped_at=None, resume_to=None)
    if before.state in ENDED:  # reopened
        clocks = _counted(after, now, ("close",))
        escalated = ()
    if after.state is not State.detected:
        clocks.pop("verify", None)
    if after.state is State.dispatched:
        clocks |= _counted(after, now, ("on_site",))
        escalated = tuple(kind for kind in escalated if kind != "on_site")
    elif (after.resume_to or after.state) is not State.accepted:
        clocks.pop("on_site", None)
    if before.stopped_at is not None and after.resume_to is None:
        stood = now - before.stopped_at
        clocks = {kind: due + stood for kind, due in clocks.items()}
        after = replace(after, stopped_at=None)
    return replace(after, clocks=clocks, escalated=escalated)


def tell_at(case: Case) -> Iterator[tuple[dt.datetime, Kind]]:
    """When each running clock that was not told yet must be told: when due, but an
    acknowledgement one more of its own time later (1 min, told at 2)."""
    if case.stopped_at is not None:
        return
    for kind in KINDS:
        if kind in case.clocks and kind not in case.escalated:
            grace = dt.timedelta()
            if kind == "acknowledge":
                grace = target(case.category, case.network, case.level).acknowledge
            yield case.clocks[kind] + grace, kind


def next_clock_at(case: Case) -> dt.datetime | None:
    return min((moment for moment, _ in tell_at(case)), default=None)


def to_tell(case: Case, now: dt.datetime) -> tuple[Kind, ...]:
    """The clocks that have to be told now, the longest overdue first."""
    return tuple(kind for moment, kind in sorted(tell_at(case)) if moment <= now)


def due_at(case: Case) -> dt.datetime | None:
    """When the next thing must have happened; None while the clocks stand still or none runs."""
    return None if case.stopped_at else min(case.clocks.values(), default=None)


def overdue(case: Case, now: dt.datetime) -> tuple[Kind, ...]:
    if case.stopped_at is not None:
        return ()
    return tuple(kind for kind in KINDS if kind in case.clocks and case.clocks[kind] < now)


def unverified_in_time(case: Case, now: dt.datetime) -> bool:
    """Whether nobody verified a level 1 case in its time, so that it may be dispatched without."""
    due = case.clocks.get("verify")
    return case.level == 1 and case.state is State.detected and due is not None and due <= now


def return_over(case: Case, now: dt.datetime) -> bool:
    """Whether the unit's time to return an assignment has passed."""
    allowed = 5 * _MIN if case.level <= 2 else 30 * _MIN
    return case.dispatched_at is not None and now - case.dispatched_at > allowed


def _counted(case: Case, now: dt.datetime, kinds: tuple[Kind, ...]) -> dict[str, dt.datetime]:
    goal = target(case.category, case.network, case.level)
    spans = {kind: getattr(goal, kind) for kind in kinds}
    return {kind: now + span for kind, span in spans.items() if span is not None}


def _without(case: Case, kind: Kind) -> dict[str, dt.datetime]:
    return {name: due for name, due in case.clocks.items() if name != kind}


def _with(case: Case, clocks: dict[str, dt.datetime]) -> Case:
    return replace(case, clocks=clocks)
