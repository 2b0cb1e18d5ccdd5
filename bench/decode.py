"""What decoding costs: microseconds a frame and readings a second on one core, of each wire format.

    python -m bench.decode [--readings 10] [--seconds 1]

Processor time of one thread. Frames are what the simulated gateways of each protocol say of ten sensors
(simulators/protocols); a frame is found, checked and decoded as a listener does it, for Sparkplug by a
node whose birth is known. No broker, no registry, no Kafka.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cbor2

from ingest.decoded import Decoded, Rejected
from ingest.formats import senml, senml_cbor
from ingest.formats.by_name import JSON_MESSAGES, STREAMS, DecodeMessage
from ingest.formats.result import Item, Reading
from ingest.formats.sparkplug import EdgeNodes
from ingest.formats.stream import decode_all
from simulators.protocols import sparkplug
from simulators.protocols.speech import SPEECHES, Frame, Member
from simulators.senml import encode, point

NOW_US = 1_793_493_000_000_000
UNIT = {"dlt645": "V", "cjt188": "m3"}
Decode = Callable[[bytes], list[Item] | Decoded | Rejected]


class Case(NamedTuple):
    name: str
    frame: bytes
    decode: Decode


def cases(readings: int) -> Iterator[Case]:
    pack = encode(NOW_US, [(point(f"p{at}", "Cel"), 20.5 + at) for at in range(readings)])
    labels = {name: label for label, name in senml_cbor.LABELS.items()}
    numbered = [{labels[name]: value for name, value in one.items()} for one in json.loads(pack)]
    yield Case("senml", pack, lambda data: senml.decode(data, NOW_US))
    yield Case("senml as CBOR", cbor2.dumps(numbered), lambda data: senml_cbor.decode(data, NOW_US))
    for name, form in STREAMS.items():
        answers = b"".join(_bytes_of(one) for one in _frames(name, readings))
        yield Case(name, answers, functools.partial(decode_all, form))
    yield _sparkplug(readings)
    for name, decode in JSON_MESSAGES.items():
        (frame,) = _frames(name, readings)
        yield Case(name, frame.payload, functools.partial(_message, decode, frame.topic))


def _message(decode: DecodeMessage, topic: str | None, data: bytes) -> list[Item]:
    return decode(data, topic, NOW_US)


def _frames(name: str, readings: int) -> list[Frame]:
    members = [
        Member(f"p{at}", "gas_temperature", UNIT.get(name, "Cel"), is_state=False) for at in range(readings)
    ]
    said = [(at, 20.5 + at) for at in range(readings)]
    return SPEECHES[name]("gw", 1, members).frames(NOW_US, NOW_US, said)


def _bytes_of(frame: Frame) -> bytes:
    """What a meter or a slave answered stands as hexadecimal in its gateway's envelope."""
    if frame.payload[:1] != b"{":
        return frame.payload
    return b"".join(bytes.fromhex(one) for one in json.loads(frame.payload)["frames"])


def _sparkplug(readings: int) -> Case:
    nodes = EdgeNodes()
    nodes.decode(
        sparkplug.birth(1, [(f"p{at}", False) for at in range(readings)], NOW_US),
        "spBv1.0/g/NBIRTH/e",
        NOW_US,
    )
    (metrics,) = _frames("sparkplug", readings)
    frames = [sparkplug.data(metrics.payload, number, NOW_US) for number in range(256)]
    number = 0

    def decode(_: bytes) -> list[Item]:
        nonlocal number
        number = (number + 1) % 256
        return nodes.decode(frames[number], "spBv1.0/g/NDATA/e", NOW_US)

    return Case("sparkplug", frames[1], decode)


def counted(found: list[Item] | Decoded | Rejected) -> int:
    if isinstance(found, list):
        return sum(isinstance(item, Reading) for item in found)
    return len(found.points) if isinstance(found, Decoded) else 0


def us_a_frame(case: Case, seconds: float) -> float:
    frames, began = 0, time.process_time()
    while (spent := time.process_time() - began) < seconds:
        for _ in range(100):
            case.decode(case.frame)
        frames += 100
    return spent / frames * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--readings", type=int, default=10, help="of a frame")
    parser.add_argument("--seconds", type=float, default=1.0, help="of processor time, each format")
    asked = parser.parse_args()
    print(f"{'format':16}{'bytes':>7}{'readings':>10}{'us a frame':>12}{'frames/s':>12}{'readings/s':>12}")
    for case in cases(asked.readings):
        readings = counted(case.decode(case.frame))
        us = us_a_frame(case, asked.seconds)
        print(
            f"{case.name:16}{len(case.frame):7}{readings:10}{us:12.1f}{1e6 / us:12,.0f}"
            f"{readings * 1e6 / us:12,.0f}"
        )


if __name__ == "__main__":
    main()
