"""Reads Mosquitto's debug output from a pipe and keeps what a person or ingest wants to know.

Run as a program: mosquitto_log.py PIPE LOG KEPT_BYTES. Drops the lines that every packet causes, adds
` by u'USER'` to those that name only a client id or nobody, and moves LOG to LOG.1 when it has KEPT_BYTES.
Imports nothing but the standard library, lives as long as the stack, and outlives a broker that is killed.
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
TRIED = re.compile(rb"Log-in by u'(.*)'$")
"""From our plugin (log_in_names.c). A refusal follows at once, in two lines that name nobody."""
REFUSED = (b"Sending CONNACK to ", b"Client <unknown> disconnected, not authorised.")

USERS_KEPT = 100_000

READ_EVERY_S = 0.05
"""Reading line by line would cost 60 us a frame; gathering costs a tenth, and the pipe holds far more."""


class Sieve:
    """Lines in, those worth keeping out; learns who is behind a client id and who just tried to log in."""

    def __init__(self) -> None:
        self._users: dict[bytes, bytes] = {}
        self._trying: bytes | None = None

    def keep(self, lines: list[bytes]) -> list[bytes]:
        kept = []
        for line in lines:
            if tried := TRIED.search(line):
                self._trying = tried[1]
                continue
            if not line.startswith(REFUSED, STAMP):
                self._trying = None
            if line.startswith(DROPPED, STAMP) or DROPPED_AFTER_ALL.search(line):
                continue
            if connected := CONNECTED.search(line):
                if len(self._users) >= USERS_KEPT:
                    self._users.pop(next(iter(self._users)))
                self._users[connected[1]] = connected[2]
            elif named := NAMED.search(line):
                line = self._with_name(line, named[1] or named[2])
                self._trying = None
            kept.append(line)
        return kept

    def _with_name(self, line: bytes, client: bytes) -> bytes:
        user = self._trying if client == b"<unknown>" else self._users.get(client)
        return line if user is None else line + b" by u'" + user + b"'"


def main(pipe: str, log: str, kept_bytes: int) -> None:
    # Reading and writing: without a writer of its own it would see the end of the pipe when the broker dies.
    source = os.open(pipe, os.O_RDWR)
    sieve = Sieve()
    rest = b""
    while True:
        *lines, rest = (rest + os.read(source, 1 << 20)).split(b"\n")
        if kept := sieve.keep(lines):
            with open(log, "ab") as out:
                out.write(b"\n".join(kept) + b"\n")
                full = out.tell() > kept_bytes
            if full:
                os.replace(log, log + ".1")
        time.sleep(READ_EVERY_S)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
