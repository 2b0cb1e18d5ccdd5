"""A command to one gateway: published on down/{gateway}/cmd, its answer awaited on up/{gateway}/cmd-result.

Listens before it speaks, and goes by the id alone: several may ask at once. A gateway that is not connected
with a persistent session never sees the command; then there is no answer, and whoever asked is told so.
"""

from __future__ import annotations

import json
import queue
import secrets
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from cityvigil.errors import CannotRun
from cityvigil.stack import Stack

CONNECT_WITHIN_S = 10.0


def send(stack: Stack, gateway: str, op: str, args: dict[str, Any], within_s: float) -> dict[str, Any] | None:
    """The gateway's answer, or None if it gave none in time. Raises CannotRun without a broker."""
    command = secrets.token_hex(8)
    listening: queue.Queue[str] = queue.Queue()
    answers: queue.Queue[dict[str, Any]] = queue.Queue()

    def on_connect(client: Any, _: Any, __: Any, reason: Any, ___: Any) -> None:
        if reason.is_failure:
            listening.put(str(reason))
        else:
            client.subscribe(f"up/{gateway}/cmd-result", 1)

    def on_message(_: Any, __: Any, message: paho.MQTTMessage) -> None:
        try:
            found = json.loads(message.payload)
        except (ValueError, RecursionError):
            return
        if isinstance(found, dict) and found.get("id") == command:
            answers.put(found)

    client = paho.Client(
        CallbackAPIVersion.VERSION2, f"cityvigil-command-{command}", protocol=MQTTProtocolVersion.MQTTv5
    )
    client.username_pw_set(stack.mqtt_user, stack.mqtt_password)
    client.on_connect = on_connect
    client.on_subscribe = lambda *_: listening.put("")
    client.on_message = on_message
    host, _, port = stack.mqtt.rpartition(":")
    try:
        client.connect(host, int(port))
    except OSError as error:
        raise CannotRun(f"no broker at {stack.mqtt}: {error}") from None
    client.loop_start()
    try:
        refused = _first(listening, CONNECT_WITHIN_S)
        if refused != "":
            raise CannotRun(f"the broker at {stack.mqtt} does not let us in: {refused or 'no answer'}")
        said = json.dumps({"id": command, "op": op, "args": args})
        client.publish(f"down/{gateway}/cmd", said, qos=1)
        found: dict[str, Any] | None = _first(answers, within_s)
        return found
    finally:
        client.disconnect()
        client.loop_stop()


def _first(of: queue.Queue[Any], within_s: float) -> Any:
    try:
        return of.get(timeout=within_s)
    except queue.Empty:
        return None
