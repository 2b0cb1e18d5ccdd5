"""ThingsBoard's MQTT JSON, of a device and of a gateway with devices behind it.

Telemetry becomes readings; a device behind a gateway stands before the point (`Device A/temperature`), as
points are unique within what logged in. Connects, disconnects, attributes, claims and RPC are named and say
no reading; ingest/thingsboard_questions.py answers those that ask. The topic tells which is which; without
one, an object whose values are all lists of objects is a gateway's telemetry and everything else a device's.
A missing `ts` is the time of receipt.
"""

from __future__ import annotations

from ingest.formats.json_documents import loaded, milliseconds, reading
from ingest.formats.result import Bad, Item, Seen
from schemas.reading import Reason

_BESIDE = ("connect", "disconnect", "attributes", "rpc", "claim")


def decode(payload: bytes, topic: str | None, now_us: int) -> list[Item]:
    """The readings of one message, or what it is, or why it cannot be used."""
    document = loaded(payload)
    if isinstance(document, Bad):
        return [document]
    parts = (topic or "").split("/")
    kind = next((part for part in parts if part in _BESIDE), None)
    if kind is not None:
        device = document.get("device") if isinstance(document, dict) else None
        return [Seen(device if isinstance(device, str) else None, kind)]
    if isinstance(document, dict) and ("gateway" in parts if topic else _is_of_gateway(document)):
        items: list[Item] = []
        for device, records in document.items():
            if not isinstance(records, list):
                items.append(Bad(Reason.syntax, f"{device}: expected a list of records"))
                continue
            items += [item for record in records for item in _record(record, f"{device}/")]
        return items or [Seen(None, "empty")]
    records = document if isinstance(document, list) else [document]
    return [item for record in records for item in _record(record, "")] or [Seen(None, "empty")]


def _is_of_gateway(document: dict[str, object]) -> bool:
    return bool(document) and all(
        isinstance(records, list) and records and all(isinstance(record, dict) for record in records)
        for records in document.values()
    )


def _record(record: object, prefix: str) -> list[Item]:
    """{"ts", "values"} or the values alone."""
    if not isinstance(record, dict):
        return [Bad(Reason.syntax, "expected an object of values")]
    values, time_us = record, None
    if isinstance(record.get("values"), dict):
        values = record["values"]
        if "ts" in record:
            time_us = milliseconds(record["ts"])
            if time_us is None:
                return [
                    Bad(Reason.range, f"expected ts in milliseconds since 1970, got {record['ts']!r:.40}")
                ]
    return [reading(None, prefix + key, time_us, value) for key, value in values.items()]
