"""The live set of rules: what stands on the `rules` topic, and the ways to change it.

A change is its rules and then a version marker, in one go; ingest carries the marker into the readings log,
and from there on detect uses the new set. Nothing is ever rewritten: going back publishes the older content
again, as far back as the topic's history reaches (a week at the least). One change at a time is the
caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from cityvigil import compacted
from cityvigil.errors import CannotRun
from schemas import topics
from schemas.rule import Mode, Rule, RuleEntry, RulesMarker, decode, encode


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Every rule by name, drafts included; `since_ms` (wall) is when it was published as it stands, `history`
    has all that is kept of each, oldest first."""

    rules: dict[str, Rule]
    by: dict[str, str]
    since_ms: dict[str, int]
    history: dict[str, list[Rule]]
    version: int

    def named(self, name: str) -> Rule:
        if name not in self.rules:
            raise CannotRun(f"no rule is named {name}: `cityvigil rules list` shows them")
        return self.rules[name]

    def before(self, name: str) -> Rule:
        """What stood under this name before what stands there now."""
        now = self.named(name)
        for rule in reversed(self.history[name]):
            if rule != now:
                return rule
        raise CannotRun(f"{name}: no earlier content is kept")


async def read(kafka: str) -> RuleSet:
    found = RuleSet({}, {}, {}, {}, 0)
    version = 0
    async for message in compacted.read(kafka, topics.RULES):
        if message.value is None:
            continue
        try:
            entry = decode(message.value)
        except msgspec.DecodeError as error:
            raise CannotRun(f"topic rules, offset {message.offset}: {error}") from None
        if isinstance(entry, RulesMarker):
            version = entry.version
        else:
            name = entry.rule.name
            found.rules[name], found.by[name] = entry.rule, entry.by
            found.since_ms[name] = message.timestamp
            found.history.setdefault(name, []).append(entry.rule)
    return RuleSet(found.rules, found.by, found.since_ms, found.history, version)


async def publish(kafka: str, known: RuleSet, rules: Sequence[Rule], by: str) -> tuple[list[Rule], int]:
    """What of `rules` is new or changed, and the set's version with it; without a change it stays."""
    changed = [rule for rule in rules if known.rules.get(rule.name) != rule]
    if not changed:
        return [], known.version
    version = known.version + 1
    messages = [(rule.name.encode(), encode(RuleEntry(rule, by=by))) for rule in changed]
    messages.append((b"version", encode(RulesMarker(version, by=by))))
    await compacted.append(kafka, topics.RULES, messages)
    return changed, version


def in_mode(rule: Rule, mode: Mode) -> Rule:
    return msgspec.structs.replace(rule, mode=mode)
