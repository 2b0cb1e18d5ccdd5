"""The response card of the alert that stands for a case: of the rule that raised it, by its version.

Rules come from the log of rules; while that cannot be read the case is shown without its card, and says
nothing about it. Ticks stay on the desk (static/app/card.js): they are a reminder, no record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaError

from dispatch.console.desk import Desk
from schemas.card import Card, Words

log = logging.getLogger(__name__)

WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Shown:
    words: Words
    minutes: float | None  # until somebody is there, at the case's level
    tell: tuple[str, ...]
    source: str
    version: str
    changed: bool  # the alert was raised by another version of the rule
    between: str  # what stands between the parts of a list


async def of_alert(desk: Desk, alert: Mapping[str, Any], level: int, language: str) -> Shown | None:
    """None where the rule has none, is gone, or cannot be read now."""
    try:
        async with asyncio.timeout(WITHIN_S):
            rules = await desk.rules()
    except (KafkaError, TimeoutError) as error:
        log.warning("the rules cannot be read, so a case is shown without its card: %r", error)
        return None
    rule = next((rule for rule in rules if rule.name == alert["rule"]), None)
    if rule is None or rule.response is None:
        return None
    card: Card = rule.response
    zh = language == "zh-CN"
    return Shown(
        words=card.zh if zh else card.en,
        minutes=card.respond_min.get(level),
        tell=card.tell,
        source=card.source,
        version=rule.version,
        changed=rule.version != alert["rule_version"],
        between="；" if zh else "; ",
    )
