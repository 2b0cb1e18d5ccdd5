"""What simulated gateways say in the field's protocols is what the platform reads, value for value."""

from __future__ import annotations

import pytest

from ingest.decoded import Decoded
from ingest.formats import ctwing, gb26875, hj212, natives, senml, sl651, video
from ingest.formats.columns import whole
from ingest.formats.meanings import meant
from ingest.formats.result import Item, Reading
from ingest.formats.sparkplug import EdgeNodes
from ingest.formats.stream import StreamFormat, decode_all
from ingest.units import conversion
from schemas.reading import Flag
from schemas.registry import Registry, Sensor
from simulators.protocols import sparkplug
from simulators.protocols.speech import SPEECHES, Frame, Member, Readings, Speech

GATEWAY = "gw-x-shinan-01-1"
TIME_US = 1_793_493_060_000_000  # a whole minute, as SL 651 has no seconds
MEMBERS = (
    Member("smoke-01", "fire_smoke_detector_state", "1", True),
    Member("smoke-02", "fire_smoke_detector_state", "1", True),
    Member("supply-voltage-01", "fire_power_voltage", "V", False),
    Member("charger-temp-01", "fire_ebike_charger_temp", "Cel", False),
    Member("hydrant-net-01", "fire_hydrant_net_pressure", "MPa", False),
    Member("residual-current-01", "fire_residual_current", "mA", False),
    Member("meter-01", "home_water_meter", "m3", False),
)
SAID: Readings = [(0, 1.0), (1, 0.0), (2, 223.4), (3, -5.5), (4, 0.305), (5, 57.0), (6, 1234.0)]
STREAMS: dict[str, StreamFormat] = {"hj212": hj212.FORMAT, "gb26875": gb26875.FORMAT, "sl651": sl651.FORMAT}


def a_speech(name: str) -> Speech:
    return SPEECHES[name](GATEWAY, 7, MEMBERS)


def a_registry(speech: Speech) -> Registry:
    registry = Registry()
    for number, (point, member) in enumerate(zip(speech.points(), speech.members, strict=True), 1):
        registry.apply(Sensor(number, GATEWAY, point, member.category, member.unit, "z"))
    return registry


def heard(speech: Speech, frame: Frame, nodes: EdgeNodes, sequence: int) -> Decoded:
    """A frame through the decoder that the platform would use for it."""
    items: list[Item]
    if speech.by == "topics":
        assert frame.topic is not None
        native = natives.of(frame.topic)
        found = (
            senml.decode(frame.payload, TIME_US)
            if native is None
            else native(frame.payload, GATEWAY, a_registry(speech), TIME_US)
        )
        assert isinstance(found, Decoded)
        return found
    if speech.by == "edge-node":
        data = sparkplug.data(frame.payload, sequence, TIME_US)
        items = nodes.decode(data, f"spBv1.0/city/NDATA/{GATEWAY}", TIME_US)
    elif speech.by == "push":
        decode = video.decode if speech.name == "video-push" else ctwing.decode
        items = decode(frame.payload, None, TIME_US)
    else:
        items = decode_all(STREAMS[speech.name], frame.payload, TIME_US)
    registry = a_registry(speech)
    read = [meant(item, GATEWAY, registry) if isinstance(item, Reading) else item for item in items]
    found = whole(read, TIME_US, frame.payload)
    assert isinstance(found, Decoded)
    return found


@pytest.mark.parametrize("name", SPEECHES)
def test_what_a_simulated_gateway_says_is_what_is_read(name: str) -> None:
    speech = a_speech(name)
    registry = a_registry(speech)
    nodes = EdgeNodes()
    names = [(member.point, member.is_state) for member in MEMBERS]
    nodes.decode(sparkplug.birth(0, names, TIME_US), f"spBv1.0/city/NBIRTH/{GATEWAY}", TIME_US)
    found: dict[str, float] = {}
    for sequence, frame in enumerate(speech.frames(TIME_US, TIME_US, SAID), 1):
        decoded = heard(speech, frame, nodes, sequence)
        assert decoded.refused == []
        assert len(decoded.points) == frame.readings
        assert set(decoded.time.tolist()) == {TIME_US}
        for at, point in enumerate(decoded.points):
            if (GATEWAY, point) not in registry.sensors:
                # A meter says more than its volume, and an event where its picture is.
                assert name == "cjt188" or (name.startswith("video") and point.endswith("-picture"))
                continue
            sensor = registry.sensors[GATEWAY, point]
            line = conversion(decoded.units[at], sensor.unit)
            assert line is not None
            assert decoded.flags[at] in (Flag.number, Flag.boolean)
            found[point] = float(decoded.value[at]) * line.factor / line.divisor + line.offset
    points = speech.points()
    assert len(set(points)) == len(points)
    assert found == pytest.approx({points[at]: value for at, value in SAID}, rel=1e-6)


def test_a_long_upload_is_split_and_every_part_is_whole() -> None:
    members = [Member(f"p-{n:02d}", "water_main_pressure", "MPa", False) for n in range(60)]
    speech = SPEECHES["hj212"](GATEWAY, 1, members)
    frames = speech.frames(TIME_US, TIME_US, [(n, n / 8) for n in range(60)])
    assert len(frames) > 1
    read = [item for frame in frames for item in decode_all(hj212.FORMAT, frame.payload)]
    assert [item.value for item in read if isinstance(item, Reading)] == [n / 8 for n in range(60)]


def test_what_is_told_later_is_marked_as_historical() -> None:
    nodes = EdgeNodes()
    topic = f"spBv1.0/city/%s/{GATEWAY}"
    nodes.decode(sparkplug.birth(0, [("level", False), ("door", True)], TIME_US), topic % "NBIRTH", TIME_US)
    metrics = sparkplug.metric(1, 2.5, TIME_US) + sparkplug.metric(2, True, TIME_US)
    items = nodes.decode(
        sparkplug.data(sparkplug.as_historical(metrics), 1, TIME_US), topic % "NDATA", TIME_US
    )
    said = [(item.point, item.value, item.historical) for item in items if isinstance(item, Reading)]
    assert said == [("level", 2.5, True), ("door", True, True)]
