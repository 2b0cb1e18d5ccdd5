"""What one transaction of the historian holds: readings out of packed frames, each segment once.

Pure: messages in the order of the log go in, arrays and changed marks come out, and nothing outside is
touched until the transaction stands. Suspect and historical readings are kept like all others; texts are kept
apart, because a column of numbers has no place for them. Bad bytes are counted, and never stop the rest.
"""

from __future__ import annotations

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


class Batch:
    def __init__(self, marks: Mapping[Key, Mark]) -> None:
        """`marks` are those of the last transaction; they are read and not changed."""
        self._before = marks
        self._pieces: list[np.ndarray] = []
        self.marks: dict[Key, Mark] = {}
        self.ledger: dict[Key, Account] = {}
        self.texts: list[Text] = []
        self.heard: list[tuple[np.ndarray, np.ndarray]] = []  # what is kept, and when it was received
        self.repeats: list[tuple[str, int, int]] = []  # gateway, readings, received: frames seen before
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
        return np.concatenate(self._pieces)

    def _control(self, record: control.Control) -> None:
        if isinstance(record, control.Gap):
            key = (record.gateway, record.epoch)
            if mark := self._mark(key):
                self._move(key, mark, skip_to(mark, record.last), new=0)

    def _frame(self, packed: Frame) -> None:
        fresh = [self._is_new(packed, at) for at in range(len(packed.segments))]
        if not any(fresh):
            self._repeated(packed, fresh)
            return
        records = packed.records
        if not all(fresh):
            records = records[np.repeat(np.array(fresh), packed.segments["count"])]
            self._repeated(packed, fresh)
        segments = packed.segments[np.array(fresh)]
        published = segments["published_wall"]
        self.sensed += np.where(published > 0, published, segments["received_wall"]).tolist()
        self.city_us = max(self.city_us, int(segments["received_at"].max()))
        received = np.repeat(segments["received_at"].astype(np.int64), segments["count"])
        self._keep(records, received, packed.texts)

    def _repeated(self, packed: Frame, fresh: list[bool]) -> None:
        for at in np.flatnonzero(~np.array(fresh)).tolist():
            count = int(packed.segments["count"][at])
            self.duplicates += count
            self.repeats.append((packed.gateway_of(at), count, int(packed.segments["received_at"][at])))

    def _is_new(self, packed: Frame, at: int) -> bool:
        segment = packed.segments[at]
        if not int(segment["flags"]) & SegmentFlag.sequenced:
            self._enter((packed.gateway_of(at), UNSEQUENCED), 0, int(segment["count"]))
            return True  # ingest deduplicated it by content
        key = (packed.gateway_of(at), int(segment["epoch"]))
        sequence, before = int(segment["sequence"]), self._mark(key)
        mark, seen = observe(before, sequence)
        if seen is Seen.duplicate:
            return False
        self._enter(key, sequence, int(segment["count"]))
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
        storable = (records["time"] >= EARLIEST_US) & (records["time"] < LAST_US)
        self.heard.append((records[storable], received[storable]))
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
