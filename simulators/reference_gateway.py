"""A gateway to copy: this one file, Python's standard library and paho-mqtt, nothing else of cityvigil.

It keeps each frame in an outbox on disk until the platform has answered it, sends in sequence, resends as
docs/gateway.md says, and answers commands. Killed at any moment it goes on where it was: nothing is lost, and
what is sent twice has the same epoch and sequence, so it counts once. One thread: call `step` all the time.
It does not measure: whoever owns it submits SenML records.

    python reference_gateway.py HOST:PORT GATEWAY SECRET-FILE OUTBOX-FILE < frames

sends each line of standard input, a SenML JSON array, as a frame, and ends when all of them are answered.
"""

from __future__ import annotations

import json
import logging
import random
import sqlite3
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

log = logging.getLogger("gateway")

CORRELATION = struct.Struct(">QQ")  # epoch, sequence
WINDOW = 64  # unanswered frames on the wire
PATIENCE_S, PATIENCE_MAX_S = 30.0, 600.0
RECONNECT_S, RECONNECT_MAX_S = 1.0, 60.0
FRAME_BYTES = 1_000_000  # the broker ends the connection of who sends more than 1 MiB
KEEPALIVE_S = 30

Records = list[dict[str, Any]]
Command = Callable[[dict[str, Any]], dict[str, Any]]


class Outbox:
    """Frames on disk, and the gateway's epoch and counter with them. Every change is synced when it returns.

    A lost file is a lost counter: the new one takes a new epoch, so its sequences are not taken for old ones.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("CREATE TABLE IF NOT EXISTS counter (epoch INTEGER, next INTEGER)")
        self._db.execute("CREATE TABLE IF NOT EXISTS frames (sequence INTEGER PRIMARY KEY, payload BLOB)")
        if self._db.execute("SELECT count(*) FROM counter").fetchone() == (0,):
            self._db.execute("INSERT INTO counter VALUES (?, 1)", (time.time_ns() // 1_000,))
        self._db.execute("COMMIT")
        self.epoch, self.next = self._db.execute("SELECT epoch, next FROM counter").fetchone()

    def put(self, payload: bytes) -> int:
        sequence = int(self.next)
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT INTO frames VALUES (?, ?)", (sequence, payload))
            self._db.execute("UPDATE counter SET next = ?", (sequence + 1,))
        self.next = sequence + 1
        return sequence

    def drop(self, sequence: int) -> bool:
        """Whether it was there."""
        return self._db.execute("DELETE FROM frames WHERE sequence = ?", (sequence,)).rowcount > 0

    def oldest(self) -> int:
        """The oldest unanswered; the next one if all are answered."""
        (found,) = self._db.execute("SELECT min(sequence) FROM frames").fetchone()
        return int(self.next if found is None else found)

    def between(self, first: int, limit: int) -> list[tuple[int, bytes]]:
        wanted = "SELECT sequence, payload FROM frames WHERE sequence >= ? AND sequence < ? ORDER BY sequence"
        return [
            (int(sequence), bytes(payload)) for sequence, payload in self._db.execute(wanted, (first, limit))
        ]

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM frames").fetchone()[0])

    def close(self) -> None:
        self._db.close()


class Gateway:
    """`commands` are operations by name, beside `time`; each takes the arguments and returns a result."""

    def __init__(
        self,
        address: str,
        gateway: str,
        secret: str,
        outbox: Outbox,
        commands: dict[str, Command] | None = None,
        rng: random.Random | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host, int(port)
        self._gateway, self._secret, self._outbox = gateway, secret, outbox
        self._commands = {"time": self._set_time, **(commands or {})}
        self._rng, self._now = rng or random.Random(), now
        self._client: paho.Client | None = None
        self._listening = False
        self._cursor = 0  # the next sequence to put on the wire
        self._serving: int | None = None  # the `from` of the resend being served
        self._patience_s = PATIENCE_S
        self.resends_at: float | None = None  # without an answer until then, all is sent again
        self._retry_s = RECONNECT_S
        self._retry_at = 0.0
        self.ahead_us = 0  # of the platform's clock against ours, once it has told

    def submit(self, records: Records) -> None:
        """Takes a frame for sending; it is on disk when this returns. A frame too large goes as several:
        give each record its own name, unit and time then, and no base fields."""
        payload = json.dumps(records, allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode()
        if len(payload) > FRAME_BYTES and len(records) > 1:
            half = len(records) // 2
            self.submit(records[:half])
            self.submit(records[half:])
            return
        self._outbox.put(payload)

    def step(self, timeout_s: float) -> None:
        """Speaks and listens for at most about so long."""
        if self._client is None:
            self._connect(timeout_s)
            return
        if self._client.loop(timeout_s) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._lost("the line was cut")
            return
        self._pump()

    def close(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client = None

    def _connect(self, timeout_s: float) -> None:
        wait_s = self._retry_at - self._now()
        if wait_s > 0:
            time.sleep(min(wait_s, timeout_s))
            return
        # A new client each time: paho would send its own leftovers again, out of sequence.
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=self._gateway, protocol=MQTTProtocolVersion.MQTTv5
        )
        client.username_pw_set(self._gateway, self._secret)
        client.max_inflight_messages_set(0)
        client.max_queued_messages_set(0)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        try:
            client.connect(self._host, self._port, KEEPALIVE_S)
        except OSError as error:
            self._lost(str(error))
            return
        self._client = client

    def _lost(self, why: str) -> None:
        self._client, self._listening, self.resends_at = None, False, None
        self._retry_at = self._now() + self._retry_s * self._rng.uniform(0.5, 1.5)
        log.warning("%s:%d: %s; again in about %.0f s", self._host, self._port, why, self._retry_s)
        self._retry_s = min(2 * self._retry_s, RECONNECT_MAX_S)

    def _on_connect(self, client: paho.Client, _: Any, __: Any, reason: Any, ___: Any) -> None:
        if reason.is_failure:
            log.error("the broker refuses us: %s", reason)
            return  # it closes the connection
        client.subscribe([(f"down/{self._gateway}/ack", 1), (f"down/{self._gateway}/cmd", 1)])

    def _on_subscribe(self, _: Any, __: Any, ___: Any, reasons: list[Any], ____: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            log.error("the broker does not let us hear answers: %s", reasons)
            return
        self._listening = True
        self._retry_s, self._patience_s = RECONNECT_S, PATIENCE_S
        self._rewind(self._outbox.oldest())

    def _rewind(self, to: int) -> None:
        self._cursor, self._serving, self.resends_at = to, None, None

    def _pump(self) -> None:
        """Puts on the wire what may be there, in sequence."""
        if not self._listening or self._client is None:
            return
        now = self._now()
        if self.resends_at is not None and now >= self.resends_at:
            self._rewind(self._outbox.oldest())
            self._patience_s = min(2 * self._patience_s, PATIENCE_MAX_S)
        for sequence, payload in self._outbox.between(self._cursor, self._outbox.oldest() + WINDOW):
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho does not type it
            properties.ResponseTopic = f"down/{self._gateway}/ack"
            properties.CorrelationData = CORRELATION.pack(self._outbox.epoch, sequence)
            properties.UserProperty = ("published", str(time.time_ns() // 1_000))
            self._client.publish(f"up/{self._gateway}/senml", payload, qos=1, properties=properties)
            self._cursor = sequence + 1
            if self.resends_at is None:
                self.resends_at = now + self._wait_s()

    def _wait_s(self) -> float:
        return self._patience_s * self._rng.uniform(0.5, 1.5)

    def _on_message(self, client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        try:
            said = json.loads(message.payload)
        except (ValueError, RecursionError):
            return
        if not isinstance(said, dict):
            return
        if message.topic.endswith("/cmd"):
            self._obey(client, said)
            return
        correlation = getattr(message.properties, "CorrelationData", b"")
        if len(correlation) == CORRELATION.size:
            epoch, sequence = CORRELATION.unpack(correlation)
            if epoch == self._outbox.epoch:
                self._answered(sequence, said)

    def _answered(self, sequence: int, said: dict[str, Any]) -> None:
        status, start = said.get("status"), said.get("from")
        if status == "resend" and isinstance(start, int):
            if start != self._serving and start < self._cursor:
                self._rewind(max(start, self._outbox.oldest()))
                self._serving = start
        elif status in ("stored", "duplicate", "rejected") and self._outbox.drop(sequence):
            if status == "rejected" or "rejected" in said:
                log.warning("frame %d: %s", sequence, said)
            if self._serving is not None and sequence >= self._serving:
                self._serving = None
            self._patience_s = PATIENCE_S
            waiting = self._outbox.oldest() < self._cursor
            self.resends_at = self._now() + self._wait_s() if waiting else None

    def _obey(self, client: paho.Client, said: dict[str, Any]) -> None:
        arguments = said.get("args")
        command = self._commands.get(str(said.get("op")))
        answer: dict[str, Any] = {"id": said.get("id"), "status": "unsupported"}
        if command is not None:
            result = command(arguments if isinstance(arguments, dict) else {})
            answer |= {"status": "done", "result": result}
        client.publish(f"up/{self._gateway}/cmd-result", json.dumps(answer), qos=1)

    def _set_time(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Notes how far the platform's clock is ahead; setting our own is the owner's business."""
        now_us = time.time_ns() // 1_000
        told = arguments.get("time_us")
        if isinstance(told, int):
            self.ahead_us = told - now_us
        return {"time_us": now_us, "ahead_us": self.ahead_us}


def main(address: str, gateway: str, secret_file: str, outbox_file: str) -> int:
    logging.basicConfig(level=logging.INFO)
    outbox = Outbox(Path(outbox_file))
    client = Gateway(address, gateway, Path(secret_file).read_text().strip(), outbox)
    for line in sys.stdin:
        client.submit(json.loads(line))
        client.step(0.0)
    while len(outbox):
        client.step(0.2)
    client.close()
    outbox.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
