"""ThingsBoard's own SDK, led by lines of JSON: "device" or "gateway", HOST, PORT, TOKEN are its arguments.

["telemetry", {...}] is sent as a device's, ["telemetry", {...}, DEVICE] as of a device behind the gateway,
["attributes", {...}] as a device's, ["connect", DEVICE] names one. Each is a line once the broker has
acknowledged it: its result code. ["limits"] says those that it was told of: its payload, its messages in
flight, whether it has any rate; ["ask", KEYS] what attributes there are, ["ask", KEYS, DEVICE] of a device
behind the gateway.
"""

import json
import queue
import sys
import time
from typing import Any

from tb_device_mqtt import TBDeviceMqttClient
from tb_gateway_mqtt import TBGatewayMqttClient

WITHIN_S = 60.0


def limits(client: Any) -> list[object]:
    """As they are once the answer has come."""
    patience = time.monotonic() + WITHIN_S
    while not client.rate_limits_received:
        if time.monotonic() > patience:
            sys.exit("was told no limits")
        time.sleep(0.01)
    rates = (client._messages_rate_limit, client._telemetry_rate_limit, client._telemetry_dp_rate_limit)
    has_rate = any(one.has_limit() for one in rates)
    return [client.max_payload_size, client._client._max_inflight_messages, has_rate]


def attributes(client: Any, keys: list[str], device: str | None = None) -> object:
    heard: queue.SimpleQueue[object] = queue.SimpleQueue()

    def hear(content: object, error: object) -> None:
        heard.put(str(error) if error else content)

    if device is None:
        client.request_attributes(client_keys=keys, shared_keys=keys, callback=hear)
    else:
        client.gw_request_shared_attributes(device, keys, hear)
    return heard.get(timeout=WITHIN_S)


def main(kind: str, host: str, port: str, token: str) -> None:
    client = (TBGatewayMqttClient if kind == "gateway" else TBDeviceMqttClient)(host, int(port), token)
    client.connect()
    patience = time.monotonic() + WITHIN_S
    while not client.is_connected():  # its callback may be set too late to be called
        if time.monotonic() > patience:
            sys.exit("not connected")
        time.sleep(0.01)
    for line in sys.stdin:
        match json.loads(line):
            case ["limits"]:
                print(json.dumps(limits(client)), flush=True)
                continue
            case ["ask", *what]:
                print(json.dumps(attributes(client, *what)), flush=True)
                continue
            case ["telemetry", values]:
                sent = client.send_telemetry(values)
            case ["telemetry", values, device]:
                sent = client.gw_send_telemetry(device, values)
            case ["attributes", values]:
                sent = client.send_attributes(values)
            case ["connect", device]:
                sent = client.gw_connect_device(device)
        print(json.dumps(sent.get()), flush=True)


main(*sys.argv[1:])
