"""A response card 处置卡: what an alert asks of people, beside it as steps that can be ticked.

A rule of level 1-3 carries one; a rule that asks nothing of anybody has nothing to raise. Where a text has no
source that can be seen its `source` says that it is judgement. The default cards are in schemas/cards.py.
"""

from __future__ import annotations

import msgspec

from schemas.unit import units


class Words(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A card in one language. `forbidden` may be empty only where nothing is."""

    consequence: str
    causes: tuple[str, ...]
    verify: tuple[str, ...]
    steps: tuple[str, ...]
    forbidden: tuple[str, ...] = ()


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`respond_min` is level -> minutes until somebody is there; `tell` are units of `units.csv`."""

    zh: Words
    en: Words
    respond_min: dict[int, float]
    tell: tuple[str, ...]
    source: str

    def missing(self, levels: frozenset[int]) -> list[str]:
        """What a rule with these levels still needs of its card, in words."""
        found = [
            f"{language}.{part}: expected at least one"
            for language, words in (("zh", self.zh), ("en", self.en))
            for part in ("causes", "verify", "steps")
            if not getattr(words, part)
        ]
        found += [f"{name}.consequence: expected a sentence" for name in ("zh", "en")
                  if not getattr(self, name).consequence.strip()]  # fmt: skip
        if not self.source.strip():
            found.append("source: expected where it comes from, or judgement")
        if not self.tell:
            found.append("tell: expected at least one unit")
        found += [f"tell: {unit!r} is no unit of units.csv" for unit in self.tell if unit not in units()]
        found += [
            f"respond_min: expected a time for level {level}"
            for level in sorted(levels & {1, 2, 3})
            if not self.respond_min.get(level, 0) > 0
        ]
        if len(self.zh.steps) != len(self.en.steps):
            found.append(f"steps: {len(self.zh.steps)} in zh, {len(self.en.steps)} in en")
        return found
