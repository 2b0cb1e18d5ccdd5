"""What ThingsBoard's clients ask is answered at the place where they listen, with what is true here."""

from __future__ import annotations

import json

import pytest

from cityvigil.mosquitto import MAX_PACKET_BYTES
from ingest.decoded import Rejected
from ingest.thingsboard_questions import Answer, answer


def answered(form: str, said: object) -> tuple[str, object]:
    found = answer(form, json.dumps(said).encode())
    assert isinstance(found, Answer)
    return found.topic, json.loads(found.payload)


def test_the_limits_of_a_session_are_those_of_the_broker_and_no_rate_is_made_up() -> None:
    asked = {"method": "getSessionLimits", "params": {"timeout": 5000}}
    topic, limits = answered("v1/devices/me/rpc/request/17", asked)
    assert topic == "v1/devices/me/rpc/response/17"
    assert isinstance(limits, dict)
    assert MAX_PACKET_BYTES * 0.99 < limits["maxPayloadSize"] < MAX_PACKET_BYTES
    assert limits["maxInflightMessages"] == 65_535
    assert not any([*limits["rateLimits"].values(), *limits["gatewayRateLimits"].values()])


def test_a_call_that_nobody_knows_is_answered_with_an_error() -> None:
    asked = {"method": "getCurrentTime", "params": {}}
    assert answered("v1/devices/me/rpc/request/1", asked) == (
        "v1/devices/me/rpc/response/1",
        {"error": "unsupported"},
    )


def test_there_are_no_attributes_and_who_asks_for_some_is_told_so() -> None:
    asked: dict[str, object] = {"clientKeys": "a", "sharedKeys": "b,c"}
    assert answered("v1/devices/me/attributes/request/2", asked) == (
        "v1/devices/me/attributes/response/2",
        {},
    )
    asked = {"id": 3, "device": "Device A", "client": True, "keys": ["a"]}
    assert answered("v1/gateway/attributes/request", asked) == (
        "v1/gateway/attributes/response",
        {"id": 3, "device": "Device A", "values": {}},
    )


@pytest.mark.parametrize(
    ("form", "payload"),
    [
        ("v1/devices/me/rpc/request/1", b"{}"),
        ("v1/devices/me/rpc/request/1", b"\xff"),
        ("v1/devices/me/attributes/request/1", b"[" * 5_000),
        ("v1/gateway/attributes/request", b'{"id":"x","device":"A"}'),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(form: str, payload: bytes) -> None:
    assert isinstance(answer(form, payload), Rejected)


@pytest.mark.parametrize(
    "form",
    [
        "senml",
        "v1/devices/me/telemetry",
        "v1/devices/me/rpc/response/1",
        "v1/devices/me/rpc/request/+",
        "v1/devices/me/rpc/request/1/2",
        "v1/devices/me/claim",
    ],
)
def test_other_messages_are_no_questions(form: str) -> None:
    assert answer(form, b'{"method":"getSessionLimits"}') is None
