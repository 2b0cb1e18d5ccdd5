"""OneNET's OneJSON (China Mobile): property posts of a device or a pack of devices, and the platform's
pushes.

The device is the gateway, named by the topic, the pack or the push. A property is a value with its own time
in milliseconds, or the value alone. Events are read as properties. A device that posts gets the reply of the
platform's documentation; a push is answered by HTTP 200. The push's signature is for the listener to check.
"""

from __future__ import annotations

import msgspec

from ingest.formats.json_documents import loaded, milliseconds, reading
from ingest.formats.result import Bad, Item, Reply, Seen
from schemas.reading import Reason

_DEEPEST = 4


def decode(payload: bytes, topic: str | None, now_us: int) -> list[Item]:
    """The readings of one message, or what it is, or why it cannot be used; and the device's reply."""
    document = loaded(payload)
    if isinstance(document, Bad):
        return [document]
    gateway = _device(topic)
    if isinstance(document, dict) and "msg" in document and "params" not in document:
        return _pushed(document["msg"])
    if not isinstance(document, dict):
        return [Bad(Reason.syntax, "expected an object")]
    params = document.get("params")
    if params is None and "code" in document:
        return [Seen(gateway, "reply")]
    items = _packed(params, gateway) if isinstance(params, list) else _properties(params, gateway)
    if topic is None or topic.endswith("/post"):
        said = document.get("id")
        reply = {"id": said if isinstance(said, str | int) else "", "code": 200, "msg": "success"}
        items.append(Reply(msgspec.json.encode(reply), f"{topic}/reply" if topic else None))
    return items


def _device(topic: str | None) -> str | None:
    """$sys/PRODUCT/DEVICE/..."""
    parts = (topic or "").split("/")
    return parts[2] if len(parts) > 3 and parts[0] == "$sys" and parts[2] else None


def _properties(params: object, gateway: str | None) -> list[Item]:
    if not isinstance(params, dict):
        return [Bad(Reason.syntax, "expected params as an object")]
    return [_property(name, said, gateway) for name, said in params.items()] or [Seen(gateway, "empty")]


def _property(name: str, said: object, gateway: str | None) -> Item:
    if not (isinstance(said, dict) and "value" in said):
        return reading(gateway, name, None, said)
    time_us = milliseconds(said["time"]) if "time" in said else None
    return reading(gateway, name, time_us, said["value"])


def _packed(params: list[object], gateway: str | None) -> list[Item]:
    """Several devices at once, as a gateway's pack/post says them."""
    items: list[Item] = []
    for one in params:
        if not isinstance(one, dict):
            items.append(Bad(Reason.syntax, "expected a device's identity and properties"))
            continue
        identity = one.get("identity")
        name = identity.get("deviceName") if isinstance(identity, dict) else None
        device = name if isinstance(name, str) and name else gateway
        for part in ("properties", "events"):
            if isinstance(one.get(part), dict):
                items += [_property(key, said, device) for key, said in one[part].items()]
    return items or [Seen(gateway, "empty")]


def _pushed(message: object, depth: int = 0) -> list[Item]:
    """What the platform pushes by HTTP: `msg` as text or object, of a thing model or of a data stream."""
    if isinstance(message, str):
        message = loaded(message.encode())
        if isinstance(message, Bad):
            return [message]
    if isinstance(message, list) and depth < _DEEPEST:
        return [item for one in message for item in _pushed(one, depth + 1)] or [Seen(None, "empty")]
    if not isinstance(message, dict):
        return [Bad(Reason.syntax, "expected msg as an object")]
    said = message.get("deviceName", message.get("dev_name", message.get("dev_id")))
    gateway = str(said) if isinstance(said, str | int) and said != "" else None
    if "ds_id" in message:
        if not isinstance(message["ds_id"], str):
            return [Bad(Reason.syntax, "expected ds_id as text")]
        return [reading(gateway, message["ds_id"], milliseconds(message.get("at")), message.get("value"))]
    data = message.get("data")
    if isinstance(data, dict) and isinstance(data.get("params"), dict | list):
        params = data["params"]
        return _packed(params, gateway) if isinstance(params, list) else _properties(params, gateway)
    return [Seen(gateway, str(message.get("notifyType", message.get("type", "push")))[:60])]
