"""The centre's side of a fire alarm line (GB/T 26875.3): it receives, sets clocks and checks the post.

A command waits for its acknowledgement, is sent again after ten seconds, three times at most. A check-post
(查岗) is done only when a person at the panel has answered in the minutes given; the acknowledgement of the
device is not that answer. What became of a command comes out as a frame word: `set_clock_done`,
`set_clock_refused`, `set_clock_failed`, and the same of `check_post`. The device is known by the frames that
it sends: until then there is nobody to command.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ingest.connections.session import LIMITS, MINUTE_US, WALL_CLOCK, Limits, Session
from ingest.formats import gb26875
from ingest.formats.gb26875 import ACK, CHECK_POST, CONTROL, NAK, SEND, SET_CLOCK, framed, six_bytes
from ingest.formats.result import Item, Reading, Reply, Seen
from schemas.clock import CityClock

ANSWER_WITHIN_US = 10_000_000
RETRIES = 3
MOST_WAITING = 16
_WORDS = {SET_CLOCK: "set_clock", CHECK_POST: "check_post"}
_CENTRE = bytes(6)


@dataclass(slots=True)
class _Command:
    kind: int
    frame: bytes
    sent_us: int
    left: int  # times that it may still be sent again
    person_until_us: int = 0  # a person may answer until then; 0: no person is asked


class FireCentre:
    """One device's line."""

    def __init__(self, now_us: int, limits: Limits = LIMITS, clock: CityClock = WALL_CLOCK) -> None:
        self._session = Session(gb26875.FORMAT, now_us, limits, clock)
        self._clock = clock
        self._device: bytes | None = None
        self._version = (1, 1)
        self._serial = 0
        self._waiting: dict[int, _Command] = {}  # by serial number
        self._person_until_us: int | None = None

    @property
    def held(self) -> int:
        return self._session.held

    def feed(self, data: bytes, now_us: int) -> list[Item]:
        """Results, answers, and what became of commands."""
        return [item for _, items in self.pieces(data, now_us) for item in items]

    def pieces(self, data: bytes, now_us: int) -> Iterator[tuple[bytes | None, list[Item]]]:
        """The same, frame by frame; None stands for what is no frame."""
        for frame, items in self._session.pieces(data, now_us):
            became = self._learn(frame, items) if frame is not None and _is_sound(items) else []
            yield frame, [*items, *became]

    def finish(self, now_us: int) -> list[Item]:
        """What is left when the other side has ended."""
        return self._session.finish(now_us)

    def why_close(self, now_us: int) -> str | None:
        return self._session.why_close(now_us)

    def set_clock(self, now_us: int) -> Reply | None:
        """Tells the device the time; None if there is no device yet, or too much is unanswered."""
        return self._command(SET_CLOCK, six_bytes(self._clock.city_us(now_us)), now_us)

    def check_post(self, now_us: int, minutes: int) -> Reply | None:
        """Asks for the person on duty, who has 1 to 255 minutes."""
        if not 1 <= minutes <= 255:
            raise ValueError(f"expected 1 to 255 minutes, got {minutes}")
        return self._command(CHECK_POST, bytes([minutes]), now_us, now_us + minutes * MINUTE_US)

    def due(self, now_us: int) -> list[Item]:
        """What is to be sent again by now, and what has failed."""
        found: list[Item] = []
        for serial, command in list(self._waiting.items()):
            if now_us - command.sent_us < ANSWER_WITHIN_US:
                continue
            if command.left:
                command.left -= 1
                command.sent_us = now_us
                found.append(Reply(command.frame))
            else:
                del self._waiting[serial]
                found.append(self._became(command.kind, "failed"))
        if self._person_until_us is not None and now_us > self._person_until_us:
            self._person_until_us = None
            found.append(self._became(CHECK_POST, "failed"))
        return found

    def _command(self, kind: int, content: bytes, now_us: int, person_until_us: int = 0) -> Reply | None:
        if self._device is None or len(self._waiting) >= MOST_WAITING:
            return None
        self._serial = (self._serial + 1) % 65_536
        data = bytes([kind, 1]) + content
        city_us = self._clock.city_us(now_us)
        frame = framed(self._serial, self._version, city_us, _CENTRE, self._device, CONTROL, data)
        self._waiting[self._serial] = _Command(kind, frame, now_us, RETRIES, person_until_us)
        return Reply(frame)

    def _learn(self, frame: bytes, items: list[Item]) -> list[Item]:
        if frame[26] == SEND:
            self._device, self._version = frame[12:18], (frame[4], frame[5])
            if self._person_until_us is not None and _says_here(items):
                self._person_until_us = None
                return [self._became(CHECK_POST, "done")]
        if frame[26] not in (ACK, NAK):
            return []
        command = self._waiting.pop(int.from_bytes(frame[2:4], "little"), None)
        if command is None:
            return []
        if frame[26] == NAK:
            return [self._became(command.kind, "refused")]
        if command.person_until_us:
            self._person_until_us = command.person_until_us
            return []
        return [self._became(command.kind, "done")]

    def _became(self, kind: int, what: str) -> Seen:
        gateway = self._device[::-1].hex() if self._device is not None else None
        return Seen(gateway, f"{_WORDS[kind]}_{what}")


def _is_sound(items: list[Item]) -> bool:
    return any(isinstance(item, Reading | Seen | Reply) for item in items)


def _says_here(items: list[Item]) -> bool:
    return any(
        isinstance(item, Reading)
        and item.point == "device.operation"
        and "check_post_answer" in str(item.value).split(",")
        for item in items
    )
