"""What rules in shadow would have raised, beside what rules of the same name raised live.

Read from `alerts-shadow` and `alerts`, where each alert stands with all its changes; what is raised in shadow
never reaches the database. A row is a version of a rule, as it is its limits that are judged; a rule in
shadow that raised nothing has one, too. Times are the city's. What was raised of sensors in commissioning or
maintenance does not count: live, nobody would have been told.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from cityvigil import rule_set
from cityvigil.flow import log
from cityvigil.rule_set import RuleSet
from schemas import topics
from schemas.alert import Alert
from schemas.clock import CityClock, to_datetime, to_us

LEVELS = (1, 2, 3, 4)
DAY = dt.timedelta(days=1)
EARLIER_MS = 3_600_000
"""An alert is written after what it is about, but for clocks that run ahead: so much earlier is read, too."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted of an alert's message; decoding its evidence, too, takes more than twice as long."""

    alert_id: str
    seq: int
    change: Literal["raise", "upgrade", "downgrade", "update", "clear"]
    rule: str
    rule_version: str
    subject: str
    worst: int
    state: Literal["active", "cleared"]
    observed_at: dt.datetime
    suppressed: str | None = None


_decoder = msgspec.json.Decoder(Said)


@dataclass(slots=True)
class Episode:
    """One alert as far as it was read: how it rose, the worst it came to, whether it still stands."""

    rule: str
    version: str
    subject: str
    seq: int = 0  # the newest read
    worst: int = 4
    is_open: bool = True
    is_told: bool = False  # once at least its sensor was in service
    raised_at: dt.datetime | None = None  # None: the raise was not read, it is older


@dataclass(frozen=True, slots=True)
class Count:
    """What was raised in a window. `a_day` is None where it is not known for how long."""

    alerts: int
    levels: Mapping[int, int]
    subjects: int
    a_day: float | None
    open_share: float | None
    first: dt.datetime | None
    last: dt.datetime | None

    def as_data(self) -> dict[str, Any]:
        return {
            "alerts": self.alerts,
            "levels": {str(level): number for level, number in self.levels.items()},
            "subjects": self.subjects,
            "a_day": self.a_day,
            "open_share": self.open_share,
            "first": self.first and self.first.isoformat(),
            "last": self.last and self.last.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Row:
    rule: str
    version: str
    in_shadow: bool  # now, in this very version
    shadow: Count
    live: Count | None  # of all versions of the name; None if none raised anything


def add(found: dict[str, Episode], message: Alert | Said) -> None:
    """Takes a message into the episode of its alert; repeats and another order change nothing."""
    one = found.setdefault(message.alert_id, Episode(message.rule, message.rule_version, message.subject))
    if message.change == "raise":
        one.raised_at, one.version = message.observed_at, message.rule_version
    if message.seq > one.seq:
        one.seq, one.worst, one.is_open = message.seq, message.worst, message.state == "active"
    one.is_told |= message.suppressed is None


def rows(
    known: RuleSet,
    shadow: Iterable[Episode],
    live: Iterable[Episode],
    since: dt.datetime,
    until: dt.datetime,
    clock: CityClock,
) -> list[Row]:
    """By name and version, the noisiest first. What was raised from `since` to `until` counts."""
    quiet: dict[tuple[str, str], list[Episode]] = {
        (rule.name, rule.version): [] for rule in known.rules.values() if rule.mode == "shadow"
    }
    in_shadow = set(quiet)
    told: dict[str, list[Episode]] = {}
    for one in _within(shadow, since, until):
        quiet.setdefault((one.rule, one.version), []).append(one)
    for one in _within(live, since, until):
        told.setdefault(one.rule, []).append(one)

    def days(name: str) -> float:
        """Of the window, those in which the rule stood as it stands now."""
        begun = to_datetime(clock.city_us(known.since_ms[name] * 1_000))
        return (until - max(since, begun)) / DAY

    found = []
    for (name, version), raised in quiet.items():
        stands = (name, version) in in_shadow
        is_live = name in known.rules and known.rules[name].mode in ("live", "canary")
        found.append(
            Row(
                name,
                version,
                stands,
                count(raised, days(name) if stands else None),
                count(told[name], days(name) if is_live else None) if name in told else None,
            )
        )
    return sorted(found, key=lambda row: (-row.shadow.alerts, row.rule, row.version))


def count(found: Sequence[Episode], days: float | None) -> Count:
    number = len(found)
    times = [one.raised_at for one in found if one.raised_at is not None]
    return Count(
        alerts=number,
        levels={level: sum(one.worst == level for one in found) for level in LEVELS},
        subjects=len({one.subject for one in found}),
        a_day=round(number / days, 2) if days is not None and days > 0 else None,
        open_share=round(sum(one.is_open for one in found) / number, 3) if number else None,
        first=min(times, default=None),
        last=max(times, default=None),
    )


async def read(kafka: str, since: dt.datetime, until: dt.datetime, clock: CityClock) -> list[Row]:
    """Reads both topics from when `since` was: an alert's newest message says if it is open."""
    since_ms = clock.wall_us(to_us(since)) // 1_000 - EARLIER_MS
    shadow, live = dict[str, Episode](), dict[str, Episode]()
    for topic, found in ((topics.ALERTS_SHADOW, shadow), (topics.ALERTS, live)):
        ends = await log.ends_of(kafka, topic)
        async for _, value in log.messages(kafka, topic, ends, since_ms):
            add(found, _decoder.decode(value))
    return rows(await rule_set.read(kafka), shadow.values(), live.values(), since, until, clock)


def _within(found: Iterable[Episode], since: dt.datetime, until: dt.datetime) -> list[Episode]:
    return [
        one for one in found if one.is_told and one.raised_at is not None and since <= one.raised_at <= until
    ]
