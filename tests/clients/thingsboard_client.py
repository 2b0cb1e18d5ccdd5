"""ThingsBoard's own SDK, led by lines of JSON: "device" or "gateway", HOST, PORT, TOKEN are its arguments.

["telemetry", {...}] is sent as a device's, ["telemetry", {...}, DEVICE] as of a device behind the gateway,
["attributes", {...}] as a device's, ["connect", DEVICE] names one. Each is a line once the broker has
acknowledged it: its result code.
"""

import json
import sys
import time

from tb_device_mqtt import TBDeviceMqttClient
from tb_gateway_mqtt import TBGatewayMqttClient

WITHIN_S = 60.0


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
