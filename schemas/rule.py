"""A rule 预警规则: which sensors it looks at, with which detector, and when it raises which level.

Rules are data: YAML files that people review, JSON on the compacted `rules` topic, both of the shape
below. A rule's version is the hash of its content, so equal content is one version wherever it came from.
Cells of `levels` are written in the catalogue's threshold language (detectors/expression.py).
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec
import yaml

Detector = Literal["threshold", "stuck", "silence", "ewma", "blind-area", "plausible", "spike", "seasonal"]
Mode = Literal["live", "canary", "shadow", "draft"]


class Selector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which sensors: empty means all. Categories are catalogue keys."""

    categories: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    name: str
    title_zh: str
    title_en: str
    detector: Detector
    network: str  # whose alert it is: the catalogue's domain, "device" for faults of our own equipment
    mode: Mode = "shadow"
    selector: Selector = Selector()
    levels: dict[int, str] = {}  # level 1-4 -> threshold cell
    hold: str = "-"  # the catalogue's hold_or_window, for conditions without their own `for`
    params: dict[str, float] = {}
    source: str = ""
    confidence: Literal["sourced", "well-known", "judgement"] = "judgement"

    @property
    def version(self) -> str:
        """First 8 bytes, hex, of SHA-256 over the content without `mode`: promoting keeps the version."""
        content = msgspec.to_builtins(msgspec.structs.replace(self, mode="draft"), str_keys=True)
        return hashlib.sha256(msgspec.json.encode(content, order="sorted")).digest()[:8].hex()


class RulesMarker(msgspec.Struct, frozen=True, tag="version", tag_field="type"):
    """The rules before this one on the topic belong together as version `version` of the set."""

    version: int
    by: str = ""


class RuleEntry(msgspec.Struct, frozen=True, tag="rule", tag_field="type"):
    """A rule as published, with who did it. A `draft` rule on the topic is switched off."""

    rule: Rule
    by: str = ""


Entry = RuleEntry | RulesMarker

_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


class RuleError(ValueError):
    """A rule file that is no rule; the message says what was expected, what came, and where."""


def encode(entry: Entry) -> bytes:
    return msgspec.json.encode(entry)


def decode(data: bytes) -> Entry:
    """One entry of the `rules` topic. Raises msgspec.DecodeError."""
    return _decoder.decode(data)


def from_yaml(text: str, where: str = "rule") -> Rule:
    """One rule from a YAML document. Raises RuleError with the place."""
    try:
        content: Any = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        raise RuleError(f"{at}: {error.problem}") from None
    try:
        return msgspec.convert(content, Rule, strict=False)
    except msgspec.ValidationError as error:
        raise RuleError(f"{where}: {error}") from None
