"""The JSON of IoT platforms: ThingsBoard, SensorThings, CTWing, OneNET; and of cameras' analytics."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from ingest.formats import ctwing, onenet, sensorthings, thingsboard, video
from ingest.formats.result import Bad, Item, Reading, Reply, Seen
from schemas.reading import Quality, Reason
from tests.unit.formats.book import named
from tests.unit.formats.decoding import decoded

NOW_US = 1_793_493_000_000_000


def said(**values: object) -> bytes:
    return json.dumps(values).encode()


def reasons(items: list[Item]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Bad)]


def values(items: list[Item]) -> list[tuple[str, int | None, object]]:
    return [(item.point, item.time_us, item.value) for item in items if isinstance(item, Reading)]


def test_a_thingsboard_device_says_values_alone_or_with_a_time_or_several() -> None:
    assert values(thingsboard.decode(b'{"t":42,"on":true,"s":"x"}', None, NOW_US)) == [
        ("t", None, 42),
        ("on", None, True),
        ("s", None, "x"),
    ]
    timed = b'{"ts":1451649600512,"values":{"t":1}}'
    assert values(thingsboard.decode(timed, None, NOW_US)) == [("t", 1451649600512000, 1)]
    several = b'[{"t":1},' + timed + b"]"
    assert values(thingsboard.decode(several, "v1/devices/me/telemetry", NOW_US)) == [
        ("t", None, 1),
        ("t", 1451649600512000, 1),
    ]


def test_devices_behind_a_thingsboard_gateway_stand_before_their_points() -> None:
    document = b'{"Device A":[{"ts":1483228800000,"values":{"temperature":42,"humidity":80}}],"B":[{"x":1}]}'
    for topic in (None, "v1/gateway/telemetry"):
        assert values(thingsboard.decode(document, topic, NOW_US)) == [
            ("Device A/temperature", 1483228800000000, 42),
            ("Device A/humidity", 1483228800000000, 80),
            ("B/x", None, 1),
        ]


def test_what_a_thingsboard_gateway_says_beside_telemetry_is_named() -> None:
    for kind in ("connect", "disconnect"):
        assert thingsboard.decode(b'{"device":"A"}', f"v1/gateway/{kind}", NOW_US) == [Seen("A", kind)]
    assert thingsboard.decode(b'{"fw":"1.2"}', "v1/devices/me/attributes", NOW_US) == [
        Seen(None, "attributes")
    ]
    assert thingsboard.decode(b"{}", "v1/devices/me/rpc/request/1", NOW_US) == [Seen(None, "rpc")]
    claim = b'{"secretKey":"of nobody else","durationMs":30000}'
    assert thingsboard.decode(claim, "v1/devices/me/claim", NOW_US) == [Seen(None, "claim")]
    asked = b'{"clientKeys":"a","sharedKeys":"b"}'
    assert thingsboard.decode(asked, "v1/devices/me/attributes/request/1", NOW_US) == [
        Seen(None, "attributes")
    ]


def test_a_value_that_is_no_scalar_is_refused_and_its_neighbours_kept() -> None:
    found = thingsboard.decode(b'{"a":{"b":1},"c":2,"d":null}', None, NOW_US)
    assert reasons(found) == [Reason.unsupported]
    assert found[1:] == [Reading(None, "c", None, 2), Reading(None, "d", None, None, None, Quality.suspect)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a":NaN}', Reason.syntax),
        (b'{"a":1', Reason.truncated),
        (b'{"a":"\xff"}', Reason.syntax),
        (b'{"a":1e999}', Reason.range),
        (b'{"a":' * 3_000, Reason.syntax),
        (b'[{"ts":"x","values":{"a":1}}]', Reason.range),
        (b"[1]", Reason.syntax),
    ],
)
def test_what_is_no_telemetry_is_refused_with_its_reason(data: bytes, reason: Reason) -> None:
    assert reasons(thingsboard.decode(data, None, NOW_US)) == [reason]


def test_an_observation_belongs_to_the_datastream_of_its_topic_or_body() -> None:
    body = said(phenomenonTime="2026-11-01T00:30:15Z", result=0.31)
    (found,) = sensorthings.decode(body, "v1.1/Datastreams(42)/Observations", NOW_US)
    assert found == Reading(None, "Datastreams(42)", 1_793_493_015_000_000, 0.31)
    linked = said(result=1, Datastream={"@iot.id": 7}, phenomenonTime="2026-11-01T08:30:15+08:00")
    assert values(sensorthings.decode(linked, None, NOW_US)) == [("Datastreams(7)", 1_793_493_015_000_000, 1)]
    assert values(sensorthings.decode(said(result=True), None, NOW_US)) == [("result", None, True)]


def test_an_observation_over_a_period_counts_from_its_beginning() -> None:
    body = said(phenomenonTime="2026-11-01T00:30:15Z/2026-11-01T01:00:00Z", result=1)
    assert values(sensorthings.decode(body, None, NOW_US)) == [("result", 1_793_493_015_000_000, 1)]


def test_a_time_without_an_offset_is_none_and_the_result_time_stands_in() -> None:
    body = said(phenomenonTime="2026-11-01T00:30:15", resultTime="2026-11-01T00:30:15Z", result=1)
    assert values(sensorthings.decode(body, None, NOW_US)) == [("result", 1_793_493_015_000_000, 1)]
    assert values(sensorthings.decode(said(phenomenonTime="soon", result=1), None, NOW_US)) == [
        ("result", None, 1)
    ]


def test_a_data_array_is_an_observation_a_row() -> None:
    body = [
        {
            "Datastream": {"@iot.id": 1},
            "components": ["phenomenonTime", "result"],
            "dataArray": [["2026-11-01T00:30:15Z", 1], "no row", ["2026-11-01T00:30:16Z", [2]]],
        }
    ]
    found = sensorthings.decode(json.dumps(body).encode(), None, NOW_US)
    assert values(found) == [("Datastreams(1)", 1_793_493_015_000_000, 1)]
    assert reasons(found) == [Reason.syntax, Reason.unsupported]


def push(payload: object, **more: object) -> bytes:
    return said(deviceId="d1", messageType="dataReport", timestamp=1600400064538, payload=payload, **more)


def test_a_ctwing_report_is_its_devices_readings_at_its_time() -> None:
    found = ctwing.decode(push({"rsrp": -98, "Water_depth": 0.4}), None, NOW_US)
    assert found == [
        Reading("d1", "rsrp", 1600400064538000, -98),
        Reading("d1", "Water_depth", 1600400064538000, 0.4),
    ]


def test_what_a_meter_stored_has_the_time_of_its_storing_and_not_of_arrival() -> None:
    items = [{"time": "2020-09-18 10:00:00", "amount": 1}, {"time": "2020-09-18 11:00:00", "amount": 2}]
    meter = {"readTime": "2020-09-18 11:34:24", "amount": 3, "items": items}
    payload = {"serviceId": "SystemCmdRawData", "serviceData": {"MeterData": meter}}
    assert values(ctwing.decode(push(payload), None, NOW_US)) == [
        ("amount", 1_600_400_064_000_000, 3),
        ("items.amount", 1_600_394_400_000_000, 1),
        ("items.amount", 1_600_398_000_000_000, 2),
    ]


def test_raw_bytes_need_a_format_by_name(tmp_path: Path) -> None:
    raw = push({"APPdata": base64.b64encode(named("cjt188", "fox_water_valve_closed")).decode()})
    assert reasons(ctwing.decode(raw, None, NOW_US)) == [Reason.unsupported]
    context = tmp_path / "context.json"
    context.write_text('{"inner":"cjt188"}')
    code, lines = decoded("ctwing", raw, "--context", str(context))
    assert code == 0
    assert (lines[0]["gateway"], lines[0]["point"]) == ("d1", "78330011223344/901F.volume_now")
    assert (lines[0]["value"], lines[0]["unit"]) == (556677.0, "m3")


def test_the_older_platform_says_its_event_in_utc() -> None:
    service = {"serviceId": "x", "data": {"level": 1}, "eventTime": "20180806T093436Z"}
    body = said(notifyType="deviceDataChanged", deviceId="d2", service=service)
    assert ctwing.decode(body, None, NOW_US) == [Reading("d2", "level", 1_533_548_076_000_000, 1)]


def test_other_reports_of_the_platform_are_named() -> None:
    body = said(deviceId="d1", messageType="deviceOnlineOfflineReport", eventType=1)
    assert ctwing.decode(body, None, NOW_US) == [Seen("d1", "device_online_offline_report")]
    assert ctwing.decode(said(deviceId="d1", notifyType="deviceAdded"), None, NOW_US) == [
        Seen("d1", "device_added")
    ]
    assert reasons(ctwing.decode(said(deviceId="d1", payload=3), None, NOW_US)) == [Reason.syntax]
    assert reasons(ctwing.decode(said(messageType={}, payload=3), None, NOW_US)) == []


def test_a_onenet_property_has_its_own_time_and_the_post_is_replied_to() -> None:
    body = said(id="123", version="1.0", params={"Power": {"value": "on", "time": 1524448722123}, "n": 5})
    found = onenet.decode(body, "$sys/pid/dev1/thing/property/post", NOW_US)
    assert found[:2] == [
        Reading("dev1", "Power", 1524448722123000, "on"),
        Reading("dev1", "n", None, 5),
    ]
    assert isinstance(found[2], Reply)
    assert found[2].topic == "$sys/pid/dev1/thing/property/post/reply"
    assert json.loads(found[2].data) == {"id": "123", "code": 200, "msg": "success"}


def test_a_onenet_pack_names_each_device() -> None:
    one = {"identity": {"productID": "p", "deviceName": "d7"}, "properties": {"n": {"value": 1}}}
    found = onenet.decode(said(id="1", params=[one, 3]), "$sys/p/gw/thing/pack/post", NOW_US)
    assert found[0] == Reading("d7", "n", None, 1)
    assert reasons(found) == [Reason.syntax]


def test_a_onenet_push_is_a_data_stream_or_a_thing_model() -> None:
    stream = {"type": 1, "dev_id": 2016617, "ds_id": "temp", "at": 1466133706841, "value": 42}
    assert onenet.decode(said(msg=stream, nonce="x"), None, NOW_US) == [
        Reading("2016617", "temp", 1466133706841000, 42)
    ]
    model = {"deviceName": "d1", "notifyType": "property", "data": {"id": "1", "params": {"n": {"value": 1}}}}
    assert onenet.decode(said(msg=json.dumps(model)), None, NOW_US) == [Reading("d1", "n", None, 1)]
    login = {"dev_id": 1, "type": 2, "status": 1}
    assert onenet.decode(said(msg=[login]), None, NOW_US) == [Seen("1", "2")]


def test_documents_behind_one_another_are_read_and_what_is_none_is_named_with_its_place() -> None:
    data = b'{"a":1}\n{"b":NaN} xx {"c":2}[{"d":3}]{"e":'
    code, lines = decoded("thingsboard", data)
    assert code == 1
    assert [line.get("point") or (line["rejected"], line["at"]) for line in lines] == [
        "a",
        ("syntax", 8),
        ("syntax", 18),
        "c",
        "d",
        ("truncated", len(data) - 5),
    ]


def test_the_context_names_topic_and_gateway(tmp_path: Path) -> None:
    context = tmp_path / "context.json"
    context.write_text('{"gateway":"gw-1","topic":"v1/gateway/telemetry"}')
    _, (line,) = decoded("thingsboard", b'{"A":[{"t":1}]}', "--context", str(context))
    assert (line["gateway"], line["point"]) == ("gw-1", "A/t")


@pytest.mark.parametrize("context", ['{"inner":"morse"}', '{"what":1}', "{", '{"registers":[{"point":"x"}]}'])
def test_a_context_that_cannot_be_read_cannot_be_used(context: str, tmp_path: Path) -> None:
    path = tmp_path / "context.json"
    path.write_text(context)
    assert decoded("modbus", b"", "--context", str(path)) == (2, [])


def test_what_a_camera_saw_is_a_point_of_the_box_with_its_picture_beside_it() -> None:
    smoke = {"camera": "c1", "event": "smoke", "time": "2026-11-01T08:30:00", "value": 0.83, "unit": "1"}
    smoke["picture"] = "https://box.example/e/8812.jpg"
    crowd = {"camera": "c1", "event": "crowd", "time": 1793493000000, "value": 412}
    lane = {"camera": "c2", "event": "fire_lane_blocked"}
    alone, listed, wrapped = (
        smoke,
        [smoke, crowd, lane],
        {"device": "box", "events": [lane | {"state": "end"}]},
    )
    picture = ("c1/smoke-picture", NOW_US, "https://box.example/e/8812.jpg")
    assert values(video.decode(json.dumps(alone).encode(), None, NOW_US)) == [
        ("c1/smoke", NOW_US, 0.83),
        picture,
    ]
    assert values(video.decode(json.dumps(listed).encode(), None, NOW_US)) == [
        ("c1/smoke", NOW_US, 0.83),
        picture,
        ("c1/crowd", NOW_US, 412),
        ("c2/fire_lane_blocked", None, True),
    ]
    (ended,) = video.decode(json.dumps(wrapped).encode(), None, NOW_US)
    assert ended == Reading("box", "c2/fire_lane_blocked", None, False)


def test_an_event_that_cannot_be_used_is_refused_alone_and_pictures_are_not_taken() -> None:
    good = {"camera": "c1", "event": "smoke", "value": 0.5}
    wrong = [
        {"camera": "c 1", "event": "smoke"},
        {"camera": "c1"},
        good | {"time": "yesterday"},
        good | {"value": None, "state": "maybe"},
        good | {"value": [1]},
        7,
    ]
    found = video.decode(
        json.dumps([*wrong, good | {"picture": "data:image/png;base64,AAAA"}]).encode(), None, 0
    )
    assert reasons(found) == ["syntax"] * 4 + ["unsupported", "syntax", "unsupported"]
    assert values(found) == [("c1/smoke", None, 0.5)]
    assert reasons(video.decode(b'{"events":1}', None, 0)) == ["syntax"]
