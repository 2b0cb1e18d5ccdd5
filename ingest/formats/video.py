"""What a camera's analytics saw: events as JSON, each with a reference to its picture.

    {"camera": "37020000001320000012", "event": "smoke", "time": "2026-11-01T08:30:15+08:00", "value": 0.83,
     "picture": "https://box.example/e/8812.jpg"}

One event, a list of them, or {"device": NAME, "events": [...]}. An event is a point of the box,
CAMERA/EVENT: its probability, depth, number of people or, without a value, that it is so (`"state": "end"`
says that it is no more). The picture's address is the text of CAMERA/EVENT-picture at the same time. A
picture itself is not taken (`unsupported`), only where to fetch it. Our own form: makers' boxes differ, and
what they send is mapped to this at their end.
"""

from __future__ import annotations

import datetime as dt
import re

from ingest.formats.digits import LOCAL
from ingest.formats.json_documents import loaded, milliseconds, reading
from ingest.formats.result import Bad, Item, Reading, Seen
from schemas.clock import to_us
from schemas.reading import Reason

MOST_EVENTS = 10_000
LONGEST_ADDRESS = 2_048
_NAME = re.compile(r"[\w.:-]{1,100}")
_ADDRESS = re.compile(r"(?:https?|rtsps?|ftps?|s3)://[!-~]+")
_STATES = {"start": True, "begin": True, "on": True, "end": False, "stop": False, "off": False}


def decode(payload: bytes, topic: str | None, now_us: int) -> list[Item]:
    """The readings of one message, or why an event of it cannot be used."""
    document = loaded(payload)
    if isinstance(document, Bad):
        return [document]
    device, events = None, document if isinstance(document, list) else [document]
    if isinstance(document, dict) and "events" in document:
        device, listed = document.get("device"), document["events"]
        if not isinstance(listed, list):
            return [Bad(Reason.syntax, "expected events as a list")]
        events = listed
    if len(events) > MOST_EVENTS:
        return [Bad(Reason.range, f"expected at most {MOST_EVENTS} events, got {len(events)}")]
    whose = device if isinstance(device, str) and device else None
    return [item for one in events for item in _event(one, whose)] or [Seen(whose, "empty")]


def _event(said: object, device: str | None) -> list[Item]:
    if not isinstance(said, dict):
        return [Bad(Reason.syntax, "expected an event as an object")]
    camera, event = said.get("camera"), said.get("event")
    for word, given in (("camera", camera), ("event", event)):
        if not (isinstance(given, str) and _NAME.fullmatch(given)):
            return [Bad(Reason.syntax, f"expected a name as {word}: letters, digits, _ . : -")]
    time_us = _moment(said.get("time"))
    if time_us is None and said.get("time") is not None:
        return [Bad(Reason.syntax, "expected time as RFC 3339 or milliseconds since 1970")]
    point = f"{camera}/{event}"
    value = said.get("value")
    if value is None:
        state = _STATES.get(str(said.get("state", "start")))
        if state is None:
            return [Bad(Reason.syntax, f"{point}: expected state start or end")]
        value = state
    seen = reading(device, point, time_us, value)
    unit = said.get("unit")
    if isinstance(seen, Reading) and isinstance(unit, str) and unit:
        seen = seen._replace(unit=unit)
    return [seen, *_picture(said.get("picture"), device, point, time_us)]


def _picture(said: object, device: str | None, point: str, time_us: int | None) -> list[Item]:
    if said is None or said == "":
        return []
    if not isinstance(said, str) or not _ADDRESS.fullmatch(said):
        return [
            Bad(Reason.unsupported, f"{point}: expected the picture's address (https://...), not a picture")
        ]
    if len(said) > LONGEST_ADDRESS:
        return [Bad(Reason.length, f"{point}: expected an address of at most {LONGEST_ADDRESS} characters")]
    return [Reading(device, f"{point}-picture", time_us, said)]


def _moment(said: object) -> int | None:
    """RFC 3339, local where it has no zone; or milliseconds."""
    if not isinstance(said, str):
        return milliseconds(said)
    try:
        found = dt.datetime.fromisoformat(said)
        return to_us(found if found.tzinfo else found.replace(tzinfo=LOCAL))
    except (ValueError, OverflowError):
        return None
