"""What a gateway may publish in its own topics beside SenML: `up/{gateway}/FORM`.

    v1/devices/me/telemetry   ThingsBoard, a device        v1/gateway/telemetry   a gateway with devices
    v1.1/Datastreams(42)/Observations   SensorThings       onenet                 OneJSON
    video                               what a camera's analytics saw
    dlt645, cjt188, modbus, hj212, gb26875, sl651          frames that the gateway carries for its devices

A gateway that carries frames sends them as bytes, one behind the other, or as JSON {"time", "frames": [HEX],
"registers"}: `time` (RFC 3339) is for readings that have none, `registers` names those of Modbus answers. The
device's address stands before the point (`1/reg:0`), as points are unique within their gateway.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable
from typing import Annotated

import msgspec

from ingest.decoded import Decoded, Rejected
from ingest.formats import modbus, sensorthings, thingsboard
from ingest.formats.by_name import JSON_MESSAGES, STREAMS
from ingest.formats.columns import whole
from ingest.formats.meanings import meant
from ingest.formats.result import Bad, Item, Reading
from ingest.formats.stream import StreamFormat, decode_all
from schemas.clock import to_us
from schemas.reading import Reason
from schemas.registry import Registry

MOST_FRAMES = 10_000

Decode = Callable[[bytes, str, Registry, int], Decoded | Rejected]
"""(payload, gateway, registry, time of receipt) to readings of that gateway."""


class _Carried(msgspec.Struct, forbid_unknown_fields=True):
    frames: Annotated[list[str], msgspec.Meta(max_length=MOST_FRAMES)]
    time: Annotated[dt.datetime, msgspec.Meta(tz=True)] | None = None
    registers: tuple[modbus.Register, ...] = ()


_carried = msgspec.json.Decoder(_Carried)


def of(form: str) -> Decode | None:
    """How a form is read; None for one that nobody knows."""
    if form in STREAMS:
        return functools.partial(_frames, form)
    if form.startswith("v1.1/"):
        return functools.partial(_message, sensorthings.decode, form)
    if form.startswith("v1/"):
        return functools.partial(_message, thingsboard.decode, form)
    if form in ("onenet", "video"):
        return functools.partial(_message, JSON_MESSAGES[form], None)
    return None


def excerpt(payload: bytes, places: object) -> bytes:
    """A message of these forms is small, and a reading that was refused is shown with all of it."""
    return payload


def _message(
    decode: Callable[[bytes, str | None, int], list[Item]],
    topic: str | None,
    payload: bytes,
    gateway: str,
    registry: Registry,
    received_us: int,
) -> Decoded | Rejected:
    return whole(decode(payload, topic, received_us), received_us, payload)


def _frames(
    form: str, payload: bytes, gateway: str, registry: Registry, received_us: int
) -> Decoded | Rejected:
    items: list[Item] = []
    time_us: int | None = None
    if payload[:1] == b"{":
        try:
            carried = _carried.decode(payload)
            pieces = [bytes.fromhex(one) for one in carried.frames]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            detail = f'expected {{"frames": [HEX, ...]}}: {error}'
            return Rejected(Reason.syntax, payload, detail)
        time_us = to_us(carried.time) if carried.time is not None else None
        stream = STREAMS[form]
        if form == "modbus" and carried.registers:
            mapped = functools.partial(modbus.decode_mapped, registers=carried.registers)
            stream = StreamFormat(stream.shape, mapped)
        for piece in pieces:
            items += decode_all(stream, piece)
    else:
        items = decode_all(STREAMS[form], payload)
    named = [_named(item, time_us, gateway, registry) for item in items]
    return whole(named or [Bad(Reason.syntax, f"expected frames of {form}")], received_us, payload)


def _named(item: Item, time_us: int | None, gateway: str, registry: Registry) -> Item:
    if not isinstance(item, Reading):
        return item
    point = f"{item.gateway}/{item.point}" if item.gateway else item.point
    when = item.time_us if item.time_us is not None else time_us
    return meant(item._replace(point=point, time_us=when), gateway, registry)
