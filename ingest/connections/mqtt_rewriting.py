"""An MQTT connection whose own topics are put below its gateway's: `v1/...` becomes `up/{gateway}/v1/...`
and back.

Pure: packets in, packets out. ThingsBoard's and SensorThings' topics do not say who speaks, and a broker
tells its subscribers no user names; the account of the connection does. Everything but CONNECT, PUBLISH,
SUBSCRIBE and UNSUBSCRIBE passes as it is, so acknowledgements are the broker's. MQTT 3.1.1 and 5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE = 1, 3, 8, 10
PACKET_BYTES = 1 << 20
OWN_TOPICS = ("v1/", "v1.1/")
TOKEN_MARK = ":"


class NotMqtt(ValueError):
    """Bytes that are no packet of this protocol, or a packet that is too long."""


class Packets:
    """Cuts a stream into packets (first byte, body); keeps one at most."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Raises NotMqtt."""
        self._held += data
        while len(self._held) >= 2:
            found = _remaining(self._held)
            if found is None or len(self._held) < found[0] + found[1]:
                return
            head, length = found
            body = self._held[head : head + length]
            first, self._held = self._held[0], self._held[head + length :]
            yield first, body


def packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + _varint(len(body)) + body


class Rewriting:
    """One connection. `gateway` is known from its CONNECT on."""

    def __init__(self) -> None:
        self.gateway = ""
        self._is_5 = False

    def up(self, first: int, body: bytes) -> bytes:
        """A packet of the client as the broker is to have it. Raises NotMqtt."""
        try:
            if not self.gateway:
                return packet(first, self._connect(first, body))
            match first >> 4:
                case 3:
                    topic, rest = _text(body, 0)
                    return packet(first, _pack(self._above("up", topic)) + body[rest:])
                case 8:
                    return packet(first, self._filters(body, options=1))
                case 10:
                    return packet(first, self._filters(body, options=0))
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise NotMqtt(f"a packet of kind {first >> 4} that ends too early: {error}") from None
        return packet(first, body)

    def down(self, first: int, body: bytes) -> bytes:
        """A packet of the broker as the client is to have it."""
        if first >> 4 != PUBLISH:
            return packet(first, body)
        topic, rest = _text(body, 0)
        below = f"down/{self.gateway}/"
        own = topic.removeprefix(below)
        return packet(first, _pack(own if own.startswith(OWN_TOPICS) else topic) + body[rest:])

    def _above(self, way: str, topic: str) -> str:
        return f"{way}/{self.gateway}/{topic}" if topic.startswith(OWN_TOPICS) else topic

    def _connect(self, first: int, body: bytes) -> bytes:
        name, at = _text(body, 0)
        level, flags = body[at], body[at + 1]
        if first != CONNECT << 4 or name != "MQTT" or level not in (4, 5):
            raise NotMqtt("expected CONNECT of MQTT 3.1.1 or 5")
        self._is_5 = level == 5
        has_user, has_password, has_will = flags & 0x80, flags & 0x40, flags & 0x04
        at = self._past_properties(body, at + 4)
        _, at = _text(body, at)
        head_end = at
        will = b""
        if has_will:
            at = self._past_properties(body, at)
            properties = body[head_end:at]
            topic, at = _text(body, at)
            end = at + 2 + struct.unpack_from(">H", body, at)[0]
            will_payload = body[at:end]
            at = end
        user, password = "", b""
        if has_user:
            user, at = _text(body, at)
        if has_password:
            length = struct.unpack_from(">H", body, at)[0]
            password = body[at + 2 : at + 2 + length]
        if not password:  # an access token is all that some clients can be given
            user, _, secret = user.partition(TOKEN_MARK)
            password = secret.encode()
        if not user or any(sign in user for sign in "/+#"):
            raise NotMqtt("expected a user name and a password, or GATEWAY:SECRET as the token")
        self.gateway = user
        if has_will:
            will = properties + _pack(self._above("up", topic)) + will_payload
        flags |= 0xC0
        start = body[:6] + bytes([level, flags]) + body[8:head_end]
        return start + will + _pack(user) + struct.pack(">H", len(password)) + password

    def _filters(self, body: bytes, options: int) -> bytes:
        at = self._past_properties(body, 2)
        out = body[:at]
        while at < len(body):
            wanted, at = _text(body, at)
            out += _pack(self._above("down", wanted)) + body[at : at + options]
            at += options
        return out

    def _past_properties(self, body: bytes, at: int) -> int:
        if not self._is_5:
            return at
        head = _remaining(b"\0" + body[at : at + 4])
        if head is None:
            raise NotMqtt("properties without an end")
        return at + head[0] - 1 + head[1]


def _remaining(data: bytes) -> tuple[int, int] | None:
    """(bytes before it, length) of what follows a first byte; None while that is not all there."""
    length = shift = 0
    for at in range(1, 5):
        if at >= len(data):
            return None
        length |= (data[at] & 0x7F) << shift
        shift += 7
        if data[at] < 0x80:
            if length > PACKET_BYTES:
                raise NotMqtt(f"expected a packet of at most {PACKET_BYTES} bytes, got {length}")
            return at + 1, length
    raise NotMqtt("a length of more than four bytes")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def _text(body: bytes, at: int) -> tuple[str, int]:
    length = struct.unpack_from(">H", body, at)[0]
    end = at + 2 + length
    if end > len(body):
        raise IndexError("a text ends behind its packet")
    return body[at + 2 : end].decode(), end


def _pack(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data
