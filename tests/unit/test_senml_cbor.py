"""SenML CBOR gives what its JSON gives; bytes that are neither are refused, never raised."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import cbor2
import msgspec
import pytest

from ingest.decoded import Decoded, Rejected
from ingest.formats import senml, senml_cbor
from schemas.reading import Reason

RECEIVED_US = 1_767_225_600_000_000
PACK: list[dict[str, Any]] = [
    {"bn": "a/", "bt": 1.767e9, "bu": "kPa", "bver": 10, "n": "p", "v": 350.5},
    {"n": "q", "u": "Cel", "t": -1.5, "v": 21},
    {"n": "door", "vb": True},
    {"n": "mode", "vs": "运行"},
]


def labelled(records: list[dict[str, Any]]) -> bytes:
    numbers = {name: label for label, name in senml_cbor.LABELS.items()}
    return cbor2.dumps([{numbers[name]: value for name, value in one.items()} for one in records])


def decoded(data: bytes) -> Decoded:
    found = senml_cbor.decode(data, RECEIVED_US)
    assert isinstance(found, Decoded)
    return found


def test_a_frame_gives_what_its_json_gives() -> None:
    ours = decoded(labelled(PACK))
    theirs = senml.decode(msgspec.json.encode(PACK), RECEIVED_US)
    assert isinstance(theirs, Decoded)
    assert (ours.points, ours.units, ours.texts) == (theirs.points, theirs.units, theirs.texts)
    for column in ("time", "value", "quality", "flags", "relative"):
        assert getattr(ours, column).tolist() == getattr(theirs, column).tolist()


def test_the_example_of_the_standard_is_read() -> None:
    data = bytes.fromhex(
        "87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a"
        "22fb41d303a15b00106223614120050067766f6c7461676501615602fb405e066666666666"
        "a3006763757272656e74062402fb3ff3333333333333a3006763757272656e74062302fb3ff4cccccccccccd"
        "a3006763757272656e74062202fb3ff6666666666666a3006763757272656e74062102f93e00"
        "a3006763757272656e74062002fb3ff999999999999aa3006763757272656e74060002fb3ffb333333333333"
    )
    found = decoded(data)
    assert found.points == ["urn:dev:ow:10e2073a0108006:" + name for name in ["voltage"] + 6 * ["current"]]
    assert found.value.tolist() == [120.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]
    assert found.time.tolist() == [1_276_020_076_001_000 + s * 1_000_000 for s in (0, -5, -4, -3, -2, -1, 0)]


@pytest.mark.parametrize("value", [1.5, Decimal("1.5"), 3, 2**63, -(2**70)])
def test_every_way_of_writing_a_number_is_read(value: Any) -> None:
    assert decoded(cbor2.dumps([{0: "p", 2: value}])).value.tolist() == [float(value)]


def test_an_array_of_indefinite_length_is_read() -> None:
    whole = cbor2.dumps({0: "p", 2: 1})
    assert decoded(b"\x9f" + whole + whole + b"\xff").value.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({0: "p", 2: float("nan")}, Reason.syntax),
        ({0: "p", 2: float("inf")}, Reason.syntax),
        ({0: "p", 2: 10**400}, Reason.syntax),
        ({0: "p", 2: [1]}, Reason.syntax),
        ({0: "p", 8: b"bytes"}, Reason.unsupported),
        ({0: "p", 2: 1, "must_": 1}, Reason.unsupported),
        ({0: "p", 2: 1, 6: 1.8e9}, Reason.range),
        ("no record", Reason.syntax),
    ],
)
def test_a_bad_record_is_refused_alone_and_can_be_shown_again(record: object, reason: Reason) -> None:
    data = cbor2.dumps([{-2: "a/", 0: "good", 2: 1}, record, {0: "also", 2: 2}])
    found = decoded(data)
    assert found.points == ["a/good", "a/also"]
    assert [(one.index, one.reason) for one in found.refused] == [(1, reason)]
    alone = senml_cbor.excerpt(data, [1])
    assert senml_cbor.is_cbor(alone)
    assert decoded(alone).points == []
    assert {one.reason for one in decoded(alone).refused} == {reason}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.truncated),
        (labelled(PACK)[:-1], Reason.truncated),
        (labelled(PACK) + b"\x00", Reason.syntax),
        (cbor2.dumps({0: "p", 2: 1}), Reason.syntax),
        (cbor2.dumps([]), Reason.syntax),
        (cbor2.dumps([{-1: 11, 0: "p", 2: 1}]), Reason.unsupported),
        (cbor2.dumps([{-3: float("nan"), 0: "p", 2: 1}]), Reason.syntax),
        (b"\x81" * 10_000, Reason.syntax),
        (b"\x9b" + b"\x7f" * 8, Reason.truncated),
        (b"\x81\x5b" + b"\x7f" * 8, Reason.truncated),
    ],
)
def test_a_bad_frame_is_rejected_with_its_bytes(data: bytes, reason: Reason) -> None:
    found = senml_cbor.decode(data, RECEIVED_US)
    assert isinstance(found, Rejected)
    assert (found.reason, found.raw) == (reason, data)


def test_no_bytes_make_it_raise() -> None:
    rng = random.Random(7)
    good = labelled(PACK)
    for _ in range(3_000):
        damaged = bytearray(good)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        for data in (bytes(damaged), bytes([rng.randrange(0x80, 0xA0)]) + rng.randbytes(rng.randrange(40))):
            found = senml_cbor.decode(data, RECEIVED_US)
            if isinstance(found, Decoded) and found.refused:
                senml_cbor.excerpt(data, [one.index for one in found.refused])


def test_json_is_told_from_cbor_by_its_first_byte() -> None:
    assert senml_cbor.is_cbor(labelled(PACK))
    assert not any(senml_cbor.is_cbor(data) for data in (b"", b"[]", b" [", b'{"n"', "运".encode()))
