"""Topics that do not say who speaks are put below the gateway that logged in, and back again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.connections.mqtt_rewriting import NotMqtt, Packets, Rewriting, packet


def text(said: str) -> bytes:
    return len(said.encode()).to_bytes(2, "big") + said.encode()


def connect(user: str, password: str | None, level: int = 4, will: str | None = None) -> bytes:
    flags = 0x80 | (0x40 if password is not None else 0) | (0x0C if will is not None else 0) | 2
    empty = b"\0" if level == 5 else b""
    body = text("MQTT") + bytes([level, flags, 0, 60]) + empty + text("client")
    if will is not None:
        body += empty + text(will) + text("gone")
    return body + text(user) + (b"" if password is None else text(password))


@pytest.mark.parametrize("level", [4, 5])
def test_a_log_in_passes_and_its_will_stands_below_the_gateway(level: int) -> None:
    rewriting = Rewriting()
    passed = rewriting.up(0x10, connect("gw-1", "secret", level, "v1/devices/me/telemetry"))
    expected = connect("gw-1", "secret", level, "up/gw-1/v1/devices/me/telemetry")
    assert passed == packet(0x10, expected)
    assert rewriting.gateway == "gw-1"


def test_a_token_is_a_gateway_and_its_secret() -> None:
    passed = Rewriting().up(0x10, connect("gw-1:sec:ret", None))
    assert passed == packet(0x10, connect("gw-1", "sec:ret"))


@pytest.mark.parametrize("user", ["", ":x", "a/b:x", "+:x"])
def test_who_does_not_log_in_as_one_gateway_does_not_pass(user: str) -> None:
    with pytest.raises(NotMqtt):
        Rewriting().up(0x10, connect(user, None))


def test_publications_and_subscriptions_are_of_the_gateways_own_and_others_stay() -> None:
    rewriting = Rewriting()
    rewriting.up(0x10, connect("gw-1", "secret"))
    own, other = text("v1/devices/me/telemetry"), text("spBv1.0/g/NDATA/gw-1")
    above = text("up/gw-1/v1/devices/me/telemetry")
    assert rewriting.up(0x32, own + b"\0\1{}") == packet(0x32, above + b"\0\1{}")
    assert rewriting.up(0x30, other + b"{}") == packet(0x30, other + b"{}")
    wanted = b"\0\2" + text("v1/devices/me/rpc/request/+") + b"\1" + text("down/gw-1/ack") + b"\0"
    below = b"\0\2" + text("down/gw-1/v1/devices/me/rpc/request/+") + b"\1" + text("down/gw-1/ack") + b"\0"
    assert rewriting.up(0x82, wanted) == packet(0x82, below)
    assert rewriting.down(0x30, text("down/gw-1/v1/devices/me/rpc/request/1") + b"{}") == packet(
        0x30, text("v1/devices/me/rpc/request/1") + b"{}"
    )
    assert rewriting.down(0x40, b"\0\1") == packet(0x40, b"\0\1")


@given(st.binary(max_size=300), st.integers(1, 300))
def test_any_bytes_are_packets_or_no_mqtt_however_they_are_cut(data: bytes, size: int) -> None:
    packets, rewriting = Packets(), Rewriting()
    rewriting.up(0x10, connect("gw-1", "secret"))
    try:
        for at in range(0, len(data), size):
            for first, body in packets.feed(data[at : at + size]):
                rewriting.up(first, body)
    except NotMqtt:
        pass


def test_a_giant_is_refused_before_it_comes() -> None:
    with pytest.raises(NotMqtt, match="at most"):
        list(Packets().feed(b"\x30\xff\xff\xff\x7f"))
