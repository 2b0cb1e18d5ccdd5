"""Reads Mosquitto's debug output from a pipe and keeps what a person or ingest wants to know.

Run as a program: mosquitto_log.py PIPE LOG KEPT_BYTES. Drops the lines that every packet causes, adds
` by u'USER'` to lines that name only a client id, and moves LOG to LOG.1 when it reaches KEPT_BYTES. Imports
nothing but the standard library, lives as long as the stack, and outlives a broker that is killed.
"""

import os
import re
import sys
import time

STAMP = len("2026-11-23T08:46:05: ")
DROPPED = (
    *(b"Received ", b"Sending P", b"Sending SUBACK", b"Sending UNSUBACK", b"New connection from ", b"\t"),
    *(b"No will message", b"Will message", b"Client health-"),
)
DROPPED_AFTER_ALL = re.compile(rb"Sending CONNACK to \S+ \(\d, 0\)$| as health-\S+ \(p| \d (?:up|down)/\S*$")
CONNECTED = re.compile(rb"New client connected from \S+ as (.*) \(p\d.*, u'(.*)'\)\.$")
NAMED = re.compile(rb"(?:Denied PUBLISH from (.*?) \(d|Client (.*?) (?:disconnected|closed|has exceeded))")
USERS_KEPT = 100_000

READ_EVERY_S = 0.05
"""Reading line by line would cost 60 us a frame; gathering costs a tenth, and the pipe holds far more."""


def interesting(lines: list[bytes], users: dict[bytes, bytes]) -> list[bytes]:
    """The lines worth keeping; learns in `users` who stands behind a client id."""
    kept = []
    for line in lines:
        if line.startswith(DROPPED, STAMP) or DROPPED_AFTER_ALL.search(line):
            continue
        if connected := CONNECTED.search(line):
            if len(users) >= USERS_KEPT:
                users.pop(next(iter(users)))
            users[connected[1]] = connected[2]
        elif named := NAMED.search(line):
            user = users.get(named[1] or named[2])
            if user is not None:
                line = line + b" by u'" + user + b"'"
        kept.append(line)
    return kept


def main(pipe: str, log: str, kept_bytes: int) -> None:
    # Reading and writing: without a writer of its own it would see the end of the pipe when the broker dies.
    source = os.open(pipe, os.O_RDWR)
    users: dict[bytes, bytes] = {}
    rest = b""
    while True:
        *lines, rest = (rest + os.read(source, 1 << 20)).split(b"\n")
        if kept := interesting(lines, users):
            with open(log, "ab") as out:
                out.write(b"\n".join(kept) + b"\n")
                full = out.tell() > kept_bytes
            if full:
                os.replace(log, log + ".1")
        time.sleep(READ_EVERY_S)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
