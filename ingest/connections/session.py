"""One TCP connection of a national protocol: frames decoded and answered, repeats known, limits kept.

A device that missed our answer sends its frame again, to the byte: the repeat is answered again and its
readings are not given twice. An answer stands behind the readings that it answers for: the listener sends
it when Kafka has them, and ends the session if Kafka will not, as a session takes what it gave for kept.
Reads no socket and no clock; what it keeps is bounded. When the other side stays silent or sends nothing
but rubbish, `why_close` says so and the listener closes. Idle times and repeats go by wall time, the times
in answers by the city's clock.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ingest.formats.framing import Frame, Splitter
from ingest.formats.result import Bad, Item, Reading, Reply, Seen, moved
from ingest.formats.stream import StreamFormat
from schemas.clock import CityClock

MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    idle_us: int = 15 * MINUTE_US
    bad_in_a_row: int = 50
    noise_bytes: int = 64 << 10
    """Since the last sound frame, or the beginning."""
    frame_us: int = MINUTE_US
    """From a frame's first byte to its last."""
    first_us: int = 2 * MINUTE_US
    """To the first sound frame of a connection."""
    repeats_us: int = 10 * MINUTE_US
    repeats: int = 1_024
    """How many frames are remembered to know a repeat by."""


LIMITS = Limits()
WALL_CLOCK = CityClock()


class Session:
    def __init__(
        self, form: StreamFormat, now_us: int, limits: Limits = LIMITS, clock: CityClock = WALL_CLOCK
    ) -> None:
        self._form = form
        self._limits = limits
        self._clock = clock
        self._splitter = Splitter(form.shape)
        self._heard_us = now_us
        self._bad = 0
        self._noise = 0  # bytes since the last sound frame
        self._waiting_us: int | None = now_us  # for the first sound frame
        self._begun_us: int | None = None  # when the frame that is held began
        self._known: OrderedDict[bytes, int] = OrderedDict()  # digest of a frame, when it came

    @property
    def held(self) -> int:
        """Bytes of a frame whose end has not come yet."""
        return self._splitter.held

    def feed(self, data: bytes, now_us: int) -> list[Item]:
        """Results and answers that these bytes complete."""
        return [item for _, items in self.pieces(data, now_us) for item in items]

    def finish(self, now_us: int) -> list[Item]:
        """What is left when the other side has ended."""
        return [item for _, items in self._results(self._splitter.finish(), now_us) for item in items]

    def why_close(self, now_us: int) -> str | None:
        """A reason to end this connection, None while there is none."""
        if self._bad >= self._limits.bad_in_a_row:
            return f"{self._bad} bad frames in a row"
        if self._noise >= self._limits.noise_bytes:
            return f"{self._noise} bytes without a sound frame"
        for since_us, allowed_us, what in (
            (self._heard_us, self._limits.idle_us, "silent for"),
            (self._begun_us, self._limits.frame_us, "a frame has been coming for"),
            (self._waiting_us, self._limits.first_us, "no sound frame for"),
        ):
            if since_us is not None and now_us - since_us > allowed_us:
                return f"{what} {(now_us - since_us) // 1_000_000} s"
        return None

    def pieces(self, data: bytes, now_us: int) -> Iterator[tuple[bytes | None, list[Item]]]:
        """The same, frame by frame; None stands for what is no frame."""
        self._heard_us = now_us
        self._noise += len(data)
        yield from self._results(self._splitter.feed(data), now_us)
        if not self._splitter.held:
            self._begun_us = None
        elif self._begun_us is None:
            self._begun_us = now_us

    def _results(
        self, pieces: Iterable[Frame | Bad], now_us: int
    ) -> Iterator[tuple[bytes | None, list[Item]]]:
        for piece in pieces:
            if isinstance(piece, Bad):
                self._bad += 1
                yield None, [piece]
                continue
            items = moved(self._form.decode(piece.data), piece.at)
            is_bad = bool(items) and all(isinstance(item, Bad) for item in items)
            self._bad = self._bad + 1 if is_bad else 0
            self._begun_us = None
            if not is_bad:
                self._noise, self._waiting_us = 0, None
            if not is_bad and self._is_repeat(piece.data, now_us):
                items = _without_readings(items)
            answer = self._form.answer(piece.data, self._clock.city_us(now_us))
            yield piece.data, items if answer is None else [*items, Reply(answer)]

    def _is_repeat(self, frame: bytes, now_us: int) -> bool:
        known, limits = self._known, self._limits
        while known and now_us - next(iter(known.values())) > limits.repeats_us:
            known.popitem(last=False)
        key = hashlib.blake2b(frame, digest_size=16).digest()
        if key in known:
            return True
        known[key] = now_us
        if len(known) > limits.repeats:
            known.popitem(last=False)
        return False


def _without_readings(items: list[Item]) -> list[Item]:
    readings = [item for item in items if isinstance(item, Reading)]
    others: list[Item] = [item for item in items if not isinstance(item, Reading)]
    return [Seen(readings[0].gateway, "repeat"), *others] if readings else others
