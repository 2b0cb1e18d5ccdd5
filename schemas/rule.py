"""A rule 预警规则: which sensors it looks at, with which detector, and when it raises which level.

Rules are data: YAML files that people review, JSON on the compacted `rules` topic, both of the shape
below (`rule.schema.json`). A rule's version is the hash of its content, so equal content is one version
wherever it came from. Cells of `levels` are written in the threshold language (detectors/expression.py).
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any, Literal

import msgspec
import yaml

from schemas import document
from schemas.card import Card
from schemas.model import Model

Detector = Literal[
    "threshold", "stuck", "silence", "ewma", "cusum", "noise-change", "blind-area", "clock", "plausible",
    "spike", "seasonal", "novelty", "balance", "neighbours", "fitted", "locate", "night-flow", "modal",
    "front",
]  # fmt: skip
Mode = Literal["live", "canary", "shadow", "draft"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun", "workday", "dayoff"]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Selector(_Part, frozen=True):
    """Which sensors: all that fit every list; an empty list fits all. Categories are catalogue keys."""

    categories: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()  # a sensor needs all of these

    def fits(self, zone: str | None, asset: str | None, tags: tuple[str, ...]) -> bool:
        """Whether a sensor of one of the categories is meant."""
        return (
            (not self.zones or zone in self.zones)
            and (not self.assets or asset in self.assets)
            and set(self.tags) <= set(tags)
        )


class Schedule(_Part, frozen=True):
    """When the rule looks, in the city's time; outside nothing is raised and what is open falls."""

    hours: tuple[str, ...] = ()  # "06:00-22:00"; "22:00-06:00" passes midnight
    days: tuple[Day, ...] = ()
    months: tuple[int, ...] = ()


class Group(_Part, frozen=True):
    """A level counts only while so many sensors of the same category in the zone (or at the asset), this
    one included, have a newest value beyond the same limits, none of them older than `within_s`."""

    at_least: int
    by: Literal["zone", "asset"] = "zone"
    within_s: float = 600.0


class Role(_Part, frozen=True):
    """Sensors that take part in a group beside those of the selector: all that fit both lists."""

    categories: tuple[str, ...] = ()  # empty: the selector's
    tags: tuple[str, ...] = ()
    by: str = ""  # the word of their tags, where a border meter is one group's inlet and another's outlet
    optional: bool = False


class Members(_Part, frozen=True):
    """Who is judged together: what stands in one zone, at one asset, or bears one tag WORD:NAME."""

    by: str = "zone"  # zone | asset | WORD
    roles: dict[str, Role] = {}
    every_s: float = 300.0  # of city time, between two judgements
    within_s: float = 0.0  # an older value is unknown; 0: three of the member's own intervals


class Messages(_Part, frozen=True):
    """What an alert says in place of the detector's own words. Places: see detectors/wording.py."""

    zh: str = ""
    en: str = ""


class Other(_Part, frozen=True, kw_only=True):
    """Another sensor of a test's city, which reports whenever the tested one does."""

    category: str
    values: tuple[float | str, ...]
    same_asset: bool = True
    tags: tuple[str, ...] = ()


class Trial(_Part, frozen=True, kw_only=True):
    """Readings in, messages out: "raise 2", "upgrade 1 at 35 min", "clear". Values: a number, or "0.02 x 30"
    for a run of them; the sensor reports every `every_s` from `start` (city time) on."""

    name: str
    values: tuple[float | str, ...]
    expect: tuple[str, ...] = ()
    every_s: float = 60.0
    start: str = "2026-03-02T08:00:00+08:00"
    category: str = ""  # where the rule has several
    params: dict[str, float] = {}
    others: tuple[Other, ...] = ()


class Rule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, dict=True
):
    name: str
    title_zh: str
    title_en: str
    detector: Detector
    network: str  # whose alert it is: the catalogue's domain, "device" for faults of our own equipment
    mode: Mode = "shadow"
    selector: Selector = Selector()
    levels: dict[int, str] = {}  # level 1-4 -> threshold cell
    unit: str = ""  # of the limits; "": the category's own
    hold: str = "-"  # how long a condition must last that has no `for` of its own
    hysteresis: float | None = None  # how far back behind a limit a level is kept; None: from the noise
    clear: str = ""  # how long a level must not be kept before it is left; "": as long as raising took
    schedule: Schedule | None = None
    group: Group | None = None
    members: Members | None = None
    model: Model | str | None = None  # a file beside the rule's; its content once that is read
    params: dict[str, float] = {}
    messages: Messages = Messages()
    response: Card | None = None
    asks: Literal["action", "nothing"] = "action"  # "nothing": a list to read, never an alert
    tests: tuple[Trial, ...] = ()
    source: str = ""
    confidence: Literal["sourced", "well-known", "judgement"] = "judgement"

    @functools.cached_property
    def version(self) -> str:
        """First 8 bytes, hex, of SHA-256 over the content without `mode` and `tests`: promoting a rule or
        testing it better keeps the version."""
        return _hash(msgspec.structs.replace(self, mode="draft", tests=()))

    @functools.cached_property
    def logic(self) -> str:
        """The same without words and cards: what a detector learned stays good while this is equal."""
        plain = {"title_zh": "", "title_en": "", "source": "", "confidence": "judgement"}
        return _hash(
            msgspec.structs.replace(self, mode="draft", tests=(), response=None, messages=Messages(), **plain)
        )


def _hash(rule: Rule) -> str:
    content = msgspec.to_builtins(rule, str_keys=True)
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


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a rule document; `rule.schema.json` is this."""
    schema = msgspec.json.schema(Rule)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "cityvigil rule", **schema}


def from_yaml(text: str, where: str = "rule") -> Rule:
    """One rule from a YAML document. Raises RuleError with the place."""
    try:
        content: Any = document.load(text, where)
    except document.Malformed as error:
        raise RuleError(str(error)) from None
    try:
        return msgspec.convert(content, Rule, strict=False)
    except msgspec.ValidationError as error:
        raise RuleError(f"{where}: {error}") from None


def to_yaml(rule: Rule) -> str:
    """The document that `from_yaml` reads back to the same rule."""
    content = msgspec.to_builtins(rule)
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=100)
