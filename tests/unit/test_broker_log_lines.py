"""The broker's own refusals, line by line, as Mosquitto 2.0.11 writes them."""

from __future__ import annotations

from ingest.broker_log import Lines, Refusal
from schemas.reading import Reason

T = b"2026-11-23T09:02:47: "
CONNECTED = T + b"New client connected from 127.0.0.1:34645 as cid (p2, c1 (p5, c1, k60, u'gw-1')."
DENIED = T + b"Denied PUBLISH from cid (p2, c1 (d0, q1, r0, m1, 'up/gw-'2, x/senml', ... (12 bytes))"


def of(*lines: bytes) -> list[Refusal]:
    reader = Lines()
    return [found for line in lines if (found := reader.read(line))]


def test_a_denied_publish_is_the_gateways_whatever_its_client_is_called() -> None:
    (found,) = of(CONNECTED, DENIED)
    assert (found.source, found.reason) == ("gw-1", Reason.topic)
    assert "up/gw-'2, x/senml" in found.detail


def test_the_user_that_the_log_adds_counts_where_the_connection_was_not_seen() -> None:
    (found,) = of(DENIED + b" by u'gw-9'")
    assert found.source == "gw-9"


def test_an_oversize_packet_is_the_gateways() -> None:
    (found,) = of(CONNECTED, T + b"Client cid (p2, c1 disconnected due to oversize packet.")
    assert (found.source, found.reason) == ("gw-1", Reason.oversize)


def test_a_refused_login_has_an_address_and_counts_once() -> None:
    (found,) = of(
        T + b"Sending CONNACK to 10.0.0.7 (0, 135)", T + b"Client <unknown> disconnected, not authorised."
    )
    assert (found.source, found.reason) == ("10.0.0.7", Reason.credentials)


def test_a_refused_login_is_the_gateways_whose_name_was_tried() -> None:
    (found,) = of(
        T + b"Sending CONNACK to 10.0.0.7 (0, 135)",
        T + b"Client <unknown> disconnected, not authorised. by u'gw-1'",
    )
    assert (found.source, found.reason) == ("gw-1", Reason.credentials)
    assert "10.0.0.7" in found.detail


def test_a_name_that_the_plugin_tells_beside_the_log_is_that_of_the_refusal_which_follows_at_once() -> None:
    tried, refused = T + b"Log-in by u'gw-1'", T + b"Client <unknown> disconnected, not authorised."
    assert [one.source for one in of(tried, refused)] == ["gw-1"]
    assert [one.source for one in of(tried, T + b"Sending CONNACK to 10.0.0.7 (0, 135)", refused)] == ["gw-1"]
    assert [one.source for one in of(tried, CONNECTED, refused)] == ["unknown"]
    assert [one.source for one in of(tried, refused, refused)] == ["gw-1", "unknown"]


def test_who_is_connected_is_known_as_far_as_the_log_told() -> None:
    reader = Lines()
    assert reader.is_connected("gw-1") is None
    reader.read(CONNECTED)
    assert reader.is_connected("gw-1") is True
    reader.read(T + b"Client cid (p2, c1 closed its connection.")
    assert reader.is_connected("gw-1") is False
    reader.read(CONNECTED)
    reader.read(T + b"mosquitto version 2.0.11 starting")
    assert reader.is_connected("gw-1") is False


def test_other_lines_say_nothing() -> None:
    assert of(b"", b"\xff\x00", T + b"Client cid disconnected.", T + b"Saving in-memory database") == []
