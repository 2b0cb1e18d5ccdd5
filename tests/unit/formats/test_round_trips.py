"""What a sender writes by its platform's documentation is what is read, for any names, values and times."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import cbor2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoded import Decoded
from ingest.formats import ctwing, onenet, senml, senml_cbor, sensorthings, thingsboard, video
from ingest.formats.result import Item, Reading, Reply
from schemas.clock import to_us

NOW_US = 1_793_493_000_000_000
SENT = {"ts", "time", "readTime", "collectTime", "eventTime", "APPdata", "payload", "serviceData"}
names = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True).filter(lambda name: name not in SENT)
numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
scalars = numbers | st.booleans() | texts
some = st.dictionaries(names, scalars, min_size=1, max_size=8)
moments_ms = st.integers(100_000_000_000, 4_000_000_000_000)
What = tuple[str | None, str, int | None, object]


def what(items: list[Item]) -> list[What | Item]:
    """Everything but answers, so that whatever was refused is in the way."""
    return [
        (item.gateway, item.point, item.time_us, item.value) if isinstance(item, Reading) else item
        for item in items
        if not isinstance(item, Reply)
    ]


def body(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


@given(some, moments_ms)
def test_what_a_thingsboard_device_says_is_read(said: dict[str, Any], ms: int) -> None:
    found = thingsboard.decode(body({"ts": ms, "values": said}), "v1/devices/me/telemetry", NOW_US)
    assert what(found) == [(None, name, ms * 1_000, value) for name, value in said.items()]


@given(st.dictionaries(names, st.lists(st.tuples(moments_ms, some), min_size=1, max_size=3), min_size=1))
def test_what_devices_behind_a_thingsboard_gateway_say_is_read(
    said: dict[str, list[tuple[int, dict[str, Any]]]],
) -> None:
    document = {
        device: [{"ts": ms, "values": values} for ms, values in records] for device, records in said.items()
    }
    found = thingsboard.decode(body(document), "v1/gateway/telemetry", NOW_US)
    assert what(found) == [
        (None, f"{device}/{name}", ms * 1_000, value)
        for device, records in said.items()
        for ms, values in records
        for name, value in values.items()
    ]


@given(st.lists(st.tuples(st.integers(1, 10**9), st.datetimes(dt.datetime(1990, 1, 1)), scalars), min_size=1))
def test_observations_of_sensorthings_are_read(said: list[tuple[int, dt.datetime, Any]]) -> None:
    said = [(number, when.replace(tzinfo=dt.UTC), value) for number, when, value in said]
    document = [
        {
            "Datastream": {"@iot.id": number},
            "components": ["phenomenonTime", "result"],
            "dataArray": [[when.isoformat(), value]],
        }
        for number, when, value in said
    ]
    found = sensorthings.decode(body(document), "v1.1/CreateObservations", NOW_US)
    assert what(found) == [
        (None, f"Datastreams({number})", to_us(when), value) for number, when, value in said
    ]


@given(names, some, moments_ms)
def test_what_a_onenet_device_posts_is_read(device: str, said: dict[str, Any], ms: int) -> None:
    params = {name: {"value": value, "time": ms} for name, value in said.items()}
    topic = f"$sys/PRODUCT/{device}/thing/property/post"
    found = onenet.decode(body({"id": "1", "version": "1.0", "params": params}), topic, NOW_US)
    assert what(found) == [(device, name, ms * 1_000, value) for name, value in said.items()]
    assert [item.topic for item in found if isinstance(item, Reply)] == [f"{topic}/reply"]


@given(names, some, moments_ms)
def test_a_report_of_ctwing_is_read(device: str, said: dict[str, Any], ms: int) -> None:
    report = {"deviceId": device, "messageType": "dataReport", "timestamp": ms, "payload": said}
    found = ctwing.decode(body(report), None, NOW_US)
    assert what(found) == [(device, name, ms * 1_000, value) for name, value in said.items()]


@given(names, st.lists(st.tuples(names, names, numbers, st.booleans()), min_size=1, max_size=8), moments_ms)
def test_what_a_box_of_cameras_saw_is_read(
    box: str, said: list[tuple[str, str, float, bool]], ms: int
) -> None:
    events = [
        {"camera": camera, "event": event, "time": ms, "value": value}
        | ({"picture": f"https://box.example/{camera}"} if has_picture else {})
        for camera, event, value, has_picture in said
    ]
    expected: list[What] = []
    for camera, event, value, has_picture in said:
        expected.append((box, f"{camera}/{event}", ms * 1_000, value))
        if has_picture:
            expected.append((box, f"{camera}/{event}-picture", ms * 1_000, f"https://box.example/{camera}"))
    assert what(video.decode(body({"device": box, "events": events}), None, NOW_US)) == expected


@given(
    st.dictionaries(names.filter(lambda name: name[0].isalnum()), scalars, min_size=1, max_size=8),
    st.integers(1_000_000_000, 1_793_000_000),
)
def test_senml_is_read_alike_from_json_and_from_cbor(said: dict[str, Any], at_s: int) -> None:
    kinds = {bool: "vb", float: "v", str: "vs"}
    records: list[dict[str, Any]] = [{"n": name, kinds[type(value)]: value} for name, value in said.items()]
    records[0]["bt"] = at_s
    labels = {name: label for label, name in senml_cbor.LABELS.items()}
    numbered = [{labels[name]: value for name, value in record.items()} for record in records]
    for found in (
        senml.decode(body(records), NOW_US),
        senml_cbor.decode(cbor2.dumps(numbered), NOW_US),
    ):
        assert isinstance(found, Decoded)
        assert (found.points, found.refused) == (list(said), [])
        assert np.all(found.time == at_s * 1_000_000)
        for value, wanted in zip(found.value.tolist(), said.values(), strict=True):
            assert wanted == (found.texts[int(value)] if isinstance(wanted, str) else value)
