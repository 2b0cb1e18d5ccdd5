"""One connection's bytes to results: frames found, decoded, answered.

The state of a connection (`Stream`) apart from the pure functions of its format. Bytes and the time of their
receipt go in; readings, frames, rejections and the answers that the protocol asks for come out, in order. It
reads no socket and no clock, and keeps at most one frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ingest.formats.framing import Frame, Shape, Splitter
from ingest.formats.result import Bad, Item, Reply, moved


def _no_answer(frame: bytes, now_us: int) -> bytes | None:
    return None


def _no_password(frame: bytes) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """A protocol whose frames say themselves where they end."""

    shape: Shape
    decode: Callable[[bytes], list[Item]]
    """A whole frame to results; total, whatever the bytes."""
    answer: Callable[[bytes, int], bytes | None] = _no_answer
    """What the protocol asks to send back for a frame that came at this time."""
    password: Callable[[bytes], str | None] = _no_password
    """What a sound frame gives as its sender's password; None where the protocol has none."""


class Stream:
    def __init__(self, form: StreamFormat) -> None:
        self._form = form
        self._splitter = Splitter(form.shape)

    def feed(self, data: bytes, now_us: int) -> Iterator[Item]:
        return self._results(self._splitter.feed(data), now_us)

    def finish(self, now_us: int) -> Iterator[Item]:
        """What is left when the other side has ended."""
        return self._results(self._splitter.finish(), now_us)

    def _results(self, pieces: Iterable[Frame | Bad], now_us: int) -> Iterator[Item]:
        for piece in pieces:
            if isinstance(piece, Bad):
                yield piece
                continue
            yield from moved(self._form.decode(piece.data), piece.at)
            answer = self._form.answer(piece.data, now_us)
            if answer is not None:
                yield Reply(answer)


def decode_all(form: StreamFormat, data: bytes, now_us: int = 0) -> list[Item]:
    """Bytes that are a stream of their own, such as a meter's answer in a gateway's envelope."""
    stream = Stream(form)
    return [*stream.feed(data, now_us), *stream.finish(now_us)]
