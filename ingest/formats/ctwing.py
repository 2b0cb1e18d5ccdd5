"""CTWing's pushes (China Telecom's platform of NB-IoT devices), with the older OceanConnect form.

The device is the gateway. A payload of properties becomes readings at the report's time; what a meter stored
(`items` with times of their own, local) becomes readings at those times. Raw bytes (`APPdata`, or a
hexadecimal `payload`) are decoded by the format that the registry names for the device (a meter's, a register
block's), else `unsupported`. Reports of other kinds are named. The push itself is answered by HTTP 200, not
by bytes.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from collections.abc import Callable, Mapping

from ingest.formats.digits import LOCAL
from ingest.formats.json_documents import loaded, milliseconds, reading
from ingest.formats.result import Bad, Item, Reading, Seen
from schemas.clock import to_us
from schemas.reading import Reason

Inner = Callable[[bytes], list[Item]]
"""Decodes the raw bytes of a device."""

_REPORTS = frozenset({"dataReport", "dataReportTupUnion", "eventReport"})
_CONTENTS = ("payload", "eventContent", "data")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_TIMES = ("time", "readTime", "collectTime", "eventTime", "ts")
_DEEPEST = 8


def decode(payload: bytes, topic: str | None, now_us: int, inner: Inner | None = None) -> list[Item]:
    """The readings of one push, or what it is, or why it cannot be used."""
    document = loaded(payload)
    if isinstance(document, Bad):
        return [document]
    if not isinstance(document, dict):
        return [Bad(Reason.syntax, "expected an object")]
    said = document.get("deviceId")
    gateway = said if isinstance(said, str) and said else None
    if "notifyType" in document:
        return _oceanconnect(document, gateway, inner)
    kind = str(document.get("messageType", "dataReport"))[:60]
    if kind not in _REPORTS:
        return [Seen(gateway, _CAMEL.sub("_", kind).lower())]
    content = next((document[key] for key in _CONTENTS if isinstance(document.get(key), dict)), None)
    if content is None:
        return [Bad(Reason.syntax, "expected a payload as an object")]
    time_us = milliseconds(document.get("timestamp"))
    return _values(content, gateway, time_us, inner) or [Seen(gateway, "empty")]


def _oceanconnect(document: dict[str, object], gateway: str | None, inner: Inner | None) -> list[Item]:
    kind = str(document["notifyType"])[:60]
    services = document.get("services", document.get("service"))
    services = services if isinstance(services, list) else [services]
    if kind not in ("deviceDataChanged", "deviceDatasChanged"):
        return [Seen(gateway, _CAMEL.sub("_", kind).lower())]
    items: list[Item] = []
    for service in services:
        data = service.get("data") if isinstance(service, dict) else None
        if not (isinstance(service, dict) and isinstance(data, dict)):
            items.append(Bad(Reason.syntax, "expected a service with data"))
            continue
        items += _values(data, gateway, _basic_utc(service.get("eventTime")), inner)
    return items or [Seen(gateway, "empty")]


def _values(
    said: Mapping[str, object],
    gateway: str | None,
    time_us: int | None,
    inner: Inner | None,
    prefix: str = "",
    depth: int = 0,
) -> list[Item]:
    said = _unwrapped(said)
    own = next((moment for key in _TIMES if (moment := _local(said.get(key))) is not None), None)
    time_us = own if own is not None else time_us
    items: list[Item] = []
    for key, value in said.items():
        if key in _TIMES and _local(value) is not None:
            continue
        if key in ("APPdata", "payload") and isinstance(value, str):
            items += _raw(key, value, gateway, time_us, inner)
            continue
        below = value if isinstance(value, list) else [value]
        objects = [one for one in below if isinstance(one, dict)]
        if depth < _DEEPEST and objects and len(objects) == len(below):
            for one in objects:
                items += _values(one, gateway, time_us, inner, f"{prefix}{key}.", depth + 1)
        else:
            items.append(reading(gateway, prefix + key, time_us, value))
    return items


def _unwrapped(said: Mapping[str, object]) -> Mapping[str, object]:
    """Some products wrap the properties in {"serviceId", "serviceData": {NAME: ...}}: names that are no
    point's."""
    data = said.get("serviceData")
    if not isinstance(data, dict):
        return said
    if len(data) == 1 and isinstance(only := next(iter(data.values())), dict):
        return only
    return data


def _raw(key: str, value: str, gateway: str | None, time_us: int | None, inner: Inner | None) -> list[Item]:
    try:
        data = base64.b64decode(value, validate=True) if key == "APPdata" else bytes.fromhex(value)
    except (binascii.Error, ValueError):
        form = "base64" if key == "APPdata" else "hexadecimal"
        return [Bad(Reason.syntax, f"{key}: expected {form}")]
    if inner is None:
        return [
            Bad(Reason.unsupported, f"{key}: {len(data)} raw bytes, and no format is named for this device")
        ]
    items: list[Item] = []
    for item in inner(data):
        if isinstance(item, Reading):
            when = item.time_us if item.time_us is not None else time_us
            point = f"{item.gateway}/{item.point}" if item.gateway is not None else item.point
            items.append(item._replace(gateway=gateway, point=point, time_us=when))
        elif isinstance(item, Bad):
            items.append(item._replace(at=0, detail=f"{key}, byte {item.at}: {item.detail}"))
        elif isinstance(item, Seen):
            items.append(item._replace(gateway=gateway))
    return items


def _local(said: object) -> int | None:
    """`2020-09-18 10:00:00`, local."""
    if not isinstance(said, str) or len(said) != 19 or said[10] not in " T":
        return None
    try:
        return to_us(dt.datetime.fromisoformat(said).replace(tzinfo=LOCAL))
    except ValueError:
        return None


def _basic_utc(said: object) -> int | None:
    """`20180806T093436Z`."""
    if not isinstance(said, str):
        return None
    try:
        return to_us(dt.datetime.strptime(said, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC))
    except ValueError:
        return None
