"""OGC SensorThings 1.1 observations over MQTT: one, or a data array of several datastreams.

The point is the datastream as the topic or the body names it, `Datastreams(42)`; without either it is
`result`. A period (`from/to`) counts from its beginning, as the city's other periods do. A time without an
offset is none. Results that are objects or lists are `unsupported`. Version 2.0 is not read.
"""

from __future__ import annotations

import datetime as dt
import re

from ingest.formats.json_documents import loaded, reading
from ingest.formats.result import Bad, Item
from schemas.clock import to_us
from schemas.reading import Reason

_DATASTREAM = re.compile(r"(?:Multi)?Datastreams\([^()/]+\)")


def decode(payload: bytes, topic: str | None, now_us: int) -> list[Item]:
    """The readings of one message, or why it cannot be used."""
    document = loaded(payload)
    if isinstance(document, Bad):
        return [document]
    found = _DATASTREAM.search(topic or "")
    named = found[0] if found else None
    documents = document if isinstance(document, list) else [document]
    return [item for one in documents for item in _observations(one, named)] or [
        Bad(Reason.syntax, "expected an observation, got an empty list")
    ]


def _observations(document: object, named: str | None) -> list[Item]:
    if not isinstance(document, dict):
        return [Bad(Reason.syntax, "expected an observation as an object")]
    point = named or _datastream(document) or "result"
    components, rows = document.get("components"), document.get("dataArray")
    if isinstance(components, list) and isinstance(rows, list):
        return [_row(components, row, point) for row in rows]
    return [_observation(document, point)]


def _row(components: list[object], row: object, point: str) -> Item:
    if not isinstance(row, list) or not all(isinstance(name, str) for name in components):
        return Bad(Reason.syntax, f"{point}: expected rows of the components")
    return _observation({str(name): value for name, value in zip(components, row, strict=False)}, point)


def _observation(said: dict[str, object], point: str) -> Item:
    if "result" not in said:
        return Bad(Reason.syntax, f"{point}: expected a result")
    time_us = _moment(said.get("phenomenonTime"))
    if time_us is None:
        time_us = _moment(said.get("resultTime"))
    return reading(None, point, time_us, said["result"])


def _datastream(document: dict[str, object]) -> str | None:
    link = document.get("Datastream")
    number = link.get("@iot.id") if isinstance(link, dict) else None
    if isinstance(number, bool) or not isinstance(number, int | str):
        return None
    return f"Datastreams({number})" if isinstance(number, int) else f"Datastreams('{number}')"


def _moment(said: object) -> int | None:
    if not isinstance(said, str):
        return None
    try:
        return to_us(dt.datetime.fromisoformat(said.partition("/")[0]))
    except (ValueError, OverflowError):
        return None
