"""What the broker refused by itself, read from its log: wrong passwords, foreign topics, oversize packets.

Such input never reaches ingest, but it must be counted and shown. Follows Mosquitto's log through rotation
and truncation, keeps its place in a file, and sums up what repeats. The log names the user of a denied
publish and, where the broker runs our plugin, of a refused log-in; else that has the address only. It also
says which gateways are connected, as far as the log has told since this process began.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections import Counter as Tally
from collections.abc import Awaitable, Callable
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import msgspec

from schemas.reading import Reason

log = logging.getLogger(__name__)

POLL_S = 0.5
CHUNK = 1 << 20
USERS_KEPT = 100_000

_CONNECTED = re.compile(rb": New client connected from (\S+) as (.*) \(p\d.*, u'(.*)'\)\.$")
_ENDED = re.compile(rb": Client (.*?) (?:disconnected|closed its connection|has exceeded timeout)")
_STARTED = re.compile(rb": mosquitto version \S+ (?:starting|running)$")
_BY = re.compile(rb" by u'(.*)'$")
_DENIED = re.compile(rb": Denied PUBLISH from (.*?) \(d\d, q\d, r\d, m\d+, '(.*)', ... \((\d+) bytes\)\)")
_OVERSIZE = re.compile(rb": Client (.*?) disconnected due to oversize packet")
_CONNACK = re.compile(rb": Sending CONNACK to (\S+) \(0, ([1-9]\d*)\)$")
_TRIED = re.compile(rb": Log-in by u'(.*)'$")
_UNAUTHORISED = re.compile(rb": Client (.*?) disconnected, not authorised\.")


class Refusal(NamedTuple):
    """`source` is the gateway where the broker knows it, else the address or client id of the sender."""

    source: str
    reason: Reason
    detail: str


class _Place(msgspec.Struct):
    inode: int = 0
    offset: int = 0


class Lines:
    """Pure: the broker's lines in, refusals out; remembers who stands behind a client id."""

    def __init__(self) -> None:
        self._users: dict[bytes, bytes] = {}
        self._connected: dict[bytes, set[bytes]] = {}
        self._refused_address = b""
        self._trying = b""  # who a line of the plugin named, until it is known what became of it

    def is_connected(self, user: str) -> bool | None:
        clients = self._connected.get(user.encode())
        return None if clients is None else bool(clients)

    def read(self, line: bytes) -> Refusal | None:
        line = line.rstrip(b"\r\n")
        if found := _TRIED.search(line):
            self._trying = found[1]
            return None
        trying = self._trying
        if not _CONNACK.search(line):
            self._trying = b""
        if found := _CONNECTED.search(line):
            self._begun(found[2], found[3])
        elif found := _DENIED.search(line):
            detail = f"published {_text(found[3])} bytes on {_text(found[2])}, which is not its own"
            return Refusal(self._source(line, found[1]), Reason.topic, detail)
        elif found := _OVERSIZE.search(line):
            source = self._source(line, found[1])
            self._ended(found[1])
            return Refusal(source, Reason.oversize, "a packet over the broker's limit; it was cut off")
        elif found := _CONNACK.search(line):
            self._refused_address = found[1]
        elif found := _UNAUTHORISED.search(line):
            address, self._refused_address = self._refused_address, b""
            by = _BY.search(line)
            named = by[1] if by else trying
            sender = named or (address if found[1] == b"<unknown>" else found[1])
            detail = (
                f"wrong password or unknown name, from {_text(address) or 'an address that was not logged'}"
            )
            return Refusal(_text(sender or b"unknown"), Reason.credentials, detail)
        elif found := _ENDED.search(line):
            self._ended(found[1])
        elif _STARTED.search(line):
            for clients in self._connected.values():
                clients.clear()
        return None

    def _source(self, line: bytes, client: bytes) -> str:
        by = _BY.search(line)
        return _text(by[1] if by else self._users.get(client, client))

    def _begun(self, client: bytes, user: bytes) -> None:
        if len(self._users) >= USERS_KEPT:
            self._ended(next(iter(self._users)))
        self._ended(client)
        self._users[client] = user
        self._connected.setdefault(user, set()).add(client)

    def _ended(self, client: bytes) -> None:
        user = self._users.pop(client, None)
        if user is not None:
            self._connected[user].discard(client)


class BrokerLog:
    """`refuse` is given a refusal, how often it was seen, and a line of the log; its result is awaited before
    the place is kept, so that a crash repeats a count rather than losing one."""

    def __init__(
        self, path: Path, place: Path, refuse: Callable[[Refusal, int, bytes], Awaitable[None]]
    ) -> None:
        self.lines = Lines()
        self._path = path
        self._place = place
        self._refuse = refuse
        self._file: BufferedReader | None = None
        self._rest = b""

    async def run(self) -> None:
        """Until cancelled."""
        self.resume()
        try:
            while True:
                if not await self.poll():
                    await asyncio.sleep(POLL_S)
        finally:
            self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    async def poll(self) -> bool:
        """Reads on; whether there may be more at once."""
        if self._file is None and not self._open():
            return False
        assert self._file is not None, "opened above"
        data = self._file.read(CHUNK)
        if not data:
            return self._renewed()
        *lines, self._rest = (self._rest + data).split(b"\n")
        await self._take(lines)
        return True

    async def _take(self, lines: list[bytes]) -> None:
        seen: Tally[Refusal] = Tally()
        example: dict[Refusal, bytes] = {}
        for line in lines:
            refusal = self.lines.read(line)
            if refusal is not None:
                seen[refusal] += 1
                example.setdefault(refusal, line)
        for refusal, count in seen.items():
            await self._refuse(refusal, count, example[refusal])
        self._keep_place()

    def resume(self) -> None:
        """Opens the log where the last process stopped, in the file it was in."""
        try:
            place = msgspec.json.decode(self._place.read_bytes(), type=_Place)
        except (FileNotFoundError, msgspec.DecodeError):
            return
        for path in (self._path, self._path.with_name(self._path.name + ".1")):
            if path.exists() and path.stat().st_ino == place.inode and path.stat().st_size >= place.offset:
                self._file = path.open("rb")
                self._file.seek(place.offset)
                return

    def _open(self) -> bool:
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            return False
        return True

    def _renewed(self) -> bool:
        """At the end of the open file: whether another one stands in its place, or it was cut short."""
        assert self._file is not None, "only an open file has an end"
        here = os.fstat(self._file.fileno())
        if here.st_size < self._file.tell():
            self._file.seek(0)
            self._rest = b""
            return True
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        if there.st_ino == here.st_ino:
            return False
        self._file.close()
        self._file = None
        self._rest = b""
        return self._open()

    def _keep_place(self) -> None:
        if self._file is None:
            return
        place = _Place(os.fstat(self._file.fileno()).st_ino, self._file.tell() - len(self._rest))
        self._place.parent.mkdir(parents=True, exist_ok=True)
        beside = self._place.with_name(self._place.name + ".new")
        beside.write_bytes(msgspec.json.encode(place))
        beside.replace(self._place)


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
