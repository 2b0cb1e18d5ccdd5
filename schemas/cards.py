"""The default response cards: `cards.yaml`, each for the categories that it names.

Facts, so a malformed one is a bug of ours and raises ValueError. What a card is stands in schemas/card.py.
"""

from __future__ import annotations

import functools
from importlib import resources

import msgspec
import yaml

from schemas.card import Card
from schemas.catalogue import catalogue


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    card: Card
    categories: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()  # default rules that are about no category


@functools.cache
def cards() -> dict[str, Card]:
    """category, or the name of a default rule that is about none -> its card."""
    text = resources.files("schemas").joinpath("cards.yaml").read_text(encoding="utf-8")
    found: dict[str, Card] = {}
    try:
        entries = msgspec.convert(yaml.safe_load(text), dict[str, _Entry], strict=False)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ValueError(f"cards.yaml: {error}") from error
    for name, entry in entries.items():
        for category in entry.categories:
            if category not in catalogue() or category in found:
                raise ValueError(f"cards.yaml, {name}: {category!r} is unknown or has a card already")
            found[category] = entry.card
        found |= dict.fromkeys(entry.rules, entry.card)
    return found
