"""What is kept of the broker's debug output; the lines are Mosquitto 2.0.11's own."""

from cityvigil.mosquitto_log import Sieve

AT = b"2026-11-23T08:46:05: "
CONNECTED = AT + b"New client connected from 127.0.0.1:55541 as c-1 (p5, c1, k60, u'gw-1')."


def test_what_every_packet_causes_is_dropped() -> None:
    lines = [
        AT + b"New connection from 127.0.0.1:47667 on port 18830.",
        AT + b"No will message specified.",
        AT + b"Sending CONNACK to c-1 (0, 0)",
        AT + b"Received SUBSCRIBE from c-1",
        AT + b"\tdown/gw-1/# (QoS 1)",
        AT + b"c-1 1 down/gw-1/#",
        AT + b"Sending SUBACK to c-1",
        AT + b"Received PUBLISH from c-1 (d0, q1, r0, m2, 'up/gw-1/senml', ... (1 bytes))",
        AT + b"Sending PUBLISH to s (d0, q1, r0, m1, 'up/gw-1/senml', ... (1 bytes))",
        AT + b"Sending PUBACK to c-1 (m2, rc16)",
        AT + b"Received PINGREQ from c-1",
        AT + b"New client connected from 127.0.0.1:1 as health-816 (p2, c1, k10, u'cityvigil').",
        AT + b"Client health-816 disconnected.",
    ]
    assert Sieve().keep(lines) == []


def test_a_denial_names_the_user_behind_the_client_id() -> None:
    denied = AT + b"Denied PUBLISH from c-1 (d0, q1, r0, m1, 'up/gw-2/senml', ... (1 bytes))"
    oversize = AT + b"Client c-1 disconnected due to oversize packet."
    kept = Sieve().keep([CONNECTED, denied, oversize])
    assert kept == [CONNECTED, denied + b" by u'gw-1'", oversize + b" by u'gw-1'"]


def test_a_refused_connection_is_kept_with_its_address() -> None:
    lines = [
        AT + b"Sending CONNACK to 127.0.0.1 (0, 135)",
        AT + b"Client <unknown> disconnected, not authorised.",
    ]
    assert Sieve().keep(lines) == lines


def test_a_refused_connection_gets_the_name_that_was_tried_just_before() -> None:
    tried, gone = AT + b"Log-in by u'gw-1'", AT + b"Client <unknown> disconnected, not authorised."
    connack = AT + b"Sending CONNACK to 127.0.0.1 (0, 135)"
    sieve = Sieve()
    assert sieve.keep([tried]) == []
    assert sieve.keep([connack, gone]) == [connack, gone + b" by u'gw-1'"]
    assert sieve.keep([connack, gone]) == [connack, gone], "the next one gave no name"


def test_a_name_that_got_in_is_not_put_to_another_ones_refusal() -> None:
    tried, gone = AT + b"Log-in by u'gw-1'", AT + b"Client <unknown> disconnected, not authorised."
    assert Sieve().keep([tried, CONNECTED, gone]) == [CONNECTED, gone]


def test_a_line_that_nobody_foresaw_is_kept() -> None:
    lines = [AT + b"Error: Out of memory.", b"no time stamp at all"]
    assert Sieve().keep(lines) == lines
