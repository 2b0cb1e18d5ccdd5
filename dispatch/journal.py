"""The journal of level 1 notices: a folder of append-only files that two processes share.

A claim is on the disk (fsync) before the notice it names is sent. One writer at a time (flock, which dies
with its holder); each line carries its CRC, so what a kill tore off is passed over. If the disk refuses, or
the other process holds the lock for too long, the notice goes out all the same and the line is written
later: told twice is better than not told. Decides nothing: dispatch/claims.py does.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import logging
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
from prometheus_client import Counter

from dispatch.claims import Claim, Claims, Line
from dispatch.notify.channel import Outgoing
from dispatch.urgent import Scene

FILE_BYTES = 8 << 20
LOCK_WITHIN_S = 0.5

_unwritten = Counter("cityvigil_bypass_unjournaled_total", "lines that were not on the disk in time")
_repeats = Counter("cityvigil_bypass_repeats_total", "tries whose notice may have been delivered before")
_torn = Counter("cityvigil_bypass_torn_lines_total", "lines of the journal that a kill tore")
_log = logging.getLogger(__name__)
_decoder = msgspec.json.Decoder(Line)


class Place(NamedTuple):
    """Where in the journal: which file, and how far into it."""

    file: int
    offset: int


class Journal:
    """`by` is who writes. Methods block for a disk's moment: call them in a thread."""

    def __init__(self, folder: Path, by: str, now: Callable[[], dt.datetime]) -> None:
        self.claims = Claims()
        self.trouble: str | None = None
        self._folder = folder
        self._by = by
        self._now = now
        self._place = Place(0, 0)
        self._late: list[Line] = []
        self._threads = threading.Lock()

    def open(self) -> None:
        """Reads what is there."""
        with self._threads, self._careful():
            self._catch_up()

    def land(self) -> None:
        """No other process with our name lives: what it had in flight is ours to finish."""
        with self._threads:
            self.claims.land(self._by)

    def refresh(self) -> None:
        """Takes in what the other process has written, and writes what could not be written before."""
        with self._threads:
            if self._late:
                self._under_lock(list)
            else:
                with self._careful():
                    self._catch_up()

    def claim(self, notices: Sequence[Outgoing], scenes: Sequence[Scene] = ()) -> list[Outgoing | Claim]:
        """For each either the notice, to be sent now, or the claim that stands against it."""
        given: list[Outgoing | Claim] = []

        def lines() -> list[Line]:
            found, now = [], self._now()
            for notice in notices:
                line = self.claims.try_of(notice, self._by, now)
                if isinstance(line, Line):
                    given.append(replace(notice, attempt=line.attempt))
                    found.append(line)
                    self._count_repeat(notice.key)
                else:
                    given.append(line)
            # Last: a scene without the tries that it stands for would keep people from hearing.
            return [*found, *(Line(what="scene", at=now, by=self._by, scene=scene) for scene in scenes)]

        with self._threads:
            self._under_lock(lines)
        return given

    def ended(self, *lines: Line) -> None:
        """How tries went."""
        with self._threads:
            self._under_lock(lambda: list(lines))

    def read(self, after: Place) -> tuple[list[Line], Place]:
        """The lines after a place, and the place behind them; needs no lock. Raises OSError."""
        found: list[Line] = []
        files = self._files()
        known = next((path for number, path in files if number == after.file), None)
        if (known is None or known.stat().st_size < after.offset) and (
            not files or files[0][0] <= after.file
        ):
            after = Place(0, 0)  # another journal than that of which the place was
        for number, path in files:
            if number < after.file:
                continue
            lines, end = _lines_of(path, after.offset if number == after.file else 0)
            found += lines
            after = Place(number, end)
        return found, after

    def drop(self, imported: Place, before: dt.datetime) -> None:
        """Removes files that PostgreSQL has (`imported`), whose notices have all ended before `before`."""
        with self._threads, self._careful():
            for number, path in self._files()[:-1]:
                keys = {line.key for line in _lines_of(path, 0)[0] if line.key}
                claims = [c for key in keys if (c := self.claims.by_key.get(key)) is not None]
                if number >= imported.file or any(c.ended_at is None or c.ended_at > before for c in claims):
                    return
                path.unlink()
                self.claims.forget(keys)

    def _count_repeat(self, key: str) -> None:
        known = self.claims.by_key.get(key)
        if known is not None and known.is_flying:
            _repeats.inc()
            _log.warning("notice %s was being sent when its sender ended: sent again", key)

    def _under_lock(self, lines: Callable[[], list[Line]]) -> None:
        """Decides over all that the other process wrote, and writes; without the lock if it must be."""
        try:
            with self._locked():
                self._catch_up()
                self._write(lines())
        except OSError as error:
            self._failed(error)
            self._keep_late(lines())

    def _write(self, lines: list[Line]) -> None:
        everything = [*self._late, *lines]
        data = b"".join(_text(line) for line in everything)
        if data:
            try:
                self._append(data)
            except OSError as error:
                self._failed(error)
                self._keep_late(lines)
                return
        for line in lines:
            self.claims.apply(line)
        self._late.clear()
        self.trouble = None

    def _append(self, data: bytes) -> None:
        files = self._files()
        number, path = files[-1] if files else (1, self._path(1))
        size = path.stat().st_size if files else 0
        is_new = not files
        if size > FILE_BYTES:
            number, path, size, is_new = number + 1, self._path(number + 1), 0, True
        with path.open("ab") as file:
            if size and not _ends_with_a_line(path):
                data = b"\n" + data
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_folder(self._folder)
        self._place = Place(number, size + len(data))

    def _keep_late(self, lines: list[Line]) -> None:
        _unwritten.inc(len(lines))
        for line in lines:
            self.claims.apply(line)
        self._late += lines

    def _failed(self, error: OSError) -> None:
        if self.trouble is None:
            _log.error("the journal in %s cannot be written: %s", self._folder, error)
        self.trouble = f"the journal in {self._folder} cannot be written: {error}"

    def _catch_up(self) -> None:
        lines, self._place = self.read(self._place)
        for line in lines:
            self.claims.apply(line)

    @contextlib.contextmanager
    def _careful(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failed(error)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        # Once is enough to wait for a writer that was stopped: alerts stand behind this.
        deadline = time.monotonic() + (LOCK_WITHIN_S if self.trouble is None else 0.0)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # notices name people
        with (self._folder / "lock").open("ab") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise TimeoutError("the other process holds its lock") from None
                    time.sleep(0.002)
            yield

    def _files(self) -> list[tuple[int, Path]]:
        return sorted((int(path.stem), path) for path in self._folder.glob("*.journal"))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.journal"


def _lines_of(path: Path, offset: int) -> tuple[list[Line], int]:
    """The whole lines after an offset, and the offset behind them."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    return [line for text in whole.splitlines() if (line := _parsed(text)) is not None], offset + len(whole)


def _text(line: Line) -> bytes:
    body = msgspec.json.encode(line)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _parsed(text: bytes) -> Line | None:
    """None for what is not whole."""
    crc, _, body = text.partition(b" ")
    if not text:
        return None
    try:
        if int(crc, 16) != zlib.crc32(body):
            raise ValueError("another checksum")
        return _decoder.decode(body)
    except ValueError:  # msgspec.DecodeError is one
        _torn.inc()
        return None


def _ends_with_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
