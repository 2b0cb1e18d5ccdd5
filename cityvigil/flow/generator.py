"""Plays a load as its gateways would: one process, a TCP connection and an MQTT 5 session for each of them.

It writes the few MQTT packets it needs itself, because a client library would cost more than the platform
it measures. Frames are due at fixed moments (open loop) and say that moment as `published`, so that a wait of
the generator's own counts against the platform, never for it. A gateway has at most 64 frames unanswered. It
does not resend: a lost connection ends the run. Standard input: the order, then a start; output: the result.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import struct
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from cityvigil.flow.load import Frames, Load, gateway_name

WINDOW = 64
ANSWERED_WITHIN_S = 60.0
CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9


@dataclass(slots=True)
class Wire:
    """A gateway's connection."""

    gateway: int
    socket: socket.socket
    topic: bytes
    response: bytes
    out: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)
    waiting: deque[int] = field(default_factory=deque)  # frames that are due and found the window full
    unanswered: dict[int, int] = field(default_factory=dict)  # sequence -> when it was due


@dataclass(slots=True)
class Tally:
    sent: int = 0
    bytes: int = 0
    rejected: int = 0
    late_us: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    delays_us: list[int] = field(default_factory=list)


class Generator:
    def __init__(self, load: Load, address: str, secrets: dict[str, str], epoch: int) -> None:
        self._load = load
        self._frames = Frames(load)
        self._epoch = epoch
        self._poll = select.epoll()
        self._wires: dict[int, Wire] = {}
        self._by_gateway: list[Wire] = []
        self._open = 0  # frames on the wire
        self.tally = Tally()
        host, _, port = address.rpartition(":")
        for number in range(load.gateways):
            name = gateway_name(number)
            wire = _connected(number, name, secrets[name], (host, int(port)))
            self._wires[wire.socket.fileno()] = wire
            self._by_gateway.append(wire)
            self._poll.register(wire.socket, select.EPOLLIN)

    def run(self, start_us: int) -> None:
        """Sends everything and returns when it is answered, or has not been for too long."""
        load, frame = self._load, 0
        self._start_us = start_us
        deadline_us = start_us + load.due_us(load.frames) + int(ANSWERED_WITHIN_S * 1e6)
        while True:
            now_us = _now_us()
            while frame < load.frames and start_us + load.due_us(frame) <= now_us:
                self._due(frame)
                frame += 1
            waiting = frame < load.frames
            if not waiting and (not self._open or now_us > deadline_us):
                return
            next_us = start_us + load.due_us(frame) - now_us if waiting else 100_000
            for descriptor, event in self._poll.poll(max(next_us, 0) / 1e6):
                wire = self._wires[descriptor]
                if event & select.EPOLLOUT:
                    self._flush(wire)
                if event & ~select.EPOLLOUT:
                    self._read(wire)

    def _due(self, frame: int) -> None:
        wire = self._by_gateway[self._load.gateway_of(frame)]
        if wire.waiting or len(wire.unanswered) >= WINDOW:
            wire.waiting.append(frame)
        else:
            self._send(wire, frame)

    def _send(self, wire: Wire, frame: int) -> None:
        sequence = self._load.sequence_of(frame)
        due_us = self._start_us + self._load.due_us(frame)
        payload = self._frames.payload(frame, self._start_us)
        packet = publish(wire, sequence, self._epoch, due_us, payload)
        wire.unanswered[sequence] = due_us
        self._open += 1
        tally = self.tally
        tally.sent += self._load.frame
        tally.bytes += len(packet)
        tally.late_us = max(tally.late_us, _now_us() - due_us)
        self._write(wire, packet)

    def _write(self, wire: Wire, data: bytes) -> None:
        if not wire.out:
            try:
                sent = wire.socket.send(data)
            except BlockingIOError:
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
            self._poll.modify(wire.socket, select.EPOLLIN | select.EPOLLOUT)
        wire.out += data

    def _flush(self, wire: Wire) -> None:
        try:
            del wire.out[: wire.socket.send(wire.out)]
        except BlockingIOError:
            return
        if not wire.out:
            self._poll.modify(wire.socket, select.EPOLLIN)

    def _read(self, wire: Wire) -> None:
        try:
            data = wire.socket.recv(65_536)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionError(f"the broker closed the connection of {gateway_name(wire.gateway)}")
        wire.received += data
        while (packet := taken(wire.received)) is not None:
            if packet[0] >> 4 == PUBLISH:
                self._answered(wire, packet)

    def _answered(self, wire: Wire, packet: bytes) -> None:
        mid, correlation, payload = opened(packet)
        if mid is not None:
            self._write(wire, struct.pack(">BBH", 0x40, 2, mid))
        answer = json.loads(payload)
        tally = self.tally
        tally.answers[answer["status"]] += 1
        due_us = wire.unanswered.pop(struct.unpack(">QQ", correlation)[1], None)
        if due_us is None or answer["status"] == "resend":
            return
        self._open -= 1
        tally.delays_us.append(_now_us() - due_us)
        tally.rejected += self._load.frame if answer["status"] == "rejected" else answer.get("rejected", 0)
        if wire.waiting and len(wire.unanswered) < WINDOW:
            self._send(wire, wire.waiting.popleft())


def publish(wire: Wire, sequence: int, epoch: int, published_us: int, payload: bytes) -> bytes:
    """A PUBLISH with QoS 1; its packet identifier is the sequence's, which is never in use twice."""
    said = b"%d" % published_us
    properties = b"".join(
        (
            b"\x08", _text(wire.response),
            b"\x09\x00\x10", struct.pack(">QQ", epoch, sequence),
            b"\x26", _text(b"published"), _text(said),
        )
    )  # fmt: skip
    body = b"".join(
        (_text(wire.topic), struct.pack(">H", 1 + sequence % 65_535), _length(len(properties)), properties)
    )
    return b"".join((b"\x32", _length(len(body) + len(payload)), body, payload))


def taken(buffer: bytearray) -> bytes | None:
    """The first whole packet, removed from the buffer."""
    size, at = 0, 1
    while True:
        if at >= len(buffer):
            return None
        byte = buffer[at]
        size |= (byte & 0x7F) << 7 * (at - 1)
        at += 1
        if byte < 0x80:
            break
    if len(buffer) < at + size:
        return None
    packet = bytes((buffer[0],)) + bytes(buffer[at : at + size])
    del buffer[: at + size]
    return packet


def opened(packet: bytes) -> tuple[int | None, bytes, bytes]:
    """An answer: packet identifier, correlation data, payload."""
    at = 3 + int.from_bytes(packet[1:3], "big")
    mid = None
    if packet[0] & 0x06:
        mid = int.from_bytes(packet[at : at + 2], "big")
        at += 2
    size = packet[at]  # an answer's properties are shorter than 128 bytes
    properties = packet[at + 1 : at + 1 + size]
    if properties[:3] != b"\x09\x00\x10":
        raise ConnectionError(f"expected an answer with its correlation data, got {packet[:80]!r}")
    return mid, properties[3:19], packet[at + 1 + size :]


def _connected(number: int, name: str, secret: str, address: tuple[str, int]) -> Wire:
    """Let in by the broker and subscribed to its answers."""
    made = socket.create_connection(address, 10)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wire = Wire(number, made, f"up/{name}/senml".encode(), f"down/{name}/ack".encode())
    # MQTT 5, clean start, no keep-alive: user name and password, no properties.
    hello = b"".join((_text(b"MQTT"), b"\x05\xc2\x00\x00\x00", *map(_text, _encoded(name, name, secret))))
    made.sendall(b"\x10" + _length(len(hello)) + hello)
    subscribe = b"\x00\x01\x00" + _text(wire.response) + b"\x01"
    _expect(wire, CONNACK, name)
    made.sendall(b"\x82" + _length(len(subscribe)) + subscribe)
    _expect(wire, SUBACK, name)
    made.setblocking(False)
    return wire


def _expect(wire: Wire, kind: int, name: str) -> None:
    while (packet := taken(wire.received)) is None:
        data = wire.socket.recv(4096)
        if not data:
            raise ConnectionError(f"the broker closed the connection of {name}")
        wire.received += data
    refused = packet[2] if kind == CONNACK else packet[-1]
    if packet[0] >> 4 != kind or refused >= 0x80:
        raise ConnectionError(f"the broker refuses {name}: reason {refused:#x}")


def _encoded(*texts: str) -> list[bytes]:
    return [text.encode() for text in texts]


def _text(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def _length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, low = divmod(size, 128)
        out.append(low | (0x80 if size else 0))
        if not size:
            return bytes(out)


def _now_us() -> int:
    return time.time_ns() // 1_000


def main() -> None:
    order = json.loads(sys.stdin.readline())
    secrets = json.loads(Path(order["secrets"]).read_text())
    try:
        generator = Generator(Load(**order["load"]), order["mqtt"], secrets, order["epoch"])
        print(json.dumps({"connected": True}), flush=True)
        before = resource.getrusage(resource.RUSAGE_SELF)
        generator.run(int(sys.stdin.readline()))
    except OSError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    tally = generator.tally
    print(
        json.dumps(
            {
                "sent": tally.sent,
                "rejected": tally.rejected,
                "answers": dict(tally.answers),
                "bytes": tally.bytes,
                "late_us": tally.late_us,
                "delays_us": tally.delays_us,
                "cpu_s": used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
                "rss_mb": used.ru_maxrss / 1024,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
