"""Readings of any protocol as the columns that ingest resolves, one table a gateway.

Judges what only receipt can judge, as SenML's decoder does: a reading without a time has that of its receipt,
one from before 2000 or from more than a day ahead is refused (`range`), one from more than five minutes ahead
is suspect. A name that cannot be kept is refused (`syntax`); so is a reading whose value the device itself
says it does not have (`range`), since the city's records hold numbers and texts, not their absence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from ingest.decoded import Decoded, Refused, Rejected
from ingest.formats.result import Bad, Item, Reading
from ingest.formats.senml import NAME_LIMIT
from schemas.reading import EARLIEST_US, FUTURE_REJECT_US, FUTURE_SUSPECT_US, Flag, Quality, Reason

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


def columns(items: Iterable[Item], received_us: int) -> dict[str | None, Decoded]:
    """By gateway; `index` is a reading's place among the readings of its gateway. What is no reading is left
    to the caller."""
    tables: dict[str | None, list[Reading]] = {}
    for item in items:
        if isinstance(item, Reading):
            tables.setdefault(item.gateway, []).append(item)
    return {gateway: _table(readings, received_us) for gateway, readings in tables.items()}


def whole(items: Sequence[Item], received_us: int, raw: bytes) -> Decoded | Rejected:
    """All readings as one gateway's, whosever they say they are; what is bad among them is refused beside
    them, and a message of which nothing else is left is rejected. Places of bad ones come behind the good."""
    readings = [item for item in items if isinstance(item, Reading)]
    bad = [item for item in items if isinstance(item, Bad)]
    if bad and not readings:
        return Rejected(bad[0].reason, raw, bad[0].detail, bad[0].at, records=len(bad))
    table = _table(readings, received_us)
    table.refused += [Refused(len(readings) + at, one.reason, one.detail) for at, one in enumerate(bad)]
    return table


def _table(readings: list[Reading], received_us: int) -> Decoded:
    refused: list[Refused] = []
    kept: list[tuple[int, Reading]] = []
    for place, reading in enumerate(readings):
        wrong = _wrong(reading, received_us)
        if wrong is None:
            kept.append((place, reading))
        else:
            refused.append(Refused(place, wrong[0], f"record {place}: {wrong[1]}", reading.point))
    texts: dict[str, int] = {}
    value = np.empty(len(kept), np.float64)
    flags = np.empty(len(kept), np.uint8)
    time = np.empty(len(kept), np.int64)
    quality = np.empty(len(kept), np.uint8)
    for at, (_, reading) in enumerate(kept):
        said = reading.value
        if isinstance(said, str):
            value[at], flags[at] = texts.setdefault(said, len(texts)), Flag.text
        else:
            value[at] = said
            flags[at] = Flag.boolean if isinstance(said, bool) else Flag.number
        time[at] = received_us if reading.time_us is None else reading.time_us
        is_doubtful = time[at] - received_us > FUTURE_SUSPECT_US and reading.quality is Quality.good
        quality[at] = Quality.suspect if is_doubtful else reading.quality
    return Decoded(
        [reading.point for _, reading in kept],
        [reading.unit for _, reading in kept],
        time,
        value,
        quality,
        flags,
        np.array([place for place, _ in kept], np.int64),
        np.array([reading.time_us is None for _, reading in kept], bool),
        list(texts),
        refused,
    )


def _wrong(reading: Reading, received_us: int) -> tuple[Reason, str] | None:
    if not 0 < len(reading.point) <= NAME_LIMIT or _UNPRINTABLE.search(reading.point):
        return Reason.syntax, f"expected a name of 1 to {NAME_LIMIT} printable characters"
    if reading.value is None:
        return Reason.range, "the device says that it has no value"
    if isinstance(reading.value, str) and "\0" in reading.value:
        return Reason.syntax, "expected a text without NUL"
    time_us = reading.time_us
    if time_us is not None and not EARLIEST_US <= time_us <= received_us + FUTURE_REJECT_US:
        seconds = time_us / 1e6
        return Reason.range, f"expected a time from 2000 to one day ahead of receipt, got {seconds:.6f} s"
    return None
