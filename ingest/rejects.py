"""Reject records: what was refused, why, and its bytes, as they go to the `rejects` topic.

A reading that was refused alone becomes a record of its own up to `EACH` a frame and reason; the rest of that
reason share one, so that a gateway with a wrong set-up does not cost more than it sends. `count` says how
many readings each stands for, and `raw` can be decoded again by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import Counter

from ingest.decoded import Refused, Rejected
from schemas.clock import to_datetime
from schemas.reading import Reason
from schemas.reject import Reject

EACH = 20
RAW_LIMIT = 1 << 20
SOURCES_SHOWN = 2_000

READINGS = Counter("cityvigil_ingest_rejected_readings_total", "readings refused, by reason", ["reason"])
BY_SOURCE = Counter(
    "cityvigil_ingest_rejected_by_source_total", "readings refused, by gateway or sender", ["source"]
)
_shown: set[str] = set()


def of_frame(
    rejected: Rejected, source: str, received_us: int, topic: str | None, correlation: str | None
) -> list[Reject]:
    return [
        Reject(
            source=source,
            reason=rejected.reason,
            received_at=to_datetime(received_us),
            raw=rejected.raw[:RAW_LIMIT],
            detail=rejected.detail,
            topic=topic,
            correlation=correlation,
            count=rejected.records,
        )
    ]


def of_records(
    refused: Iterable[Refused],
    excerpt: Callable[[Sequence[int]], bytes],
    source: str,
    received_us: int,
    topic: str,
    correlation: str | None,
) -> list[Reject]:
    """`excerpt` gives the bytes of some records of the frame."""
    by_reason: dict[Reason, list[Refused]] = {}
    for one in refused:
        by_reason.setdefault(one.reason, []).append(one)
    groups = []
    for some in by_reason.values():
        groups += [[one] for one in some[:EACH]]
        groups += [some[EACH:]] if some[EACH:] else []
    return [
        Reject(
            source=source,
            reason=group[0].reason,
            received_at=to_datetime(received_us),
            raw=excerpt([one.index for one in group]),
            detail=group[0].detail + (f"; the same with {len(group) - 1} more" if group[1:] else ""),
            topic=topic,
            correlation=correlation,
            count=len(group),
            point=group[0].point if len(group) == 1 else None,
        )
        for group in groups
    ]


def count(reject: Reject) -> None:
    """Into the metrics; names that anybody can make up do not become ever more series."""
    READINGS.labels(reject.reason).inc(reject.count)
    if reject.source not in _shown and len(_shown) >= SOURCES_SHOWN:
        BY_SOURCE.labels("other").inc(reject.count)
        return
    _shown.add(reject.source)
    BY_SOURCE.labels(reject.source).inc(reject.count)
