"""The MQTT packets of ingest's session: cut anywhere, whatever the bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import packets
from ingest.packets import BUFFER, Inbox, Packet, ProtocolError


def text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def number(size: int) -> bytes:
    out = bytearray()
    while size >= 128:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(out) + bytes([size])


def a_publish(
    topic: str = "up/gw/senml", payload: bytes = b"[]", properties: bytes = b"", qos: int = 1, mid: int = 7
) -> bytes:
    head = text(topic.encode()) + (struct.pack(">H", mid) if qos else b"")
    body = head + number(len(properties)) + properties + payload
    return bytes([0x30 | qos << 1]) + number(len(body)) + body


def taken(stream: bytes, pieces: list[int]) -> list[tuple[int, bytes]]:
    """The packets of a stream that comes in such pieces, over and over."""
    inbox = Inbox()
    found: list[tuple[int, bytes]] = []
    turn = 0
    while stream:
        room = inbox.room()
        count = min(pieces[turn % len(pieces)], len(room), len(stream))
        room[:count] = stream[:count]
        stream = stream[count:]
        turn += 1
        found += [(packet.first, bytes(packet.body)) for packet in inbox.filled(count)]
    return found


def packet_of(data: bytes) -> Packet:
    [(first, body)] = taken(data, [len(data)])
    return Packet(first, memoryview(body))


@given(st.lists(st.binary(max_size=300), max_size=12), st.lists(st.integers(1, 700), min_size=1, max_size=5))
def test_packets_come_out_as_they_were_however_the_stream_is_cut(
    payloads: list[bytes], pieces: list[int]
) -> None:
    frames = [a_publish(payload=payload) for payload in payloads]
    found = taken(b"".join(frames), pieces)
    assert [packets.published(Packet(first, memoryview(body))).payload for first, body in found] == payloads


def test_a_packet_larger_than_the_buffer_comes_out_whole_and_the_next_one_too() -> None:
    large = bytes(range(256)) * (BUFFER // 128)
    found = taken(a_publish(payload=large) + a_publish(payload=b"next"), [100_000, 3])
    assert [packets.published(Packet(first, memoryview(body))).payload for first, body in found] == [
        large,
        b"next",
    ]


def test_what_a_gateway_says_of_its_frame_is_found_among_other_properties() -> None:
    said = (
        b"\x01\x01" + b"\x02\0\0\0\x09" + b"\x03" + text(b"application/senml+json")
        + b"\x08" + text(b"down/gw/ack") + b"\x09" + text(b"\x00" * 15 + b"\x05")
        + b"\x0b\x80\x01" + b"\x23\0\x01"
        + b"\x26" + text(b"other") + text(b"9") + b"\x26" + text(b"published") + text(b"1795000000000000")
    )  # fmt: skip
    found = packets.published(packet_of(a_publish(properties=said, payload=b"[1]")))
    assert found == ("up/gw/senml", b"[1]", "down/gw/ack", b"\x00" * 15 + b"\x05", 1795000000000000, 7, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        b"\x01\x07",  # a payload format that is none
        b"\x09\x00\x09abc",  # longer than what is there
        b"\x08" + text(b"\xff\xfe"),  # no text
        b"\x02\x00",  # an expiry of one byte
        b"\x7e\x00",  # no property of MQTT
        b"\x0b\xff",  # a number without an end
        b"\x26" + text(b"published"),  # a name without a value
    ],
)
def test_a_publish_whose_properties_are_no_mqtt_can_be_refused_and_acknowledged(wrong: bytes) -> None:
    found = packets.published(packet_of(a_publish(properties=wrong, payload=b"tail")))
    assert (found.topic, found.mid, found.qos, found.correlation) == ("up/gw/senml", 7, 1, None)
    assert found.payload == number(len(wrong)) + wrong + b"tail"


@given(st.binary(max_size=60))
def test_any_bytes_are_a_publish_or_a_protocol_error(body: bytes) -> None:
    for first in (0x30, 0x32):
        try:
            found = packets.published(Packet(first, memoryview(body)))
        except ProtocolError:
            assert len(body) < 4 or 2 + (body[0] << 8 | body[1]) + (first & 2) > len(body)
        else:
            assert isinstance(found.payload, bytes)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_greeting_or_a_protocol_error(body: bytes) -> None:
    try:
        found = packets.greeting(Packet(0x20, memoryview(body)))
    except ProtocolError:
        return
    assert found.reason == body[1]


def test_a_greeting_tells_the_limits_of_the_broker() -> None:
    properties = b"\x21\x00\x14" + b"\x22\x00\x0a" + b"\x13\x00\x3c" + b"\x26" + text(b"a") + text(b"b")
    body = b"\x01\x00" + bytes([len(properties)]) + properties
    assert packets.greeting(Packet(0x20, memoryview(body))) == (0, True, 20, 60)
    assert packets.greeting(Packet(0x20, memoryview(b"\x00\x86\x00"))) == (0x86, False, 65_535, None)


def test_a_length_of_five_bytes_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        taken(b"\x32\xff\xff\xff\xff\x01", [6])


def test_what_we_publish_can_be_read() -> None:
    data = packets.publish("down/gw/ack", b"{}" * 100, 513, b"\x01" * 16)
    found = packets.published(packet_of(data))
    assert (found.topic, found.payload, found.correlation, found.mid, found.qos) == (
        "down/gw/ack",
        b"{}" * 100,
        b"\x01" * 16,
        513,
        1,
    )
    assert packets.mid_of(packet_of(packets.puback(513))) == 513
