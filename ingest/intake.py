"""A message's way in: put in sequence, decoded, resolved, queued for Kafka, answered once Kafka has it.

A frame that is on its way is not stored twice: whoever sends it again waits for the same acknowledgement.
What was refused goes to `rejects`, and only then is the frame answered. PUBACK follows the answer, except
that a frame held behind a gap is acknowledged at once: its gateway keeps it until it is answered, and the
broker's window must not fill with frames that wait for others.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from prometheus_client import Counter, Gauge

from ingest import answer, commands, rejects, thingsboard_questions
from ingest.answer import Origin
from ingest.bridge import Lane
from ingest.decoded import Decoded, Rejected
from ingest.formats import natives, senml, senml_cbor
from ingest.message import Message
from ingest.packing import Segment
from ingest.registry import Follower
from ingest.resolve import resolve
from ingest.sequencing import Duplicate, Epochs, Forward, LetGo, Lost, Wait
from schemas import control, registry, reject
from schemas.clock import CityClock
from schemas.control import Gap
from schemas.frame import SegmentFlag
from schemas.reading import FUTURE_SUSPECT_US, Reason
from schemas.reject import Reject
from schemas.sequence import Mark

log = logging.getLogger(__name__)

HELD_BYTES = 64 << 20
"""Over all gateways; what finds no room is not answered, and sent again later."""

CONTENT_US = 600_000_000
CONTENTS_KEPT = 50_000
HEARD_LATELY_US = 45_000_000
"""A gateway resends after 30 s, give or take half: one not heard for longer is away, or has nothing left."""

FRAMES = Counter("cityvigil_ingest_frames_total", "frames answered, by status", ["status"])
_ANSWERED = {status: FRAMES.labels(status) for status in ("stored", "duplicate", "rejected")}
HELD = Gauge("cityvigil_ingest_held_frames", "frames that wait behind a gap")
GAPS = Counter("cityvigil_ingest_gap_frames_total", "frames given up: their gateway does not have them")
PENDING = Gauge("cityvigil_ingest_pending_frames", "frames on their way to Kafka")

FORMATS: dict[str, bool] = {
    "senml": False,
    "senml-cbor": False,
    "senml+cbor": False,  # no client may publish there (+ is a wildcard); a bridge that can is heard
    "backfill": True,
    "backfill-cbor": True,
}
"""Third topic level -> whether what comes is historical. JSON and CBOR are told apart by their first byte."""


class _Format(NamedTuple):
    decode: Callable[[bytes, int], Decoded | Rejected]
    excerpt: Callable[[bytes, Iterable[int]], bytes]


_JSON = _Format(senml.decode, senml.excerpt)
_CBOR = _Format(senml_cbor.decode, senml_cbor.excerpt)
_NATIVE = _Format(senml.decode, natives.excerpt)  # decoded with more than a _Format knows: see _decode


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where things go: a lane for each partition of readings, one for rejects, one for the registry."""

    readings: Sequence[Lane]
    rejects: Lane
    sensors: Lane


@dataclass(slots=True)
class _Gateway:
    epochs: Epochs[Message] = field(default_factory=Epochs)
    heard_us: int = 0
    newest_us: int | None = 0  # of its readings' times; None: there are some that this process has not seen
    again: int = 0  # frames that it sent although they had gone on, since this was asked last


class Intake:
    """`answer` publishes (topic, payload, correlation), `acknowledge` sends a message's PUBACK, `present`
    says whether a gateway is connected (None: not known)."""

    def __init__(
        self,
        *,
        clock: CityClock,
        follower: Follower,
        outlets: Outlets,
        answer: Callable[[str, bytes, bytes | None], None],
        acknowledge: Callable[[Message], None],
        present: Callable[[str], bool | None],
    ) -> None:
        self._clock = clock
        self._follower = follower
        self._outlets = outlets
        self._answer = answer
        self._acknowledge = acknowledge
        self._present = present
        self._gateways: dict[str, _Gateway] = {}
        self._pending: dict[Hashable, list[tuple[Message, Origin]]] = {}
        self._contents: OrderedDict[bytes, int] = OrderedDict()
        self._held_bytes = 0  # as of the last look at the gaps, and what came since
        self._finishing: set[asyncio.Future[Any]] = set()
        self._failed: BaseException | None = None
        PENDING.set_function(lambda: len(self._pending))

    def restore(self, gateway: str, epoch: int, mark: Mark) -> None:
        found = self._gateway(gateway)
        found.epochs.restore(epoch, mark)
        found.newest_us = None

    def receive(self, message: Message) -> None:
        """One message, whatever it holds."""
        if self._failed is not None:
            raise self._failed
        came = answer.origin(message)
        gateway = self._gateway(came.gateway)
        gateway.heard_us = message.received_wall
        if came.form in (commands.RESULT, commands.QUESTION):
            self._command(message, came)
            return
        asked = thingsboard_questions.answer(came.form, message.payload)
        if asked is not None:
            self._question(message, came, asked)
            return
        if came.sequence is None:
            self._without_sequence(message, came)
            return
        epoch, sequence = came.sequence
        stream = gateway.epochs.of(epoch)
        size, digest = len(message.payload), hash(message.payload)
        room = self._held_bytes + size <= HELD_BYTES
        found = stream.arrive(sequence, message, size, digest, message.received_wall, room)
        match found:
            case Duplicate(is_known=False) if self._is_newer(gateway, message, came):
                log.warning("its counter has gone back: stored without its sequence", extra=_tag(came))
                self._forward(stream.anew(sequence, message, digest), came)
            case Duplicate():
                self._again((came.gateway, epoch, sequence, digest), message, came)
            case Wait():
                if found.kept:  # it is acknowledged now, not again when it goes on
                    stream.held[sequence].item = message._replace(qos=0)
                    self._held_bytes += size
                self._wait(found, message, came)
            case _:
                for forward in found:
                    self._forward(forward, answer.origin(forward.item))

    def give_up(self, now_us: int) -> None:
        """Gaps that have waited long enough; call it every second or so."""
        held = self._held_bytes = 0
        for name, gateway in self._gateways.items():
            for epoch, stream in gateway.epochs.streams.items():
                if stream.held:
                    present = self._present(name)
                    if present is None:
                        present = now_us - gateway.heard_us <= HEARD_LATELY_US
                    for found in stream.give_up(now_us, present):
                        self._given_up(name, epoch, found)
                    held += len(stream.held)
                    self._held_bytes += stream.held_bytes
        HELD.set(held)
        while self._contents and now_us - next(iter(self._contents.values())) > CONTENT_US:
            self._contents.popitem(last=False)

    def put_off(self, by_us: int) -> None:
        """We could not hear anybody for so long."""
        for gateway in self._gateways.values():
            for stream in gateway.epochs.streams.values():
                stream.put_off(by_us)

    def marks(self) -> list[dict[str, tuple[int, ...]]]:
        """Per partition, what its lane has been given: as of this moment of its order."""
        found: list[dict[str, tuple[int, ...]]] = [{} for _ in self._outlets.readings]
        for name, gateway in self._gateways.items():
            marks = found[self._partition(name)]
            for epoch, stream in gateway.epochs.streams.items():
                if stream.mark is not None:
                    marks[f"{name}/{epoch}"] = (stream.mark.contiguous, *stream.mark.ahead)
        return found

    def sent_again(self, partition: int) -> dict[str, int]:
        """Frames that gateways of a partition have sent again since this was asked last."""
        found: dict[str, int] = {}
        for name, gateway in self._gateways.items():
            if gateway.again and self._partition(name) == partition:
                found[name], gateway.again = gateway.again, 0
        return found

    async def refuse(
        self, source: str, reason: Reason, raw: bytes, detail: str, now_us: int, count: int
    ) -> None:
        """What the broker refused: nothing came in, but it counts. Returns when Kafka has it."""
        rejected = Rejected(reason, raw, detail, records=count)
        city_us = self._clock.city_us(now_us)
        for stored in self._put_rejects(rejects.of_frame(rejected, source, city_us, None, None)):
            await stored

    async def finished(self) -> None:
        """Returns when everything received so far is answered."""
        if self._finishing:
            await asyncio.wait(set(self._finishing))

    def _gateway(self, gateway: str) -> _Gateway:
        found = self._gateways.get(gateway)
        if found is None:
            found = self._gateways[gateway] = _Gateway()
        return found

    def _partition(self, gateway: str) -> int:
        return self._follower.registry.partition_of(gateway) % len(self._outlets.readings)

    def _wait(self, wait: Wait, message: Message, came: Origin) -> None:
        if wait.resend_from is not None:
            log.info("gap: asked to resend from %d", wait.resend_from, extra=_tag(came))
            self._say(message, came, answer.resend(came, wait.resend_from))
        self._acknowledge(message)

    def _again(self, key: Hashable, message: Message, came: Origin) -> None:
        """It went on before: answered when, or as soon as, it is in Kafka."""
        self._gateway(came.gateway).again += 1
        waiting = self._pending.get(key)
        if waiting is not None:
            waiting.append((message, came))
            return
        self._reply(message, came, "duplicate")

    def _given_up(self, name: str, epoch: int, found: Lost | Forward[Message] | LetGo) -> None:
        match found:
            case Lost(first, last):
                GAPS.inc(last - first + 1)
                log.warning("frames %d to %d of %s/%d never came: given up", first, last, name, epoch)
                lane = self._outlets.readings[self._partition(name)]
                lane.put(control.encode(Gap(name, epoch, first, last)))
            case LetGo(frames):
                log.info("%s is away: %d frames behind a gap let go, it will resend them", name, frames)
            case Forward():
                self._forward(found, answer.origin(found.item))

    def _forward(self, forward: Forward[Message], came: Origin) -> None:
        assert came.sequence is not None, "only frames with a sequence are put in sequence"
        flags = SegmentFlag.sequenced if forward.sequenced else SegmentFlag(0)
        key = (came.gateway, *came.sequence, hash(forward.item.payload))
        self._store(forward.item, came, self._decode(forward.item, came), key, flags)

    def _is_newer(self, gateway: _Gateway, message: Message, came: Origin) -> bool:
        """Whether a frame holds a reading later than all that this gateway has ever sent: then it is no
        repeat, whatever its sequence. What was stored before we started is at most as late as now, give or
        take a clock."""
        newest_us = gateway.newest_us
        if newest_us is None:
            newest_us = self._clock.city_us(message.received_wall) + FUTURE_SUSPECT_US
            gateway.newest_us = newest_us
        decoded = self._decode(message, came)
        if isinstance(decoded, Rejected) or decoded.relative.any():
            return False
        return bool((decoded.time > newest_us).any())

    def _command(self, message: Message, came: Origin) -> None:
        received_us = self._clock.city_us(message.received_wall)
        found: bytes | Rejected | None
        if came.form == commands.RESULT:
            found = commands.result(message.payload)
        else:
            found = commands.reply(message.payload, received_us)
        if isinstance(found, bytes):
            asked = answer.topic_of(message, came.gateway)
            topic = f"down/{came.gateway}/{commands.RESULT}" if message.response_topic is None else asked
            self._answer(topic, found, message.correlation)
        if isinstance(found, Rejected):
            self._store(message, came, found, object(), SegmentFlag(0))
        else:
            self._acknowledge(message)

    def _question(
        self, message: Message, came: Origin, found: thingsboard_questions.Answer | Rejected
    ) -> None:
        if isinstance(found, Rejected):
            self._store(message, came, found, object(), SegmentFlag(0))
        else:
            self._answer(f"down/{came.gateway}/{found.topic}", found.payload, None)
            self._acknowledge(message)

    def _without_sequence(self, message: Message, came: Origin) -> None:
        decoded = self._decode(message, came)
        key: Hashable = object()
        if isinstance(decoded, Decoded) and not decoded.relative.any():
            content = hashlib.blake2b(f"{message.topic}\0".encode() + message.payload, digest_size=16)
            key = content.digest()
            known = self._contents.get(key)
            if known is not None and message.received_wall - known <= CONTENT_US:
                self._again(key, message, came)
                return
            self._contents[key] = message.received_wall
            self._contents.move_to_end(key)
            if len(self._contents) > CONTENTS_KEPT:
                self._contents.popitem(last=False)
        self._store(message, came, decoded, key, SegmentFlag(0))

    def _decode(self, message: Message, came: Origin) -> Decoded | Rejected:
        received_us = self._clock.city_us(message.received_wall)
        if came.form not in FORMATS:
            native = natives.of(came.form)
            if native is not None:
                return native(message.payload, came.gateway, self._follower.registry, received_us)
            detail = f"expected up/GATEWAY/senml or up/GATEWAY/backfill, got {message.topic}"
            return Rejected(Reason.unsupported, message.payload, detail)
        decode, _ = _format(message, came)
        return decode(message.payload, received_us)

    def _store(
        self,
        message: Message,
        came: Origin,
        decoded: Decoded | Rejected,
        key: Hashable,
        flags: SegmentFlag,
    ) -> None:
        received_us = self._clock.city_us(message.received_wall)
        name = answer.name(came)
        lane = self._outlets.readings[self._partition(came.gateway)]
        epoch, sequence = came.sequence if came.sequence and flags & SegmentFlag.sequenced else (0, 0)
        envelope = partial(
            Segment,
            came.gateway,
            epoch,
            sequence,
            received_us,
            message.received_wall,
            message.published_wall,
        )
        stored: list[asyncio.Future[None]] = []
        usable, rejected = 0, 0
        reason: str | None = None
        if isinstance(decoded, Rejected):
            reason, rejected = decoded.reason, decoded.records
            stored += self._put_rejects(
                rejects.of_frame(decoded, came.gateway, received_us, message.topic, name)
            )
        else:
            backfill = FORMATS.get(came.form, False)
            flags |= SegmentFlag.backfill if backfill else SegmentFlag(0)
            points = self._follower.points(came.gateway)
            found = resolve(decoded, points, self._follower.registry, self._follower.number, backfill)
            after = None
            for sensor in found.entered:
                self._follower.entered(sensor)
                after = self._outlets.sensors.put(registry.encode(sensor), sensor.key.encode())
            if found.refused:
                reason, rejected = found.refused[0].reason, len(found.refused)
                _, excerpt_of = _format(message, came)
                excerpt = partial(excerpt_of, message.payload)
                stored += self._put_rejects(
                    rejects.of_records(found.refused, excerpt, came.gateway, received_us, message.topic, name)
                )
            usable = len(found.records)
            self._note_newest(came.gateway, decoded)
            if usable:
                stored.append(lane.put_frame(envelope(flags, found.records, found.texts), after))
        if not usable and flags & SegmentFlag.sequenced:
            stored.append(lane.put_frame(envelope(flags)))
        self._pending[key] = [(message._replace(payload=b""), came)]
        status = "stored" if usable or not rejected else "rejected"
        whole = stored[0] if len(stored) == 1 else asyncio.gather(*stored)
        self._finishing.add(whole)
        whole.add_done_callback(partial(self._finish, key, status, reason, rejected))

    def _note_newest(self, name: str, decoded: Decoded) -> None:
        gateway = self._gateway(name)
        if gateway.newest_us is not None and len(decoded.time):
            gateway.newest_us = max(gateway.newest_us, int(decoded.time.max()))

    def _finish(
        self, key: Hashable, status: str, reason: str | None, rejected: int, stored: asyncio.Future[Any]
    ) -> None:
        """Answers everybody who sent this frame, all of which is in Kafka."""
        self._finishing.discard(stored)
        if stored.cancelled():
            return
        waiting = self._pending.pop(key)
        try:
            stored.result()
            for message, came in waiting:
                self._reply(message, came, status, reason, rejected)
        except Exception as error:  # of a callback nobody hears: the next message that comes raises it
            self._failed = error

    def _reply(
        self, message: Message, came: Origin, status: str, reason: str | None = None, rejected: int = 0
    ) -> None:
        _ANSWERED[status].inc()
        self._say(message, came, answer.outcome(came, status, reason, rejected))
        self._acknowledge(message)

    def _say(self, message: Message, came: Origin, payload: bytes) -> None:
        if answer.wanted(message, came):
            self._answer(answer.topic_of(message, came.gateway), payload, message.correlation)

    def _put_rejects(self, records: Sequence[Reject]) -> list[asyncio.Future[None]]:
        first = records[0]
        count = sum(record.count for record in records)
        log.info(
            "%s: rejected %d readings (%s: %s)",
            first.source,
            count,
            first.reason,
            first.detail,
            extra={"correlation": first.correlation},
        )
        for record in records:
            rejects.count(record)
        return [self._outlets.rejects.put(reject.encode(one), one.source.encode()) for one in records]


def _format(message: Message, came: Origin) -> _Format:
    if came.form not in FORMATS:
        return _NATIVE
    is_cbor = senml_cbor.is_cbor(message.payload) or came.form.endswith("cbor")
    return _CBOR if is_cbor else _JSON


def _tag(came: Origin) -> dict[str, str]:
    return {"correlation": answer.name(came)}
