"""One gateway's frames in sequence: what goes on, what waits, what was there before, what is lost.

Pure. Frames go on in the order of their sequence. Behind a gap they are held, bounded, and the gateway is
asked to resend; after `HOLD_US` the missing ones are given up if the gateway is there (it then does not have
them), and the held ones are let go unanswered if it is not (it will resend them in order, and may have the
missing ones). A frame that comes after it was given up, and new content under a sequence far below the mark
(the gateway lost its counter), go on without their sequence: downstream would take it for seen and drop them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from schemas.sequence import Mark, Seen, observe, skip_to

HOLD_US = 60_000_000
ASK_AGAIN_US = 2_000_000
HELD_FRAMES = 128
HELD_BYTES = 8 << 20
FAR_BELOW = 64
"""A gateway has at most this many unanswered frames: a resend is never further below the mark."""

REMEMBERED = 512
LOST_REMEMBERED = 4_096
EPOCHS_KEPT = 4

T = TypeVar("T")


class Forward(NamedTuple, Generic[T]):
    """Store it; `sequenced` is whether under its own sequence."""

    sequence: int
    item: T
    sequenced: bool = True


class Duplicate(NamedTuple):
    """It went on before; or, not `is_known`, far below the mark, where nothing tells what went on."""

    is_known: bool = True


class Wait(NamedTuple):
    """Held, or not even that (`kept` False: no room, or held already). `resend_from`: tell the gateway so."""

    kept: bool
    resend_from: int | None


class Lost(NamedTuple):
    """Sequences given up."""

    first: int
    last: int


class LetGo(NamedTuple):
    """So many held frames were dropped unanswered."""

    frames: int


@dataclass(slots=True)
class _Held(Generic[T]):
    item: T
    size: int
    at_us: int
    digest: int


@dataclass(slots=True)
class Stream(Generic[T]):
    """The frames of one (gateway, epoch)."""

    mark: Mark | None = None
    held: dict[int, _Held[T]] = field(default_factory=dict)
    held_bytes: int = 0
    asked_us: int = -ASK_AGAIN_US
    lost: set[int] = field(default_factory=set)
    anew_digests: dict[int, int] = field(default_factory=dict)
    """Not empty: the gateway counts anew, and below the mark only content tells."""

    digests: array[int] = field(default_factory=lambda: array("q", bytes(8 * REMEMBERED)))

    def arrive(
        self, sequence: int, item: T, size: int, digest: int, now_us: int, room: bool = True
    ) -> list[Forward[T]] | Duplicate | Wait:
        """`digest` stands for the content, 0 means unknown; `room` is whether more may be held."""
        mark, seen = observe(self.mark, sequence)
        if seen is Seen.duplicate:
            return self._again(sequence, item, digest)
        if seen is Seen.ahead:
            return self._hold(sequence, _Held(item, size, now_us, digest), room)
        self.mark = mark
        self._remember(sequence, digest)
        return [Forward(sequence, item), *self._released()]

    def give_up(self, now_us: int, present: bool) -> Iterator[Lost | Forward[T] | LetGo]:
        """What to do now that time has passed; nothing while nothing has waited long enough."""
        while self.held and now_us - min(one.at_us for one in self.held.values()) >= HOLD_US:
            if not present:
                yield LetGo(len(self.held))
                self.held.clear()
                self.held_bytes = 0
                return
            assert self.mark is not None, "a frame is held behind a mark only"
            first, last = self.mark.contiguous + 1, min(self.held) - 1
            self.lost.update(range(max(first, last - LOST_REMEMBERED + 1), last + 1))
            while len(self.lost) > LOST_REMEMBERED:
                self.lost.remove(min(self.lost))
            self.mark = skip_to(self.mark, last)
            yield Lost(first, last)
            yield from self._released()

    def put_off(self, by_us: int) -> None:
        """The time in which we could not hear the gateway does not count."""
        for one in self.held.values():
            one.at_us += by_us

    def _again(self, sequence: int, item: T, digest: int) -> list[Forward[T]] | Duplicate:
        assert self.mark is not None, "only what has a mark can be a duplicate"
        if sequence in self.lost:
            self.lost.discard(sequence)
            self._remember(sequence, digest)
            return [Forward(sequence, item, sequenced=False)]
        known = self.digests[sequence % REMEMBERED]
        below = self.mark.contiguous - sequence
        if digest in (known, self.anew_digests.get(sequence)):
            return Duplicate()
        if below <= FAR_BELOW and not self.anew_digests:
            return Duplicate()
        if below < REMEMBERED and known and digest:
            return [self.anew(sequence, item, digest)]
        return Duplicate(is_known=False)

    def anew(self, sequence: int, item: T, digest: int) -> Forward[T]:
        """Other content under a sequence that went on before."""
        self.anew_digests.pop(sequence, None)
        self.anew_digests[sequence] = digest
        if len(self.anew_digests) > REMEMBERED:
            del self.anew_digests[next(iter(self.anew_digests))]
        return Forward(sequence, item, sequenced=False)

    def _hold(self, sequence: int, frame: _Held[T], room: bool) -> Wait:
        assert self.mark is not None, "the first frame of a stream is never ahead"
        room &= len(self.held) < HELD_FRAMES and self.held_bytes + frame.size <= HELD_BYTES
        kept = room and sequence not in self.held
        if kept:
            self.held[sequence] = frame
            self.held_bytes += frame.size
        if frame.at_us - self.asked_us < ASK_AGAIN_US:
            return Wait(kept, None)
        self.asked_us = frame.at_us
        return Wait(kept, self.mark.contiguous + 1)

    def _released(self) -> Iterator[Forward[T]]:
        """Held frames that nothing is missing before any more."""
        while self.held and self.mark is not None:
            sequence = self.mark.contiguous + 1
            frame = self.held.pop(sequence, None)
            if frame is None:
                return
            self.held_bytes -= frame.size
            self.mark, _ = observe(self.mark, sequence)
            self._remember(sequence, frame.digest)
            yield Forward(sequence, frame.item)

    def _remember(self, sequence: int, digest: int) -> None:
        self.digests[sequence % REMEMBERED] = digest


@dataclass(slots=True)
class Epochs(Generic[T]):
    """A gateway's streams, the newest few: a gateway that lost its counter takes a new epoch."""

    streams: dict[int, Stream[T]] = field(default_factory=dict)

    def of(self, epoch: int) -> Stream[T]:
        """The stream of an epoch, made when it is new; the one longest unused makes room."""
        stream = self.streams.pop(epoch, None) or Stream[T]()
        self.streams[epoch] = stream
        while len(self.streams) > EPOCHS_KEPT:
            del self.streams[next(iter(self.streams))]
        return stream

    def restore(self, epoch: int, mark: Mark) -> None:
        """What the log says; of two words about one epoch the later one counts."""
        stream = self.of(epoch)
        if stream.mark is None or mark.contiguous >= stream.mark.contiguous:
            stream.mark = mark
