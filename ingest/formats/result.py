"""What the decoders of national and IoT protocols give: a list of readings, frames without readings, bad
frames and answers, in the order of the bytes.

One type for every format but SenML, whose columns (ingest/decoded.py) are made for frames of hundreds of
records. Points, values and units are still the sender's own. Times are as the sender said them, or None:
whether a time is too old or ahead of receipt is judged where receipt is known, not here.
"""

from __future__ import annotations

from typing import NamedTuple

from schemas.reading import Quality, Reason

Value = float | bool | str | None
"""None where the device itself says that it has no value."""


class Reading(NamedTuple):
    gateway: str | None
    point: str
    time_us: int | None
    value: Value
    unit: str | None = None
    quality: Quality = Quality.good
    historical: bool = False
    note: str | None = None
    """What the device says about the point, such as the place that a fire panel names."""


class Seen(NamedTuple):
    """A sound frame without readings; `frame` is its word: ack, heartbeat, read_request, ..."""

    gateway: str | None
    frame: str


class Bad(NamedTuple):
    """A frame, or a record of a message, that cannot be used. `at` is the offset of its first byte."""

    reason: Reason
    detail: str
    at: int = 0


class Reply(NamedTuple):
    """Bytes that the protocol asks us to send back; `topic` where the way back is MQTT."""

    data: bytes
    topic: str | None = None


Item = Reading | Seen | Bad | Reply


def moved(items: list[Item], by: int) -> list[Item]:
    """The same results of a frame that began `by` bytes later."""
    return [item._replace(at=item.at + by) if isinstance(item, Bad) else item for item in items]
