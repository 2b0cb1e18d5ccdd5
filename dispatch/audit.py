"""The hash chains of the audit: each hash of a case covers the transition and the hash before it.

Promises that a changed, missing or swapped line of a case's history is found by `verify`. A second chain goes
through the transitions of all cases (`link`), so that a case's end, or a whole case, cannot go without a gap.
Does not protect against somebody who rewrites both and every copy of them. Pure.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from schemas.case import Transition


def seal(transition: Transition, previous: str) -> Transition:
    """The transition with the hash before it ("" for the first) and its own."""
    linked = replace(transition, previous=previous, hash="")
    return replace(linked, hash=hashlib.sha256(canonical(linked)).hexdigest())


def canonical(transition: Transition) -> bytes:
    """What is hashed: sorted JSON without `hash`, times in UTC wherever the reader's clock stands."""
    in_utc = replace(transition, at=transition.at.astimezone(dt.UTC), hash="")
    content = msgspec.to_builtins(in_utc)
    del content["hash"]
    return msgspec.json.encode(content, order="sorted")


def link(before: str, transition_hash: str) -> str:
    """The next hash of the chain through all cases; `before` is "" for the first."""
    return hashlib.sha256(f"{before}\n{transition_hash}".encode()).hexdigest()


def verify(history: Iterable[Transition]) -> int | None:
    """The `seq` of the first transition of one case that does not fit, None if all do."""
    previous = ""
    for expected, transition in enumerate(history, start=1):
        if transition.seq != expected or seal(transition, previous) != transition:
            return expected
        previous = transition.hash
    return None
