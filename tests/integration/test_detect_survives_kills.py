"""kill -9 of detect: what it published is what an undisturbed second reader makes of the same log."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from schemas import alert, topics
from schemas.control import RulesVersion
from schemas.default_rules import default_rules
from streams.company import members
from streams.replay import alerts_of_the_log, ends_of_the_log
from tests.integration.detect_log import PARTITIONS, ALog, Published, a_kafka, expected, make_topics_anew

pytestmark = pytest.mark.integration

WITHIN_S = 60


@pytest.fixture(scope="module")
def kafka() -> Iterator[str]:
    with a_kafka() as address:
        yield address


@pytest.fixture
async def log(kafka: str) -> AsyncIterator[ALog]:
    await make_topics_anew(kafka)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await producer.start()
    yield ALog(producer)
    await producer.stop()


class Worker:
    """The detect worker as a process, with what it logged."""

    def __init__(self, kafka: str, folder: Path, name: str, replay_s: float, shared: bool) -> None:
        self._argv = [kafka, str(folder / "snapshots"), name, str(replay_s), "yes" if shared else "no"]
        self.log = folder / f"detect-{name}.log"
        self.folder = folder / "snapshots"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as sink:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.integration.run_detect", *self._argv, stdout=sink, stderr=sink
            )

    async def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            os.kill(self.process.pid, number)
        return await asyncio.wait_for(self.process.wait(), WITHIN_S)

    def alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def pause(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    async def said(self, text: str) -> None:
        """Until its log says so; a worker that died meanwhile fails the test."""
        async with asyncio.timeout(WITHIN_S):
            while text not in (said := self.log.read_text()):
                assert self.alive(), said[-3000:]
                await asyncio.sleep(0.02)

    def snapshots(self, partition: int) -> list[Path]:
        """The newest first: generations and offsets have leading zeros."""
        return sorted(self.folder.glob(f"*/partition-{partition:03d}-*.snapshot"), reverse=True)


@asynccontextmanager
async def a_worker(
    kafka: str, folder: Path, name: str = "1", replay_s: float = 0.05, shared: bool = True
) -> AsyncIterator[Worker]:
    worker = Worker(kafka, folder, name, replay_s, shared)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.end(signal.SIGKILL)


def offset_of(snapshot: Path) -> int:
    return int(snapshot.name.partition("-offset-")[2][:16])


def generation_of(snapshot: Path) -> int:
    return int(snapshot.name.partition("-generation-")[2][:8])


async def cut_the_log(kafka: str, offsets: Mapping[int, int]) -> None:
    """What Kafka's retention does: everything before these offsets is gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        name = topics.READINGS.name
        await admin.delete_records(
            {TopicPartition(name, n): RecordsToDelete(before_offset=at) for n, at in offsets.items()}
        )
    finally:
        await admin.close()


class Told(NamedTuple):
    """Episodes by topic and alert_id: all that rose, those that ended, and what is open of each condition."""

    names: set[tuple[str, str]]
    cleared: set[tuple[str, str]]
    open: dict[tuple[str, str, str], tuple[str, str]]


def told(bodies: Mapping[tuple[str, str, int], bytes]) -> Told:
    """Fails where an episode goes on that has ended, or two of one condition are open at once."""
    found = Told(set(), set(), {})
    for (topic, name, _), body in bodies.items():
        one, episode = alert.decode(body), (topic, name)
        condition = one.rule, one.mode, one.subject
        assert episode not in found.cleared, f"it had ended: {one}"
        assert found.open.get(condition, episode) == episode, f"another one is open: {one}"
        found.names.add(episode)
        if one.state == "active":
            found.open[condition] = episode
        else:
            found.open.pop(condition)
            found.cleared.add(episode)
    return found


async def until_published(published: Published, *workers: Worker, want: int) -> None:
    """Until there are this many different messages; a worker that died meanwhile fails the test."""
    async with asyncio.timeout(WITHIN_S):
        while len(published.bodies) < want:
            for worker in workers:
                assert worker.alive(), worker.log.read_text()[-3000:]
            await published.read()


async def committed_offsets(kafka: str) -> dict[int, int | None]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, group_id=topics.DETECT_GROUP, enable_auto_commit=False
    )
    await consumer.start()
    try:
        return {
            number: await consumer.committed(TopicPartition(topics.READINGS.name, number))
            for number in range(PARTITIONS)
        }
    finally:
        await consumer.stop()


@pytest.mark.timeout(300)
async def test_a_worker_killed_again_and_again_publishes_what_a_second_reader_finds(
    kafka: str, log: ALog, tmp_path: Path
) -> None:
    await log.begin()
    async with a_worker(kafka, tmp_path, replay_s=0.2) as worker, Published(kafka) as published:
        for kill in range(4):
            writing = asyncio.create_task(log.minutes(60))
            await until_published(published, worker, want=len(published.bodies) + 20)
            await worker.end(signal.SIGKILL)
            await worker.start()
            await writing
            if kill == 1:
                shadowed = [one for one in default_rules(judgement_live=False) if one.network == "gas"]
                await log.publish_rules(shadowed, 2)
        await log.minutes(20)
        want = expected(await alerts_of_the_log(kafka))
        await until_published(published, worker, want=len(want))
        assert await worker.end(signal.SIGTERM) == 0, worker.log.read_text()[-3000:]
        await published.read()
        assert published.bodies == want
        assert published.repeated > 0, "no kill hit between alert and snapshot: this run proved nothing"
        assert {topic for topic, _, _ in want} == {topics.ALERTS.name, topics.ALERTS_SHADOW.name}
        kept = {number: offset_of(worker.snapshots(number)[0]) + 1 for number in range(PARTITIONS)}
        assert await committed_offsets(kafka) == kept, (
            "what is acknowledged is what the snapshots of an orderly end hold"
        )
        assert "is no packed frame" in worker.log.read_text()


@pytest.mark.timeout(600)
async def test_a_damaged_snapshot_is_passed_over_and_a_lost_folder_costs_nothing_but_time(
    kafka: str, log: ALog, tmp_path: Path
) -> None:
    await log.begin()
    async with a_worker(kafka, tmp_path, replay_s=0.01) as worker, Published(kafka) as published:
        await log.minutes(60)
        await until_published(published, worker, want=len(expected(await alerts_of_the_log(kafka))))
        assert await worker.end(signal.SIGTERM) == 0
        torn, before = worker.snapshots(0)[:2]
        torn.write_bytes(torn.read_bytes()[:-1])
        altered = worker.snapshots(1)[0]
        content = bytearray(altered.read_bytes())
        content[len(content) // 2] ^= 1
        altered.write_bytes(content)
        await worker.start()
        await log.minutes(30)
        await until_published(published, worker, want=len(expected(await alerts_of_the_log(kafka))))
        said = worker.log.read_text()
        assert f"{torn.name}: its" in said
        assert f"{altered.name}: its" in said
        assert f"partition 0: goes on at offset {offset_of(before) + 1} of" in said
        await worker.end(signal.SIGKILL)
        shutil.rmtree(worker.folder)
        await worker.start()
        await log.minutes(30)
        want = expected(await alerts_of_the_log(kafka))
        await until_published(published, worker, want=len(want))
        await published.read()
        assert published.bodies == want
        assert "no usable snapshot: reads offsets 0 to" in worker.log.read_text()
        await a_cut_log_tells_every_episode_under_its_name(kafka, log, worker, published)


async def a_cut_log_tells_every_episode_under_its_name(
    kafka: str, log: ALog, worker: Worker, published: Published
) -> None:
    """And none twice. How an episode's messages are numbered may differ: updates of one that was taken over
    from `alerts` are not sent (docs/decisions/021-without-a-snapshot.md)."""
    await log.minutes(8)
    cut = await ends_of_the_log(kafka)
    await log.minutes(2)
    await until_published(published, worker, want=len(expected(await alerts_of_the_log(kafka))))
    assert await worker.end(signal.SIGTERM) == 0, worker.log.read_text()[-3000:]
    standing = told(published.bodies).open
    assert len(standing) >= PARTITIONS, "there is something to take over"
    await log.minutes(30)
    want = told(expected(await alerts_of_the_log(kafka)))
    assert set(standing.values()) <= want.cleared, "what stood ends in what is left"
    await cut_the_log(kafka, cut)
    shutil.rmtree(worker.folder)
    await worker.start()
    async with asyncio.timeout(WITHIN_S):
        while not (
            told(published.bodies).names >= want.names and told(published.bodies).cleared >= want.cleared
        ):
            assert worker.alive(), worker.log.read_text()[-3000:]
            await published.read()
    assert await worker.end(signal.SIGTERM) == 0, worker.log.read_text()[-3000:]
    await published.read()
    assert told(published.bodies) == want
    assert "untold up to offset" in worker.log.read_text()
    assert "episodes that stood on alerts as open" in worker.log.read_text()


async def test_partitions_that_move_between_workers_take_their_state_along(
    kafka: str, log: ALog, tmp_path: Path
) -> None:
    await log.begin()
    async with a_worker(kafka, tmp_path) as first, Published(kafka) as published:
        await log.minutes(40)
        await until_published(published, first, want=10)
        async with a_worker(kafka, tmp_path, name="2") as second:
            await second.said("goes on at offset")
            await log.minutes(40)
            want = expected(await alerts_of_the_log(kafka))
            await until_published(published, first, second, want=len(want))
            assert "let go at offset" in first.log.read_text()
        await log.minutes(40)  # the second was killed: the first takes over when its session ends
        want = expected(await alerts_of_the_log(kafka))
        await until_published(published, first, want=len(want))
        assert await first.end(signal.SIGTERM) == 0, first.log.read_text()[-3000:]
        await published.read()
        assert published.bodies == want


@pytest.mark.timeout(300)
async def test_a_worker_that_wakes_up_late_changes_nothing(kafka: str, log: ALog, tmp_path: Path) -> None:
    """Stopped in the middle of its work, its partitions taken over meanwhile by another."""
    await log.begin()
    async with a_worker(kafka, tmp_path, replay_s=0.05) as sleeper, Published(kafka) as published:
        await log.minutes(30)
        await until_published(published, sleeper, want=10)
        writing = asyncio.create_task(log.minutes(60))
        await until_published(published, sleeper, want=len(published.bodies) + 5)
        sleeper.pause()
        async with a_worker(kafka, tmp_path, name="2", replay_s=0.05) as successor:
            await writing
            want = expected(await alerts_of_the_log(kafka))
            await until_published(published, successor, want=len(want))
            before = {number: generation_of(successor.snapshots(number)[0]) for number in range(PARTITIONS)}
            sleeper.wake()
            await log.minutes(30)
            # Whether it ends, superseded, or joins again is the group's to say; here nothing may change.
            want = expected(await alerts_of_the_log(kafka))
            await until_published(published, want=len(want))
            await sleeper.end(signal.SIGTERM)
            assert await successor.end(signal.SIGTERM) == 0, successor.log.read_text()[-3000:]
            await published.read()
            assert published.bodies == want
            for number, generation in before.items():
                assert generation_of(successor.snapshots(number)[0]) >= generation
        async with a_worker(kafka, tmp_path, name="3") as third:
            await third.said("partition 1: goes on at offset")
            await log.minutes(5)
            want = expected(await alerts_of_the_log(kafka))
            await until_published(published, third, want=len(want))
            assert published.bodies == want


async def test_a_second_worker_does_not_join_where_snapshots_are_in_a_folder_of_one(
    kafka: str, log: ALog, tmp_path: Path
) -> None:
    await log.begin()
    async with asyncio.timeout(WITHIN_S):
        while await members(kafka):  # of other tests, killed: the group forgets them after a while
            await asyncio.sleep(0.1)
    async with a_worker(kafka, tmp_path, shared=False) as first:
        await first.said("partition 1: no usable snapshot")
        async with a_worker(kafka, tmp_path, name="2", shared=False) as second:
            assert second.process is not None
            assert await asyncio.wait_for(second.process.wait(), WITHIN_S) != 0
            said = second.log.read_text()
            assert "detect worker 2 would share partitions with cityvigil-detect-1" in said
            assert "CITYVIGIL_SNAPSHOTS_SHARED=yes if that folder is one" in said
        assert first.alive()


async def test_a_log_that_names_rules_nobody_wrote_ends_the_worker(
    kafka: str, log: ALog, tmp_path: Path
) -> None:
    await log.begin()
    await log.everywhere(RulesVersion(9, 10_000))
    async with a_worker(kafka, tmp_path) as worker:
        assert worker.process is not None
        assert await asyncio.wait_for(worker.process.wait(), WITHIN_S) != 0
        assert "names offset 10000 of topic rules" in worker.log.read_text()
