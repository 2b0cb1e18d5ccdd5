"""Who may send a notice now: the journal's lines, folded by key. Pure.

Two ways out of the house share one journal. A line `try` claims a notice before it is sent, `sent` and `dead`
end it, `failed` says when its sender tries again. Nobody touches what another holds; what a sender left
unfinished for longer than a try can take is anybody's, and counted as a repeat: it may have arrived.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from dispatch.notify.channel import Outgoing
from dispatch.urgent import Scene, merged

LEASE = dt.timedelta(seconds=20)
"""Longer than any channel tries."""


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the journal says at `at`; `notice` stands in the first try, `scene` in a line of its own."""

    what: Literal["try", "sent", "failed", "dead", "scene"]
    at: dt.datetime
    by: str
    key: str = ""
    attempt: int = 0
    due: dt.datetime | None = None  # of `failed`: when its sender tries again
    error: str | None = None
    notice: Outgoing | None = None
    scene: Scene | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What is known of one notice."""

    notice: Outgoing
    by: str
    attempt: int
    first_at: dt.datetime
    free_at: dt.datetime  # for its sender
    is_flying: bool
    ended_at: dt.datetime | None = None
    is_dead: bool = False
    error: str | None = None

    def free_for(self, by: str) -> dt.datetime:
        """From when `by` may try. Another waits as long as a try of the owner's may still take."""
        return self.free_at if by == self.by or self.is_flying else self.free_at + LEASE


class Claims:
    """The fold of all lines so far."""

    def __init__(self) -> None:
        self.by_key: dict[str, Claim] = {}
        self.scenes: tuple[Scene, ...] = ()

    def apply(self, line: Line) -> None:
        """Lines of a key whose first try is missing (a torn journal) say nothing; nothing follows an end."""
        if line.scene is not None:
            self.scenes = merged(self.scenes, line.scene)
            return
        known = self.by_key.get(line.key)
        if known is None:
            if line.what == "try" and line.notice is not None:
                self.by_key[line.key] = Claim(
                    line.notice, line.by, line.attempt, line.at, line.at + LEASE, True
                )
            return
        if known.ended_at is not None:
            return
        match line.what:
            case "try":
                changed = replace(
                    known, by=line.by, attempt=line.attempt, free_at=line.at + LEASE, is_flying=True
                )
            case "failed":
                changed = replace(known, free_at=line.due or line.at, is_flying=False, error=line.error)
            case "sent":
                changed = replace(known, ended_at=line.at, is_flying=False, error=None)
            case _:
                changed = replace(known, ended_at=line.at, is_dead=True, is_flying=False, error=line.error)
        self.by_key[line.key] = changed

    def try_of(self, notice: Outgoing, by: str, now: dt.datetime) -> Line | Claim:
        """The line by which `by` claims a notice, or the claim that stands against it."""
        known = self.by_key.get(notice.key)
        if known is None:
            return Line(what="try", at=now, by=by, key=notice.key, attempt=1, notice=notice)
        if known.ended_at is not None or now < known.free_for(by):
            return known
        return Line(what="try", at=now, by=by, key=notice.key, attempt=known.attempt + 1)

    def unfinished(self, by: str, now: dt.datetime) -> list[Claim]:
        """What `by` may try again now, oldest first."""
        free = (c for c in self.by_key.values() if c.ended_at is None and now >= c.free_for(by))
        return sorted(free, key=lambda claim: claim.first_at)

    def land(self, by: str) -> None:
        """An earlier life of `by` has ended: what it had in flight is free."""
        for key, claim in self.by_key.items():
            if claim.by == by and claim.is_flying:
                self.by_key[key] = replace(claim, free_at=claim.first_at)

    def forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.by_key.pop(key, None)
