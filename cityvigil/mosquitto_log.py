"""Reads Mosquitto's debug output from a pipe and keeps what a person or ingest wants to know.

Run as a program: mosquitto_log.py PIPE LOG KEPT_BYTES. Drops the lines that every packet causes, adds
` by u'USER'` to lines that name only a client id, and moves LOG to LOG.1 when it reaches KEPT_BYTES. Imports
nothing but the standard library, lives as long as the stack, and outlives a broker that is killed.
"""

import os
import re
import sys

KEPT = re.compile(
    rb"^[^\n]*(?:Denied PUBLISH|oversize|Sending CONNACK to \S+ \(0, [1-9]|[Cc]onnect|rror|version|listen"
    rb"|Config|Warning|xceeded|losed|dropp|OUTGOING)[^\n]*$",
    re.MULTILINE,
)
DROPPED = re.compile(
    rb"\d: New connection from |: (?:Received|Sending) P|CONNACK to \S+ \(0, 0\)$|Received DISCONNECT from"
    rb"|(?: as|: Client) health-"
)
CONNECTED = re.compile(rb"New client connected from \S+ as (.*) \(p\d.*, u'(.*)'\)\.$")
NAMED = re.compile(rb": (?:Denied PUBLISH from (.*?) \(d|Client (.*?) (?:disconnected|closed|has exceeded))")
USERS_KEPT = 100_000


def interesting(chunk: bytes, users: dict[bytes, bytes]) -> list[bytes]:
    """The lines worth keeping of some whole lines; learns in `users` who stands behind a client id."""
    kept = []
    for line in KEPT.findall(chunk):
        if DROPPED.search(line):
            continue
        if connected := CONNECTED.search(line):
            if len(users) >= USERS_KEPT:
                users.pop(next(iter(users)))
            users[connected[1]] = connected[2]
        elif named := NAMED.search(line):
            user = users.get(named[1] or named[2])
            if user is not None:
                line = line + b" by u'" + user + b"'"
        kept.append(line + b"\n")
    return kept


def main(pipe: str, log: str, kept_bytes: int) -> None:
    # Reading and writing: without a writer of its own it would see the end of the pipe when the broker dies.
    source = os.open(pipe, os.O_RDWR)
    users: dict[bytes, bytes] = {}
    rest = b""
    out = open(log, "ab", buffering=0)  # noqa: SIM115 - open for life, replaced on rotation
    while True:
        chunk = rest + os.read(source, 1 << 18)
        whole, newline, rest = chunk.rpartition(b"\n")
        if not newline:
            continue
        lines = interesting(whole, users)
        if lines:
            out.write(b"".join(lines))
            if out.tell() > kept_bytes:
                out.close()
                os.replace(log, log + ".1")
                out = open(log, "ab", buffering=0)  # noqa: SIM115


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
