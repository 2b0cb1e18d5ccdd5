"""The load of `bench flow`: what it sends, when, and which alerts it is sure of."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from cityvigil.flow import generator
from cityvigil.flow.load import KINDS, Frames, Load, gateway_name, point_name
from cityvigil.flow.measure import quantiles
from ingest.decoded import Decoded
from ingest.formats import senml
from schemas.catalogue import catalogue
from schemas.default_rules import default_rules

START_US = 1_795_428_000_123_456

LOADS = [
    Load(rate=4_000, frame=500, seconds=3, gateways=7, crossings=12),
    Load(rate=46_800, frame=500, seconds=1, gateways=100, crossings=40),
    Load(rate=300, frame=33, seconds=4, gateways=3, crossings=5),
    Load(rate=50, frame=1, seconds=4, gateways=10, crossings=20),
]


def _decoded(load: Load, frame: int, frames: Frames) -> Decoded:
    found = senml.decode(frames.payload(frame, START_US), START_US + load.due_us(frame))
    assert isinstance(found, Decoded)
    assert not found.refused
    return found


@pytest.mark.parametrize("load", LOADS)
def test_every_reading_of_a_load_is_its_own_and_none_is_in_the_future(load: Load) -> None:
    frames, seen = Frames(load), Counter[tuple[int, str, int]]()
    for frame in range(load.frames):
        found = _decoded(load, frame, frames)
        assert len(found.points) == load.frame
        assert found.time.max() == START_US + load.due_us(frame)
        gateway = load.gateway_of(frame)
        seen.update((gateway, point, int(us)) for point, us in zip(found.points, found.time, strict=True))
    assert len(seen) == seen.total() == load.frames * load.frame


@pytest.mark.parametrize("load", LOADS)
def test_only_the_planted_point_of_a_planted_frame_is_above_its_limit(load: Load) -> None:
    frames = Frames(load)
    kinds = {point_name(p): load.kind_of(p) for p in range(load.points)}
    high = set()
    for frame in range(load.frames):
        found = _decoded(load, frame, frames)
        limits = np.array([kinds[point].high for point in found.points])
        above = np.array(found.points)[found.value > limits]
        assert list(found.units) == [kinds[point].unit for point in found.points]
        for point in set(above.tolist()):
            assert np.count_nonzero(above == point) == found.points.count(point)
            high.add(f"sensor/{gateway_name(load.gateway_of(frame))}/{point}")
    assert high == load.expected
    assert len(load.expected) == len(load.planted) > 0


def test_what_is_planted_is_judged_live_and_by_the_count_of_reports() -> None:
    rules = {rule.selector.categories[0]: rule for rule in default_rules(judgement_live=False)
             if rule.detector == "threshold"}  # fmt: skip
    for kind in KINDS:
        row = catalogue()[kind.category]
        assert row.unit == kind.unit
        if kind.beyond is not None:
            assert rules[kind.category].mode == "live"
            assert row.hold.split()[-1] in ("report", "reports", "samples")


def test_sequences_of_each_gateway_rise_by_one() -> None:
    load = LOADS[0]
    for gateway in range(load.gateways):
        mine = [load.sequence_of(f) for f in range(load.frames) if load.gateway_of(f) == gateway]
        assert mine == list(range(1, len(mine) + 1))


def test_packets_are_taken_from_the_wire_however_they_are_cut() -> None:
    answer = b"\x00\x0bdown/gw/ack\x00\x07\x13\x09\x00\x10" + bytes(15) + b"\x2a" + b'{"status":"stored"}'
    packet = b"\x32" + bytes((len(answer),)) + answer
    buffer, found = bytearray(), []
    for byte in packet + b"\x40\x02\x00\x01" + packet:
        buffer.append(byte)
        if (whole := generator.taken(buffer)) is not None:
            found.append(whole)
    assert [one[0] >> 4 for one in found] == [generator.PUBLISH, generator.PUBACK, generator.PUBLISH]
    assert not buffer
    assert generator.opened(found[0]) == (7, bytes(15) + b"\x2a", b'{"status":"stored"}')


def test_quantiles_of_nothing_are_nothing() -> None:
    assert quantiles([]) == {"p50": None, "p95": None, "p99": None, "max": None}
    assert quantiles([float(n) for n in range(101)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}


def test_after_a_planted_frame_its_gateway_sends_a_usual_one_where_there_is_time() -> None:
    load = Load(rate=50_000, frame=500, seconds=20, gateways=1_000, crossings=300)
    for frame, point in load.planted.items():
        later = range(frame + load.gateways, load.frames, load.gateways)
        assert later
        assert all(load.planted.get(one) != point for one in later)
