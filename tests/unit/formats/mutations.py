"""Frames damaged on purpose, the same ones for the same seed.

Bits are turned, bytes lost, doubled and moved, frames joined with others; lengths and checks are then often
made right again, so that the damage reaches what lies behind them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from ingest.formats import hj212
from ingest.formats.checksum import crc16_modbus, sum8
from ingest.formats.protobuf_wire import field
from tests.unit.formats.book import raw, vectors

JSON_SEEDS: dict[str, list[bytes]] = {
    "senml": [
        b'[{"bn":"a/","bt":1.7e9,"n":"t","u":"Cel","v":21.5},{"n":"s","vs":"\xe5\x81\x9c"},{"n":"b","vb":true}]'
    ],
    "senml-cbor": [
        bytes.fromhex(
            "83a52162612f22fb41d954fc40000000006174016343656c02fb4035800000000000"  # a/, 1.7e9, t, Cel, 21.5
            "a200616204f5a200617303626f6b"
        )
    ],
    "thingsboard": [
        b'{"temperature":42,"open":true,"state":"on"}',
        b'{"ts":1451649600512,"values":{"k1":"v1","k2":2.5}}',
        b'{"Device A":[{"ts":1483228800000,"values":{"temperature":42,"humidity":80}}]}',
    ],
    "sensorthings": [
        b'{"phenomenonTime":"2026-11-01T00:30:15Z","result":0.31,"Datastream":{"@iot.id":42}}',
        b'[{"Datastream":{"@iot.id":1},"components":["phenomenonTime","result"],'
        b'"dataArray":[["2026-11-01T00:30:15Z",1],["2026-11-01T00:31:15Z",2]]}]',
    ],
    "ctwing": [
        b'{"deviceId":"d1","messageType":"dataReport","timestamp":1528183784371,"payload":{"level":0.4,'
        b'"items":[{"time":"2020-09-18 10:00:00","amount":1}]}}',
        b'{"deviceId":"d2","payload":{"APPdata":"aBBEMyIRADN4gRYfkAAAd2ZVLAB3ZlUsMQEiARUFFSAhhBMW"}}',
        b'{"notifyType":"deviceDataChanged","deviceId":"d3","service":{"serviceId":"x","data":{"v":1},'
        b'"eventTime":"20180806T093436Z"}}',
    ],
    "onenet": [
        b'{"id":"123","version":"1.0","params":{"Power":{"value":"on","time":1524448722123}}}',
        b'{"msg":{"type":1,"dev_id":2016617,"ds_id":"temp","at":1466133706841,"value":42}}',
    ],
    "video": [
        b'{"camera":"c1","event":"smoke","time":"2026-11-01T08:30:15+08:00","value":0.83,"picture":"https://x/1"}',
        b'{"device":"box","events":[{"camera":"c1","event":"crowd","time":1466133706841,"value":42},'
        b'{"camera":"c2","event":"fire_lane_blocked","state":"end"}]}',
    ],
}


def _a_template() -> list[bytes]:
    """Sparkplug: a definition and an instance with one within it, then the same told by aliases."""
    amps = field(1, "amps") + field(2, 9) + field(4, 10) + field(13, 7.5)
    inner = field(18, field(2, amps) + field(4, "Motor"))
    motor = field(1, "motor") + field(4, 19) + inner
    speed = field(1, "speed") + field(2, 8) + field(4, 10) + field(13, 1480.0)
    instance = field(18, field(1, "1.0") + field(2, speed) + field(2, motor) + field(4, "Pump"))
    definition = field(18, field(2, speed) + field(5, True))
    born = field(2, field(1, "Pump") + field(4, 19) + definition)
    born += field(2, field(1, "pump") + field(2, 7) + field(4, 19) + instance)
    said = field(2, field(2, 7) + field(18, field(2, field(2, 8) + field(13, 2.0))))
    said += field(2, field(2, 9) + field(13, 8.0))
    return [field(1, 1_000) + born + field(3, 0), field(1, 2_000) + said + field(3, 1)]


SEEDS: dict[str, list[bytes]] = {
    form: [raw(vector) for found, vector in vectors() if found == form]
    for form in ("hj212", "gb26875", "sparkplug", "sl651", "dlt645", "cjt188", "modbus")
} | JSON_SEEDS
SEEDS["sparkplug"] += _a_template()


def mutated(rng: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """(format, bytes) of damaged frames, all formats in turn."""
    forms = sorted(SEEDS)
    for number in range(count):
        form = forms[number % len(forms)]
        yield form, _one(rng, form)


def _one(rng: random.Random, form: str) -> bytes:
    data = bytearray(rng.choice(SEEDS[form]))
    for _ in range(rng.randint(1, 4)):
        _damage(rng, form, data)
    done = bytes(data)
    if form in _SEALS and rng.random() < 0.7:
        done = _SEALS[form](done)
    if rng.random() < 0.2:
        done += rng.choice(SEEDS[form])
    return done


def _damage(rng: random.Random, form: str, data: bytearray) -> None:
    at = rng.randrange(len(data) + 1)
    kind = rng.randrange(7)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif kind == 2:
        del data[at : at + rng.randint(1, 8)]
    elif kind == 3:
        data[at:at] = rng.randbytes(rng.randint(1, 8))
    elif kind == 4:
        data[at:at] = data[at : at + rng.randint(1, 40)]
    elif kind == 5:
        other = rng.choice(SEEDS[form])
        data[at:] = other[rng.randrange(len(other)) :]
    else:
        del data[at:]


def _hj212(data: bytes) -> bytes:
    return hj212.framed(data[6:-6][:9_999])


def _gb26875(data: bytes) -> bytes:
    body = data[27:-3][:65_535]
    head = data[:24].ljust(24, b"\0") + len(body).to_bytes(2, "little") + data[26:27]
    head = b"@@" + head[2:].ljust(25, b"\2")
    return head + body + bytes([sum8(head[2:] + body)]) + b"##"


def _sl651(data: bytes) -> bytes:
    body = data[14:-3][:4_095]
    whole = b"~~" + data[2:11].ljust(9, b"\x30") + len(body).to_bytes(2, "big") + b"\2" + body + b"\3"
    return whole + crc16_modbus(whole).to_bytes(2, "big")


def _meter(head: int) -> Callable[[bytes], bytes]:
    def sealed(data: bytes) -> bytes:
        data = data.lstrip(b"\xfe")
        body = data[head:-2][:200]
        whole = b"\x68" + data[1 : head - 1].ljust(head - 2, b"\x68") + bytes([len(body)]) + body
        return whole + bytes([sum8(whole), 0x16])

    return sealed


def _modbus(data: bytes) -> bytes:
    return data[:-2] + crc16_modbus(data[:-2]).to_bytes(2, "little")


def _sparkplug(data: bytes) -> bytes:
    """What is damaged as the inside of templates, whose lengths are right: both have metrics as field 2."""
    for _ in range(1 + len(data) % 3):
        data = field(2, field(1, "t") + field(4, 19) + field(18, data))
    return field(1, 1_000) + data


_SEALS: dict[str, Callable[[bytes], bytes]] = {
    "hj212": _hj212,
    "gb26875": _gb26875,
    "sl651": _sl651,
    "dlt645": _meter(10),
    "cjt188": _meter(11),
    "modbus": _modbus,
    "sparkplug": _sparkplug,
}
