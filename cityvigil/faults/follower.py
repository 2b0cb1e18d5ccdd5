"""The second reader of a run's readings log, as a process: it follows the log while that is being written.

    python -m cityvigil.faults.follower KAFKA <<< '{"0": 8000, "1": 7900}'

So that little is left to fold when the run ends; as the least urgent process it takes only what others leave.
Ends of the partitions, said on its input at any time, are how far it reads; then the alerts of all of them go
out. When Kafka fails it, it begins again from the first message. It publishes nothing and joins no group.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from cityvigil import compacted
from cityvigil.faults.left import Message
from cityvigil.supervisor import end_with_parent
from schemas import alert, topics
from streams.lane import empty_lane
from streams.rules import Versions

AGAIN_S = 0.5
FETCH_MS = 200


async def followed(kafka: str, ends: asyncio.Future[Mapping[int, int]]) -> dict[Message, bytes]:
    """(alert_id, seq) -> body of every alert of the log up to its ends, once these are known."""
    partitions = await compacted.partitions_of(kafka, topics.READINGS)
    tps = [TopicPartition(topics.READINGS.name, number) for number in range(partitions)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        max_partition_fetch_bytes=topics.MESSAGE_MAX_BYTES,
        auto_offset_reset="earliest",
    )
    try:
        await consumer.start()  # may fail; it wants to be stopped all the same
        async with Versions(kafka) as versions:
            lanes = {tp: await empty_lane(tp.partition, versions) for tp in tps}
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            found: dict[Message, bytes] = {}
            while not (
                ends.done() and all([lanes[tp].next_offset >= ends.result()[tp.partition] for tp in tps])
            ):
                for tp, messages in (await consumer.getmany(timeout_ms=FETCH_MS)).items():
                    said = await lanes[tp].take([(one.offset, one.value) for one in messages])
                    found |= {(one.alert_id, one.seq): alert.encode(one) for one in said}
            return found
    finally:
        await consumer.stop()


async def _main(kafka: str) -> None:
    ends: asyncio.Future[Mapping[int, int]] = asyncio.ensure_future(_told())
    while True:
        try:
            found = await followed(kafka, ends)
            break
        except (KafkaError, OSError):
            await asyncio.sleep(AGAIN_S)
    sys.stdout.buffer.write(msgspec.msgpack.encode([(*key, body) for key, body in found.items()]))


async def _told() -> Mapping[int, int]:
    line = await asyncio.to_thread(sys.stdin.readline)
    return msgspec.json.decode(line, type=dict[int, int])


class Follower:
    """That process, begun and asked."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def begun(cls, kafka: str) -> Follower:
        argv = [sys.executable, "-m", __name__, kafka]
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe))

    async def alerts(self, ends: Mapping[int, int]) -> dict[Message, bytes]:
        said, _ = await self._process.communicate(msgspec.json.encode(ends) + b"\n")
        assert self._process.returncode == 0, "the second reader has ended by itself: see its standard error"
        rows = msgspec.msgpack.decode(said, type=list[tuple[str, int, bytes]])
        return {(name, seq): body for name, seq, body in rows}

    async def end(self) -> None:
        """At once; does nothing after `alerts`."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


if __name__ == "__main__":
    end_with_parent(os.getppid())
    os.nice(19)
    asyncio.run(_main(sys.argv[1]))
