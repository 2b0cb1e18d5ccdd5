"""What clients of ThingsBoard ask over MQTT, and the answers: limits of a session, attributes, calls.

Pure. The limits are those that stand: MQTT's packet and window; there is none on the number of messages (who
sends too fast is read more slowly). No attributes are kept, so the answer to any request for some is that
there are none; a call that we do not know is answered with an error, or its sender would wait. Topics are
below `up/{gateway}/` and the answers' below `down/{gateway}/`. Provisioning, claiming and firmware are no
questions here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from ingest.commands import QUESTIONS
from ingest.connections.mqtt_rewriting import PACKET_BYTES
from ingest.decoded import Rejected
from schemas.reading import Reason

LIMITS_CALL = "getSessionLimits"
TOPIC_BYTES = 4 << 10
"""Left in a packet for its topic and properties."""
RECEIVE_MAXIMUM = 65_535

_NO_RATES = {"messages": "", "telemetryMessages": "", "telemetryDataPoints": ""}
_LIMITS = {
    "maxPayloadSize": PACKET_BYTES - TOPIC_BYTES,
    "maxInflightMessages": RECEIVE_MAXIMUM,
    "rateLimits": _NO_RATES,
    "gatewayRateLimits": _NO_RATES,
}
_CALL = re.compile(r"v1/devices/me/rpc/request/([0-9]{1,20})")
_ATTRIBUTES = re.compile(r"v1/devices/me/attributes/request/([0-9]{1,20})")
_GATEWAYS_ATTRIBUTES = "v1/gateway/attributes/request"


class Answer(NamedTuple):
    topic: str
    """Below `down/{gateway}/`."""
    payload: bytes


class _Call(msgspec.Struct):
    method: str


class _OfADevice(msgspec.Struct):
    id: int
    device: str


_call = msgspec.json.Decoder(_Call)
_of_a_device = msgspec.json.Decoder(_OfADevice)
_object = msgspec.json.Decoder(dict[str, object])


def answer(form: str, payload: bytes) -> Answer | Rejected | None:
    """To a message whose topic goes on with `form` behind its gateway; None where that is no question."""
    if not form.startswith("v1/"):
        return None
    try:
        if call := _CALL.fullmatch(form):
            is_known = _call.decode(payload).method == LIMITS_CALL
            said: object = _LIMITS if is_known else {"error": "unsupported"}
            topic = f"v1/devices/me/rpc/response/{call[1]}"
        elif request := _ATTRIBUTES.fullmatch(form):
            _object.decode(payload)
            is_known, said, topic = True, {}, f"v1/devices/me/attributes/response/{request[1]}"
        elif form == _GATEWAYS_ATTRIBUTES:
            asked = _of_a_device.decode(payload)
            is_known, said = True, {"id": asked.id, "device": asked.device, "values": {}}
            topic = "v1/gateway/attributes/response"
        else:
            return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Rejected(Reason.syntax, payload, f"expected a question of {form}: {error}")
    QUESTIONS.labels(str(is_known).lower()).inc()
    return Answer(topic, msgspec.json.encode(said))
