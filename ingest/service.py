"""The ingest service: from the MQTT session to the readings log, until it is told to stop.

In this order: the registry and rules are read to their end, then the end of the readings log; our generation
and the versions in force are written; only then is MQTT subscribed to. Kafka away at the start is waited for;
a city clock other than the log's is refused (`ClockDiffers`). While Kafka is slow the socket is not read.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from ingest import edge_nodes, line_commands
from ingest.admission import Admission
from ingest.bridge import Lane, Load
from ingest.broker_log import BrokerLog, Refusal
from ingest.connections.reordering import WITHIN_US
from ingest.disk import Disk, none_watched
from ingest.edge_nodes import Nodes
from ingest.field import NOWHERE, Field, Ports
from ingest.intake import Intake, Outlets
from ingest.line_commands import LineCommands
from ingest.message import Message
from ingest.mqtt import Session
from ingest.registry import Follower
from ingest.repeats import Repeats
from ingest.room import Room
from ingest.silence import Hearing
from ingest.tail import Tail, newest_generation, read_tails
from schemas import control, topics
from schemas.clock import CityClock
from schemas.control import Clock, Control, Held, Marks, Ownership, RegistryVersion, RulesVersion, Tick

log = logging.getLogger(__name__)

TICK_S = 1.0
FAST_TICK_S = 0.1  # of wall time, when city time runs faster than it
MARKS_S = 5.0
LOOK_S = 1.0
HELD_S = 10.0
SUSPENDED_US = 5_000_000
"""A look so late: what was to come meanwhile lies unread, or went to a successor."""

RETRY_S = 1.0
STOP_WITHIN_S = 5.0
FULL_BYTES = 64 << 20
"""On their way to Kafka: from here the socket is left unread until half of it has gone."""


class Ingest:
    def __init__(
        self,
        *,
        mqtt: str,
        mqtt_user: str,
        mqtt_password: str,
        kafka: str,
        clock: CityClock,
        partitions: int,
        data: Path,
        now: Callable[[], int],
        mqtt_log: Path | None = None,
        ingest: str = "ingest-1",
        ports: Ports = NOWHERE,
        disk_used: Callable[[], float] = none_watched,
        disk_limit: float = 0.8,
        reorder_us: int = WITHIN_US,
    ) -> None:
        self._mqtt = mqtt
        self._account = mqtt_user, mqtt_password
        self._kafka = kafka
        self._clock = clock
        self._partitions = partitions
        self._data = data
        self._now = now
        self._mqtt_log = mqtt_log
        self._ingest = ingest
        self._trouble: str | None = "starting"
        self._session: Session | None = None
        self._load = Load()
        self._disk = Disk(disk_used, disk_limit, self._disk_changed)
        self._room = Room(self._load, lambda: self._disk.is_full)
        self._ports = ports
        self._reorder_us = reorder_us
        self.field: Field | None = None

    def not_ready(self) -> str | None:
        if self._trouble is not None:
            return self._trouble
        if self._disk.is_full:  # first: an unread connection greets nobody
            return self._disk.why()
        if self._session is None or not self._session.connected:
            return f"MQTT: {self._session.trouble if self._session else 'no session'}"
        return "Kafka is slow or away: what arrives waits at the broker" if self._session.is_paused else None

    async def run(self, stop: asyncio.Event) -> None:
        follower = Follower(self._kafka, self._announce)
        self._follower = follower
        if not await self._topics_there(stop):
            return
        self._trouble = "reading the registry"
        await follower.start()
        try:
            await follower.catch_up()
            self._trouble = "reading the end of the readings log"
            tails = await read_tails(self._kafka, self._partitions, self._ingest)
            for tail in tails:
                tail.check(self._clock)
            producer = AIOKafkaProducer(
                bootstrap_servers=self._kafka,
                acks="all",
                enable_idempotence=True,
                max_request_size=topics.MESSAGE_MAX_BYTES,
                max_batch_size=topics.MESSAGE_MAX_BYTES // 4,
            )
            await producer.start()
            try:
                await self._work(producer, follower, tails, stop)
            finally:
                await _within(producer.stop(), STOP_WITHIN_S)
        finally:
            self._trouble = "stopped"
            await follower.stop()

    async def _work(
        self, producer: AIOKafkaProducer, follower: Follower, tails: list[Tail], stop: asyncio.Event
    ) -> None:
        def lane(topic: str, partition: int) -> Lane:
            send = partial(_send, producer, topic, partition)
            return Lane(f"{topic}/{partition}", send, self._load)

        self._lanes = [lane(topics.READINGS.name, number) for number in range(self._partitions)]
        outlets = Outlets(self._lanes, lane(topics.REJECTS.name, 0), lane(topics.SENSORS.name, 0))
        lanes = [*self._lanes, outlets.rejects, outlets.sensors]
        filters = (topics.MQTT_UP, edge_nodes.FILTER, line_commands.FILTER)
        session = Session(self._mqtt, *self._account, self._receive, self._superseded, self._now, filters)
        broker = self._broker_log()
        intake = Intake(
            clock=self._clock,
            follower=follower,
            outlets=outlets,
            answer=session.answer,
            acknowledge=session.acknowledge,
            present=broker.lines.is_connected if broker else lambda gateway: None,
        )
        for tail in tails:
            for (gateway, epoch), mark in tail.marks.items():
                intake.restore(gateway, epoch, mark)
        self._session, self._intake = session, intake
        self._marked: list[asyncio.Future[None] | None] = [None] * self._partitions
        self._hearing = Hearing(self._clock.scale, _silent(tails))
        self._generation = 1 + max(tail.generation for tail in tails)
        self._load.changed = self._relieve
        admission = Admission(
            clock=self._clock,
            follower=follower,
            outlets=outlets,
            heard=self._hearing.heard,
            repeats=_repeats(tails, self._now()),
        )
        self._admission = admission
        told = self._data / "ingest" / "listeners.json"
        field = Field(self._ports, admission, self._room, self._clock, self._now, told, self._mqtt)
        self._nodes = Nodes(
            admission=admission,
            clock=self._clock,
            say=session.answer,
            acknowledge=session.acknowledge,
            lost=self._hearing.lost,
            now=self._now,
            reorder_us=self._reorder_us,
        )
        self._commands = LineCommands(field.line_of, session.answer)
        field.tell(self._commands.became)

        work = [asyncio.ensure_future(one.run()) for one in lanes]
        self._open_log(follower, tails)
        self._trouble = "writing to Kafka"
        opened = asyncio.ensure_future(_all(one.drained() for one in self._lanes))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await _first(work, opened, stopping)
            if not stop.is_set():
                await self._disk.look()  # before the first frame
                listening = await field.open()
                self._trouble, self.field = None, field
                loops = [follower.run(), session.run(), self._tick(), self._mark(), self._look()]
                loops += [self._disk.run(), self._nodes.run()]
                loops += listening
                loops += [broker.run()] if broker else []
                work += [asyncio.ensure_future(one) for one in loops]
                await _first(work, stopping)
                self._trouble = "stopping"
                session.pause()
                self._nodes.finish()
                self._put_marks()
                await _within(_all([intake.finished(), *(one.drained() for one in lanes)]), STOP_WITHIN_S)
                await session.close()
        finally:
            opened.cancel()
            stopping.cancel()
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    def _open_log(self, follower: Follower, tails: list[Tail]) -> None:
        """What stands before anything else of this generation; versions only where the log has others."""
        mine = Clock(self._clock.base_us, self._clock.wall0_us, self._clock.scale)
        for lane, tail in zip(self._lanes, tails, strict=True):
            opening: list[Control] = [Ownership(self._ingest, self._generation)]
            if tail.clock is None:
                opening.insert(0, mine)
            if follower.registry_version not in (None, tail.registry):
                opening.append(follower.registry_version)
            if follower.rules_version not in (None, tail.rules):
                opening.append(follower.rules_version)
            for record in opening:
                lane.put(control.encode(record))
        log.info("%s speaks in generation %d", self._ingest, self._generation)

    def _announce(self, version: RegistryVersion | RulesVersion) -> None:
        for lane in self._lanes:
            lane.put(control.encode(version))

    def _receive(self, message: Message) -> None:
        if message.topic.startswith("up/"):
            self._hearing.heard(message.topic.split("/", 2)[1])
            self._intake.receive(message)
        elif message.topic.startswith(edge_nodes.PREFIX):
            self._nodes.receive(message)
        else:
            self._commands.receive(message)
            if self._session is not None:
                self._session.acknowledge(message)
        if self._load.bytes >= FULL_BYTES and self._session is not None:
            self._session.pause()

    async def _superseded(self) -> bool:
        """Whether a newer process speaks under our name. Kafka away: no one does."""
        try:
            return await newest_generation(self._kafka, self._ingest) > self._generation
        except KafkaError:
            return False

    def _relieve(self) -> None:
        self._room.relieved()
        session = self._session
        relieved = self._load.bytes <= FULL_BYTES // 2 and self._trouble is None and not self._disk.is_full
        if session is not None and session.is_paused and relieved:
            session.resume()

    def _disk_changed(self) -> None:
        if not self._disk.is_full:
            self._relieve()
        elif self._session is not None:
            self._session.pause()

    async def _tick(self) -> None:
        """Time goes on in every partition, unless its last tick still waits. A deaf ingest, or one whose
        disk is full, says none: to those who read the log, time then stands still rather than running
        without readings. Why, it says now and then."""
        interval_s = FAST_TICK_S if self._clock.scale > 1 else TICK_S
        waiting: list[asyncio.Future[None] | None] = [None] * self._partitions
        loop, told = asyncio.get_running_loop(), -HELD_S
        while True:
            await asyncio.sleep(interval_s)
            session = self._session
            wall_us = self._now()
            connected = session is not None and session.connected
            self._hearing.pass_time(wall_us, hearing=connected and not (session and session.is_paused))
            if self._disk.is_full:
                if loop.time() - told >= HELD_S:
                    told = loop.time()
                    self._put(waiting, [self._held(wall_us)] * self._partitions)
                continue
            if not connected:
                continue
            silent = self._hearing.silent(self._follower.registry, self._partitions)
            city_us = self._clock.city_us(wall_us)
            self._put(
                waiting, [Tick(self._ingest, self._generation, city_us, wall_us, one) for one in silent]
            )

    def _held(self, wall_us: int) -> Held:
        return Held(self._ingest, self._generation, wall_us, round(self._disk.share, 3))

    def _put(self, waiting: list[asyncio.Future[None] | None], records: Sequence[Control]) -> None:
        """One for each partition, except where the last one still waits."""
        for number, (lane, record) in enumerate(zip(self._lanes, records, strict=True)):
            last = waiting[number]
            if last is None or last.done():
                waiting[number] = lane.put(control.encode(record))

    async def _mark(self) -> None:
        while True:
            await asyncio.sleep(MARKS_S)
            self._put_marks()

    def _put_marks(self) -> None:
        for number, marks in enumerate(self._intake.marks()):
            last = self._marked[number]
            if last is None or last.done():
                again = Counter(self._intake.sent_again(number))
                again.update(self._admission.sent_again(number))
                record = Marks(self._ingest, self._generation, marks, dict(again))
                self._marked[number] = self._lanes[number].put(control.encode(record))

    async def _look(self) -> None:
        """Gaps that have waited long enough; time in which we were deaf, or suspended, does not count."""
        last_us = self._now()
        while True:
            await asyncio.sleep(LOOK_S)
            now_us = self._now()
            suspended = abs(now_us - last_us) > SUSPENDED_US  # or our clock was set, back as well as on
            hears = self._session is not None and self._session.connected and not self._session.is_paused
            if hears and not suspended:
                self._intake.give_up(now_us)
            else:
                self._intake.put_off(now_us - last_us)
            last_us = now_us

    def _broker_log(self) -> BrokerLog | None:
        if self._mqtt_log is None:
            return None
        place = self._data / "ingest" / "broker-log.json"
        return BrokerLog(self._mqtt_log, place, self._refused)

    async def _refused(self, refusal: Refusal, count: int, line: bytes) -> None:
        await self._intake.refuse(refusal.source, refusal.reason, line, refusal.detail, self._now(), count)

    async def _topics_there(self, stop: asyncio.Event) -> bool:
        """Waits for Kafka and for `cityvigil migrate`; False if we are to stop."""
        needed = (topics.READINGS, topics.REJECTS, topics.SENSORS, topics.RULES)
        while not stop.is_set():
            admin = AIOKafkaAdminClient(bootstrap_servers=self._kafka)
            try:
                await admin.start()
                described = await admin.describe_topics([topic.name for topic in needed])
            except (KafkaError, OSError) as error:
                self._trouble = f"Kafka at {self._kafka} does not answer: {error}"
            else:
                found = {
                    row["topic"]: 0 if row["error_code"] else len(row["partitions"]) for row in described
                }
                short = [topic.name for topic in needed if found[topic.name] < self._wanted(topic)]
                if not short:
                    return True
                self._trouble = f"topic {short[0]} is missing or too narrow: run `cityvigil migrate`"
            finally:
                await admin.close()
            log.warning("%s", self._trouble)
            await _within(stop.wait(), RETRY_S)
        return False

    def _wanted(self, topic: topics.Topic) -> int:
        return topic.partitions or self._partitions


async def _send(
    producer: AIOKafkaProducer, topic: str, partition: int, value: bytes, key: bytes | None
) -> asyncio.Future[object]:
    future: asyncio.Future[object] = await producer.send(topic, value, key, partition)
    return future


def _repeats(tails: list[Tail], now_us: int) -> Repeats:
    """What the end of the log holds of frames without a sequence."""
    found = Repeats()
    for tail in tails:
        for digest in tail.contents:
            found.remember(digest, now_us)
    return found


def _silent(tails: list[Tail]) -> set[str]:
    return {gateway for tail in tails if tail.tick for gateway in tail.tick.silent}


async def _all(some: Any) -> None:
    await asyncio.gather(*some)


async def _first(work: Sequence[asyncio.Future[Any]], *others: asyncio.Future[Any]) -> None:
    """Returns when one of `others` is done; raises what ends one of `work`, none of which may end."""
    await asyncio.wait([*work, *others], return_when=asyncio.FIRST_COMPLETED)
    for task in work:
        if task.done():
            task.result()
            raise RuntimeError(f"{task} has ended")


async def _within(what: Coroutine[Any, Any, Any], seconds: float) -> None:
    """Waits for it so long and no longer."""
    try:
        async with asyncio.timeout(seconds):
            await what
    except TimeoutError:
        return
