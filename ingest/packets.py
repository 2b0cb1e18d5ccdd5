"""The MQTT 5 packets of ingest's session as bytes, and back: the few kinds it needs, for a stream of PUBLISH.

Pure. `Inbox` cuts what a socket gives into packets in one buffer; a payload is copied once, out of it. A
PUBLISH whose properties are no MQTT (a payload format of 7, which Mosquitto lets through) is no error: it
comes out with what follows its packet identifier as payload, so that it can be refused and acknowledged.
Anything else that is no MQTT raises ProtocolError: that is between us and the broker.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP, DISCONNECT = 2, 3, 4, 9, 13, 14
PING = b"\xc0\x00"
GOODBYE = b"\xe0\x00"
DUPLICATE = 0x08  # in the first byte of a PUBLISH
REFUSED_FROM = 0x80

BUFFER = 256 << 10
READ_AT_MOST = 128 << 10
"""A turn of the loop takes in so much, so that what it brings is on its way before more is read."""

_RETAINED_NEVER = 2
_FIXED = {0x01: 1, 0x02: 4, 0x23: 2}  # payload format, expiry, topic alias
_CONNACK_FIXED = {0x11: 4, 0x21: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x22: 2, 0x28: 1, 0x29: 1, 0x2A: 1, 0x13: 2}


class ProtocolError(RuntimeError):
    """What came is no MQTT 5, or not its place."""


class Packet(NamedTuple):
    """`body` is valid until the next one is asked for."""

    first: int
    body: memoryview

    @property
    def kind(self) -> int:
        return self.first >> 4


class Published(NamedTuple):
    topic: str
    payload: bytes
    response_topic: str | None
    correlation: bytes | None
    published_us: int  # the user property `published`, decimal microseconds; 0 if none makes sense
    mid: int
    qos: int


class Greeting(NamedTuple):
    """A CONNACK. `reason` 0 is welcome; the two limits are what the broker asks for, or the standard's."""

    reason: int
    session_present: bool
    receive_maximum: int
    keepalive_s: int | None


class _Malformed(Exception):
    """Within this module only."""


class Inbox:
    """A socket's bytes, as packets."""

    def __init__(self) -> None:
        self._view = memoryview(bytearray(BUFFER))
        self._start = self._end = 0

    def room(self) -> memoryview:
        """Where the next bytes are to be put; `filled` then says how many came."""
        if self._start == self._end:
            self._start = self._end = 0
        elif len(self._view) - self._end < READ_AT_MOST:
            self._make_room()
        return self._view[self._end : self._end + READ_AT_MOST]

    def filled(self, count: int) -> Iterator[Packet]:
        """The packets that are whole now."""
        self._end += count
        view, end = self._view, self._end
        while end - self._start >= 2:
            size, at = _length(view, self._start + 1, end)
            if at < 0 or at + size > end:
                return
            packet = Packet(view[self._start], view[at : at + size])
            self._start = at + size
            yield packet

    def _make_room(self) -> None:
        left = self._end - self._start
        view = self._view
        if len(view) - left < READ_AT_MOST:  # a packet as large as the buffer
            view = memoryview(bytearray(2 * len(view)))
        view[:left] = self._view[self._start : self._end]
        self._view, self._start, self._end = view, 0, left


_WILL = 0x04 | 1 << 3 | 0x20


def connect(
    client: str,
    user: str,
    password: str,
    keepalive_s: int,
    expiry_s: int,
    receive_maximum: int,
    will: tuple[str, bytes],
) -> bytes:
    """Without a clean start: the broker keeps the session for `expiry_s`. The will is QoS 1 and retained."""
    properties = struct.pack(">BIBH", 0x11, expiry_s, 0x21, receive_maximum)
    head = _text("MQTT") + struct.pack(">BBH", 5, 0xC0 | _WILL, keepalive_s) + _prefixed(properties)
    topic, payload = will
    last = _prefixed(b"") + _text(topic) + struct.pack(">H", len(payload)) + payload
    return _packet(0x10, head + _text(client) + last + _text(user) + _text(password))


def subscribe(mid: int, filters: Sequence[str]) -> bytes:
    """QoS 1; nothing that is retained."""
    options = bytes([1 | _RETAINED_NEVER << 4])
    wanted = b"".join(_text(one) + options for one in filters)
    return _packet(0x82, struct.pack(">HB", mid, 0) + wanted)


def publish(
    topic: str, payload: bytes, mid: int, correlation: bytes | None, *, retained: bool = False
) -> bytes:
    """QoS 1."""
    properties = b"" if correlation is None else struct.pack(">BH", 0x09, len(correlation)) + correlation
    head = _text(topic) + struct.pack(">H", mid) + _prefixed(properties)
    return _packet(0x33 if retained else 0x32, head + payload)


def puback(mid: int) -> bytes:
    return struct.pack(">BBH", 0x40, 2, mid)


def mid_of(packet: Packet) -> int:
    """Of a PUBACK or SUBACK."""
    if len(packet.body) < 2:
        raise ProtocolError("an acknowledgement without a packet identifier")
    return packet.body[0] << 8 | packet.body[1]


def reasons_of(packet: Packet) -> list[int]:
    """What a SUBACK says of each filter."""
    size, at = _length(packet.body, 2, len(packet.body))
    return list(packet.body[at + size :]) if at >= 0 else []


def reason_of(packet: Packet) -> int:
    """Of a DISCONNECT."""
    return packet.body[0] if len(packet.body) else 0


def greeting(packet: Packet) -> Greeting:
    """Raises ProtocolError if it is none."""
    body = packet.body
    try:
        flags, reason = body[0], body[1]
        size, at = _length(body, 2, len(body))
        found = _connack_properties(body[at : at + size]) if at >= 0 else {}
    except (IndexError, struct.error, _Malformed) as error:
        raise ProtocolError(f"an unreadable CONNACK: {bytes(body[:80])!r}") from error
    return Greeting(reason, bool(flags & 1), found.get(0x21, 65_535), found.get(0x13))


def published(packet: Packet) -> Published:
    """Raises ProtocolError only where not even topic and packet identifier are there."""
    body = packet.body
    end = len(body)
    qos = packet.first >> 1 & 3
    after_topic = 2 + (body[0] << 8 | body[1]) if end >= 2 else end + 1
    at = after_topic + (2 if qos else 0)
    if at > end:
        raise ProtocolError("a PUBLISH ends within its head")
    mid = body[at - 2] << 8 | body[at - 1] if qos else 0
    topic = str(body[2:after_topic], "utf-8", "replace")
    try:
        size, first = _length(body, at, end)
        if first < 0 or first + size > end:
            raise _Malformed
        response, correlation, published_us = _properties(body, first, first + size)
    except (_Malformed, UnicodeDecodeError):
        return Published(topic, bytes(body[at:]), None, None, 0, mid, qos)
    return Published(topic, bytes(body[first + size :]), response, correlation, published_us, mid, qos)


def _properties(body: memoryview, at: int, end: int) -> tuple[str | None, bytes | None, int]:
    response: str | None = None
    correlation: bytes | None = None
    published_us = 0
    while at < end:
        kind = body[at]
        at += 1
        if kind == 0x26:
            name, at = _data(body, at, end)
            value, at = _data(body, at, end)
            if bytes(name) == b"published":
                published_us = _decimal(bytes(value)) or published_us
        elif kind == 0x09:
            found, at = _data(body, at, end)
            correlation = bytes(found)
        elif kind == 0x08:
            found, at = _data(body, at, end)
            response = str(found, "utf-8")
        elif kind == 0x03:
            _, at = _data(body, at, end)
        elif kind == 0x0B:
            _, at = _length(body, at, end)
            if at < 0:
                raise _Malformed
        elif kind in _FIXED:
            if kind == 0x01 and at < end and body[at] > 1:
                raise _Malformed
            at += _FIXED[kind]
        else:
            raise _Malformed
    if at > end:
        raise _Malformed
    return response, correlation, published_us


def _connack_properties(body: memoryview) -> dict[int, int]:
    found: dict[int, int] = {}
    at, end = 0, len(body)
    while at < end:
        kind = body[at]
        at += 1
        if kind in _CONNACK_FIXED:
            size = _CONNACK_FIXED[kind]
            found[kind] = int.from_bytes(body[at : at + size], "big")
            at += size
        else:  # all others are texts or data, one or, of a user property, two
            for _ in range(2 if kind == 0x26 else 1):
                _, at = _data(body, at, end)
    return found


def _data(body: memoryview, at: int, end: int) -> tuple[memoryview, int]:
    """What stands behind its length, and the place after it."""
    start = at + 2
    if start > end:
        raise _Malformed
    stop = start + (body[at] << 8 | body[at + 1])
    if stop > end:
        raise _Malformed
    return body[start:stop], stop


def _length(view: memoryview, at: int, end: int) -> tuple[int, int]:
    """A number of variable length and the place after it, -1 if it has not all come."""
    size = shift = 0
    while at < end:
        byte = view[at]
        at += 1
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return size, at
        shift += 7
        if shift > 21:
            raise ProtocolError("a length of more than four bytes")
    return 0, -1


def _decimal(value: bytes) -> int:
    return int(value) if value.isdigit() and len(value) <= 17 else 0


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def _prefixed(properties: bytes) -> bytes:
    return _number(len(properties)) + properties


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + _number(len(body)) + body


def _number(size: int) -> bytes:
    out = bytearray()
    while True:
        size, low = divmod(size, 128)
        out.append(low | (0x80 if size else 0))
        if not size:
            return bytes(out)
