"""What one transaction of the historian holds: readings out of packed frames, each segment once.

Pure: messages in the order of the log go in, arrays and changed marks come out, and nothing outside is
touched until the transaction stands. Suspect and historical readings are kept like all others; texts are kept
apart, because a column of numbers has no place for them. Bad bytes are counted, and never stop the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from schemas import control, frame
from schemas.frame import Frame, FrameError, Kind, SegmentFlag
from schemas.reading import EARLIEST_US, RECORD, Flag
from schemas.sequence import Mark, Seen, observe, skip_to
from streams.spans import LAST_US

Key = tuple[str, int]  # gateway, epoch


class Text(NamedTuple):
    time: int
    sensor: int
    text: str
    quality: int


@dataclass(slots=True)
class Account:
    """What a batch adds to the ledger of a gateway and epoch; `first` is where the epoch began, if here."""

    first: int
    frames: int = 0
    readings: int = 0
    given_up: int = 0


UNSEQUENCED = -1
"""The epoch of what came without a sequence."""

_SEQUENCED = int(SegmentFlag.sequenced)


class Batch:
    def __init__(self, marks: Mapping[Key, Mark]) -> None:
        """`marks` are those of the last transaction; they are read and not changed."""
        self._before = marks
        self._pieces: list[np.ndarray] = []
        self._heard: list[np.ndarray] = []
        self._received: list[np.ndarray] = []
        self.marks: dict[Key, Mark] = {}
        self.ledger: dict[Key, Account] = {}
        self.texts: list[Text] = []
        self.repeats: list[tuple[str, int, int]] = []  # gateway, readings, received: frames seen before
        self.again: Counter[str] = Counter()  # frames that ingest saw again, by gateway
        self.sensed: list[int] = []  # wall time of each segment's publish, or of its receipt
        self.city_us = 0  # the newest receipt
        self.rows = 0
        self.duplicates = 0  # readings of segments seen before
        self.unstorable = 0  # times no clock of this city can have, texts that are not there
        self.bad: list[str] = []

    def add(self, data: bytes) -> None:
        """Takes one message of the `readings` topic."""
        try:
            if frame.kind_of(data) is Kind.control:
                self._control(control.decode(data))
            else:
                self._frame(frame.decode(data))
        except FrameError as error:
            self.bad.append(str(error))

    def records(self) -> np.ndarray:
        """The numbers, `schemas.reading.RECORD`."""
        if not self._pieces:
            return np.empty(0, RECORD)
        return _together(self._pieces)

    def heard(self) -> tuple[np.ndarray, np.ndarray]:
        """What is kept, texts too, and when it was received."""
        if not self._heard:
            return np.empty(0, RECORD), np.empty(0, np.int64)
        return _together(self._heard), np.concatenate(self._received)

    def _control(self, record: control.Control) -> None:
        if isinstance(record, control.Gap):
            key = (record.gateway, record.epoch)
            if mark := self._mark(key):
                self._move(key, mark, skip_to(mark, record.last), new=0)
        elif isinstance(record, control.Marks):
            self.again.update(record.again)

    def _frame(self, packed: Frame) -> None:
        segments, records = packed.segments, packed.records
        columns = [segments[name].tolist() for name in ("gateway", "flags", "epoch", "sequence", "count")]
        fresh = [self._is_new(packed.gateways[at], *row) for at, *row in zip(*columns, strict=True)]
        if not all(fresh):
            is_new = np.array(fresh, bool)
            self._repeated(packed, is_new)
            records = records[np.repeat(is_new, segments["count"])]
            segments = segments[is_new]
        if not len(segments):
            return
        published = zip(segments["published_wall"].tolist(), segments["received_wall"].tolist(), strict=True)
        self.sensed += [said if said > 0 else received for said, received in published]
        self.city_us = max(self.city_us, *segments["received_at"].tolist())
        received = np.repeat(segments["received_at"].astype(np.int64), segments["count"])
        self._keep(records, received, packed.texts)

    def _repeated(self, packed: Frame, is_new: np.ndarray) -> None:
        for at in np.flatnonzero(~is_new).tolist():
            count = int(packed.segments["count"][at])
            self.duplicates += count
            self.repeats.append((packed.gateway_of(at), count, int(packed.segments["received_at"][at])))

    def _is_new(self, gateway: str, flags: int, epoch: int, sequence: int, count: int) -> bool:
        if not flags & _SEQUENCED:
            self._enter((gateway, UNSEQUENCED), 0, count)
            return True  # ingest deduplicated it by content
        key = (gateway, epoch)
        before = self._mark(key)
        mark, seen = observe(before, sequence)
        if seen is Seen.duplicate:
            return False
        self._enter(key, sequence, count)
        self._move(key, before or Mark(sequence - 1), mark, new=1)
        return True

    def _enter(self, key: Key, first: int, readings: int) -> None:
        account = self.ledger.setdefault(key, Account(first))
        account.frames += 1
        account.readings += readings

    def _move(self, key: Key, before: Mark, after: Mark, new: int) -> None:
        """What the mark has passed and nobody has seen is given up."""
        passed = after.contiguous - before.contiguous + len(after.ahead) - len(before.ahead) - new
        if passed:
            self.ledger.setdefault(key, Account(before.contiguous + 1)).given_up += passed
        self.marks[key] = after

    def _mark(self, key: Key) -> Mark | None:
        return self.marks.get(key) or self._before.get(key)

    def _keep(self, records: np.ndarray, received: np.ndarray, texts: tuple[str, ...]) -> None:
        times = records["time"]
        storable = (times >= EARLIEST_US) & (times < LAST_US)
        is_whole = bool(storable.all())
        self._heard.append(records if is_whole else records[storable])
        self._received.append(received if is_whole else received[storable])
        if is_whole and not records["flags"].any():  # numbers, as nearly always
            self._pieces.append(records)
            self.rows += len(records)
            return
        is_text = (records["flags"] & Flag.text) != 0
        numbers = records[storable & ~is_text]
        if len(numbers):
            self._pieces.append(numbers)
            self.rows += len(numbers)
        self.unstorable += len(records) - int(storable.sum())
        for row in records[storable & is_text]:
            value = float(row["value"])
            if not (value.is_integer() and 0 <= value < len(texts)):
                self.unstorable += 1
                continue
            # PostgreSQL's text has no NUL
            text = texts[int(value)].replace("\0", "\ufffd")
            self.texts.append(Text(int(row["time"]), int(row["sensor"]), text, int(row["quality"])))


def _together(pieces: list[np.ndarray]) -> np.ndarray:
    """Moved as words: numpy copies records field by field, ten times slower."""
    return np.concatenate([np.ascontiguousarray(one).view(np.int64) for one in pieces]).view(RECORD)
