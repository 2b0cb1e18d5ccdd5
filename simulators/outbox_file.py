"""An outbox's frames on disk: a journal that outlives the process, and with it the gateway's epoch.

Each record is checked by a CRC; a torn one at the end, left by a crash, is cut off. When everything is
answered the journal begins anew, so it stays as small as what is unanswered. `put` returns after fsync.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

_HEAD = struct.Struct(">8sQQ")  # magic, epoch, next sequence
_RECORD = struct.Struct(">cQII")  # kind, sequence, length, crc32 of kind, sequence and payload
_MAGIC = b"CVOUTB1\n"
_PUT, _DROP = b"P", b"D"


class OutboxFile:
    """The store of one gateway. `epoch`, `next_sequence` and `kept` are what an Outbox goes on with."""

    def __init__(self, path: Path, new_epoch: int) -> None:
        self.epoch, self.next_sequence = new_epoch, 1
        self.kept: dict[int, bytes] = {}
        self._path = path
        good = self._read()
        self._unanswered = set(self.kept)
        if good:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND)
            os.ftruncate(self._file, good)
        else:
            self._file = self._begin()

    def put(self, sequence: int, payload: bytes) -> None:
        self._append(_PUT, sequence, payload)
        os.fsync(self._file)
        self._unanswered.add(sequence)
        self.next_sequence = sequence + 1

    def drop(self, sequence: int) -> None:
        """Not synced: a drop that is lost only sends the frame once more."""
        self._unanswered.discard(sequence)
        if self._unanswered:
            self._append(_DROP, sequence, b"")
            return
        os.close(self._file)
        self._file = self._begin()

    def close(self) -> None:
        os.close(self._file)

    def _append(self, kind: bytes, sequence: int, payload: bytes) -> None:
        crc = zlib.crc32(payload, zlib.crc32(kind + sequence.to_bytes(8, "big")))
        os.write(self._file, _RECORD.pack(kind, sequence, len(payload), crc) + payload)

    def _begin(self) -> int:
        fresh = self._path.with_suffix(".new")
        file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.write(file, _HEAD.pack(_MAGIC, self.epoch, self.next_sequence))
        os.fsync(file)
        fresh.replace(self._path)
        return file

    def _read(self) -> int:
        """Takes in what the journal holds; the length of its good part, 0 if there is none."""
        data = self._path.read_bytes() if self._path.exists() else b""
        if len(data) < _HEAD.size or not data.startswith(_MAGIC):
            return 0
        _, self.epoch, self.next_sequence = _HEAD.unpack_from(data)
        at = _HEAD.size
        while at + _RECORD.size <= len(data):
            kind, sequence, length, crc = _RECORD.unpack_from(data, at)
            end = at + _RECORD.size + length
            payload = data[at + _RECORD.size : end]
            if end > len(data) or crc != zlib.crc32(payload, zlib.crc32(kind + sequence.to_bytes(8, "big"))):
                break
            if kind == _PUT:
                self.kept[sequence] = payload
                self.next_sequence = sequence + 1
            else:
                self.kept.pop(sequence, None)
            at = end
        return at
