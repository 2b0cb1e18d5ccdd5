"""The bypass: level 1 alerts from Kafka to people, with no database in the way.

A reader of its own keeps its place in Kafka; what it tells is in the journal, on the disk, before it is sent;
whom it tells comes from the roster's snapshot. So it starts and works with PostgreSQL away, and a kill at any
moment loses nothing: what was not journaled is read again, what was being sent is sent again under the same
key, and counted. Dispatch imports the journal. Makes no cases, and tells nothing below level 1.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import fcntl
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from aiokafka.structs import ConsumerRecord
from prometheus_client import Counter, Gauge, Histogram

from dispatch import roster as rosters
from dispatch import urgent
from dispatch.claims import Claim, Line
from dispatch.journal import Journal, Place
from dispatch.notify.channel import Channel, Outgoing
from dispatch.notify.log import Log
from dispatch.notify.webhook import Webhook
from dispatch.outbox import AT_ONCE, GIVE_UP, end_of, pause_after
from dispatch.reader import partitions_of, read
from dispatch.urgent import Scene
from schemas import topics
from schemas.alert import Alert
from schemas.catalogue import catalogue
from schemas.clock import to_datetime
from schemas.unit import handlers

NAME = "bypass"
REFRESH_S = 60.0
COMMIT_EVERY_S = 1.0
LOOK_EVERY_S = 0.25
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
WAITED_FOR_ROOM = dt.timedelta(seconds=5)
KEPT = dt.timedelta(days=7)
"""Of the journal behind the import: longer than an alert goes up and down."""

_alerts = Counter("cityvigil_bypass_alerts_total", "Alerts that became level 1", ["result"])
_attempts = Counter("cityvigil_bypass_attempts_total", "Tries to deliver a notice", ["channel", "outcome"])
_notified = Histogram(
    "cityvigil_bypass_notified_seconds",
    "From Kafka's time of the alert to the delivery of its notice",
    ["channel"],
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
_age = Gauge("cityvigil_bypass_snapshot_age_seconds", "Since the roster was read; -1: never")
_lag = Gauge("cityvigil_bypass_lag_messages", "Messages of `alerts` not yet read", ["partition"])
_waiting = Gauge("cityvigil_bypass_unfinished_notices", "Notices journaled and not yet delivered")
_log = logging.getLogger(__name__)


class Bypass:
    """`folder` holds the journal, shared with dispatch, and the snapshot; `now_us` is the wall clock."""

    def __init__(
        self,
        *,
        kafka: str,
        postgres: str,
        folder: Path,
        now_us: Callable[[], int],
        webhook: str = "",
        alerts_topic: str = topics.ALERTS.name,
        group: str = topics.BYPASS_GROUP,
        refresh_s: float = REFRESH_S,
    ) -> None:
        self._kafka = kafka
        self._postgres = postgres
        self._folder = folder
        self._now: Callable[[], dt.datetime] = lambda: to_datetime(now_us())
        self._webhook = webhook
        self._topic = alerts_topic
        self._group = group
        self._refresh_s = refresh_s
        self._journal = Journal(folder, NAME, self._now)
        self._roster = rosters.load(folder / "roster.json")
        self._channels: dict[str, Channel] = {}
        self._room: dict[str, asyncio.Semaphore] = {}
        self._tries: dict[str, asyncio.Task[None]] = {}
        self._outcomes: list[Line] = []
        self._news = asyncio.Event()
        self._wrong = "starting"
        _age.set_function(lambda: -1 if (age := self._snapshot_age_s()) is None else age)

    def not_ready(self) -> str | None:
        return self._wrong or self._journal.trouble

    def details(self) -> dict[str, Any]:
        """What its readiness shows beside the verdict: an old snapshot is no reason not to be ready."""
        return {"snapshot_age_s": self._snapshot_age_s()}

    async def run(self, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as resources:
            channels: list[Channel] = [Log()]
            if self._webhook:
                channels.append(await resources.enter_async_context(Webhook(self._webhook)))
            catalogue(), handlers()  # read now, not while the first alert waits
            self._channels = {channel.name: channel for channel in channels}
            self._room = {channel.name: asyncio.Semaphore(AT_ONCE) for channel in channels}
            if not await self._alone(resources, stop):
                return
            await asyncio.to_thread(self._journal.open)
            self._journal.land()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_reading(stop))
                group.create_task(self._keep_roster(stop))
                group.create_task(self._finish(stop))
                group.create_task(self._note(stop))
            await asyncio.gather(*self._tries.values())
            await self._note_all()

    def _snapshot_age_s(self) -> float | None:
        taken = self._roster.taken_at
        return None if taken is None else round((self._now() - taken).total_seconds(), 1)

    async def _alone(self, resources: AsyncExitStack, stop: asyncio.Event) -> bool:
        """Holds the folder until the end; a second bypass stands by. False: stopped meanwhile."""
        while not stop.is_set():
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                file = resources.enter_context((self._folder / "owner").open("ab"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._wrong = f"another bypass works in {self._folder}: standing by"
            except OSError as error:
                # Telling people does not wait for a disk; the journal says what is wrong.
                _log.error("%s: %s", self._folder, error)
                return True
            else:
                return True
            await _wait(stop, LOOK_EVERY_S)
        return False

    async def _keep_reading(self, stop: asyncio.Event) -> None:
        pause = FIRST_PAUSE_S
        while not stop.is_set():
            try:
                await self._read(stop)
            except (KafkaError, OSError) as error:
                pause = FIRST_PAUSE_S if not self._wrong else min(pause * 2, LONGEST_PAUSE_S)
                self._wrong = f"{type(error).__name__}: {error}".splitlines()[0]
                if isinstance(error, UnknownTopicOrPartitionError):
                    self._wrong = f"no topic {self._topic}: run `cityvigil migrate`"
                _log.warning("%s; again in %.1f s", self._wrong, pause)
                await _wait(stop, pause)

    async def _read(self, stop: asyncio.Event) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # for a topic made anew: what is told already stands in the journal
            max_partition_fetch_bytes=topics.MESSAGE_MAX_BYTES,
        )
        try:
            await consumer.start()
            # Assigned, not subscribed: the folder's lock says who reads, and nobody waits for a group.
            partitions = await partitions_of(self._kafka, self._topic)
            consumer.assign(partitions)
            await self._begin(consumer, partitions)
            self._wrong = ""
            loop = asyncio.get_running_loop()
            committed_at, uncommitted = loop.time(), False
            while not stop.is_set():
                found = await consumer.getmany(timeout_ms=300)
                await self._take([record for records in found.values() for record in records])
                for partition, records in found.items():
                    behind = (consumer.highwater(partition) or 0) - records[-1].offset - 1
                    _lag.labels(str(partition.partition)).set(max(behind, 0))
                uncommitted = uncommitted or bool(found)
                if uncommitted and loop.time() - committed_at > COMMIT_EVERY_S:
                    await consumer.commit()
                    committed_at, uncommitted = loop.time(), False
            if uncommitted:
                await consumer.commit()
        finally:
            await consumer.stop()

    async def _begin(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        """Where it was; the first time ever at the end, which is its place from then on: what came before
        is dispatch's. A partition that is new beside others is read from its beginning."""
        new = [partition for partition in partitions if await consumer.committed(partition) is None]
        if not new:
            return
        is_first = len(new) == len(partitions)
        places = await (consumer.end_offsets(new) if is_first else consumer.beginning_offsets(new))
        await consumer.commit(places)
        for partition, place in places.items():
            consumer.seek(partition, place)

    async def _take(self, records: Sequence[ConsumerRecord]) -> None:
        """Journals who is told, then starts telling. A repeat of the log finds its claims standing."""
        told = self._journal.claims.scenes
        notices: list[Outgoing] = []
        scenes: list[Scene] = []
        for record in records:
            alert = read(record.value)
            if isinstance(alert, str) or not urgent.is_due(alert):  # what is no alert, dispatch keeps
                continue
            is_told = urgent.told_already(alert, told, self._roster)
            _alerts.labels("of a scene told" if is_told else "told").inc()
            if not is_told:
                notices += self._notices(alert, to_datetime(record.timestamp * 1000))
            scene = urgent.scene_of(alert, told, self._roster, self._now())
            if scene is not None:
                told = urgent.merged(told, scene)
                scenes.append(scene)
        if notices or scenes:
            for claimed in await asyncio.to_thread(self._journal.claim, notices, scenes):
                if isinstance(claimed, Outgoing):
                    self._start(claimed)

    def _notices(self, alert: Alert, kafka_at: dt.datetime) -> list[Outgoing]:
        return [
            Outgoing(
                key=f"{urgent.key_of(alert.alert_id, recipient)}/{channel}",
                recipient=recipient,
                step=urgent.STEP,
                level=1,
                payload=urgent.payload(alert, recipient, self._roster),
                caused_at=kafka_at,
                attempt=1,
            )
            for recipient in urgent.recipients(alert, self._roster)
            for channel in self._channels
        ]

    def _start(self, notice: Outgoing) -> None:
        self._tries[notice.key] = asyncio.create_task(self._try(notice))

    async def _try(self, notice: Outgoing) -> None:
        name, claimed_at = notice.key.rpartition("/")[2], self._now()
        async with self._room[name]:
            now = self._now()
            if now - claimed_at > WAITED_FOR_ROOM:  # the claim would lapse while it is being sent: claim anew
                self._note_soon(Line(what="failed", at=now, by=NAME, key=notice.key, due=now))
                return
            failed = await self._channels[name].send(notice)
        now = self._now()
        late = now - notice.caused_at > GIVE_UP
        outcome = "sent" if failed is None else "dead" if late or not failed.retry else "retry"
        _attempts.labels(name, outcome).inc()
        if failed is None:
            _notified.labels(name).observe(max((now - notice.caused_at).total_seconds(), 0.0))
        else:
            _log.warning("notice %s, try %d: %s (%s)", notice.key, notice.attempt, failed.why, outcome)
        self._note_soon(end_of(notice, failed, outcome, now, now + pause_after(notice.attempt), NAME))

    def _note_soon(self, line: Line) -> None:
        self._outcomes.append(line)
        self._news.set()

    async def _note(self, stop: asyncio.Event) -> None:
        """Outcomes into the journal, as many at once as there are."""
        while not stop.is_set():
            await _wait(self._news, LOOK_EVERY_S)
            self._news.clear()
            await self._note_all()

    async def _note_all(self) -> None:
        lines, self._outcomes = self._outcomes, []
        if lines:
            await asyncio.to_thread(self._journal.ended, *lines)

    async def _finish(self, stop: asyncio.Event) -> None:
        """Tries again what failed, and what somebody left unfinished."""
        while not stop.is_set():
            await asyncio.to_thread(self._journal.refresh)
            for key in [key for key, task in self._tries.items() if task.done()]:
                self._tries.pop(key).result()
            claims = [claim for claim in self._unfinished() if claim.notice.key not in self._tries]
            _waiting.set(len(claims) + len(self._tries))
            notices = [claim.notice for claim in claims]
            for claimed in await asyncio.to_thread(self._journal.claim, notices) if notices else []:
                if isinstance(claimed, Outgoing):
                    self._start(claimed)
            await _wait(stop, LOOK_EVERY_S)

    def _unfinished(self) -> list[Claim]:
        found = self._journal.claims.unfinished(NAME, self._now())
        return [claim for claim in found if claim.notice.key.rpartition("/")[2] in self._channels]

    async def _keep_roster(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                async with asyncio.timeout(rosters.WITHIN_S):  # a stopped server never answers
                    self._roster, imported = await rosters.fetch(self._postgres, self._now())
            except (psycopg.Error, OSError) as error:
                why = " ".join(str(error).split()) or type(error).__name__
                _log.warning("no new roster, its age is %s s: %s", self._snapshot_age_s(), why)
            else:
                await asyncio.to_thread(self._keep_snapshot, imported)
            await _wait(stop, self._refresh_s)

    def _keep_snapshot(self, imported: Place) -> None:
        try:
            rosters.save(self._folder / "roster.json", self._roster)
        except OSError as error:
            _log.error("the roster cannot be written to %s: %s", self._folder, error)
        self._journal.drop(imported, self._now() - KEPT)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """For the event, at most that long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
