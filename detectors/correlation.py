"""Alerts of one cause across networks, decided over alerts alone and in event time.

A table of pairs of categories; two alerts are linked when they stand in one zone and began within the pair's
window of each other. It says that they belong together, not which of them caused the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.alert import Alert

MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Link:
    """A reason why alerts of these categories are one matter."""

    name: str
    one: frozenset[str]
    other: frozenset[str]
    within_s: float
    text_zh: str
    text_en: str


LINKS = (
    Link(
        name="gas-leak-sewer",
        one=frozenset({"gas_manhole_methane", "gas_station_leak", "gas_lpg_leak", "gas_commercial_leak"}),
        other=frozenset({"drain_sewer_methane"}),
        within_s=30 * MINUTE_S,
        text_zh="燃气泄漏可能窜入同片区污水管网",
        text_en="leaking gas may have entered the sewers of the same zone",
    ),
)


def linked(a: Alert, b: Alert) -> Link | None:
    """The first link of the table between two alerts, in either order; None if there is none."""
    if a.zone is None or a.zone != b.zone or a.category is None or b.category is None:
        return None
    apart_s = abs((a.since - b.since).total_seconds())
    for link in LINKS:
        pair = (a.category in link.one and b.category in link.other) or (
            b.category in link.one and a.category in link.other
        )
        if pair and apart_s <= link.within_s:
            return link
    return None
