"""A worker that had no partition is told where to start while nothing flows: what flowed then was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from schemas import topics
from streams.app import DetectApp, build_app
from tests.integration.detect_log import a_kafka
from tests.services import create_topics

pytestmark = pytest.mark.integration

WITHIN_S = 60
BEHIND = 600
"""More than Faust fetches at once."""


class Taker:
    """A worker's app that only notes what it is asked and given."""

    def __init__(self, kafka: str, worker: str) -> None:
        self.flowed: list[bool] = []
        self.taken: list[int] = []
        self.app: DetectApp = build_app(
            kafka=kafka, worker=worker, agent=self._agent, start_offsets=self._starts, revoked=self._let_go
        )

    def flows(self) -> bool:
        consumer: Any = self.app.consumer
        return bool(consumer.flow_active)

    async def _agent(self, stream: Any) -> None:
        async for event in stream.noack().events():
            self.taken.append(event.message.offset)

    async def _starts(self, committed: Mapping[int, int | None]) -> Mapping[int, int]:
        self.flowed.append(self.flows())
        return dict.fromkeys(committed, 1)

    async def _let_go(self, _: set[int]) -> None:
        pass


@asynccontextmanager
async def a_taker(kafka: str, worker: str) -> AsyncIterator[Taker]:
    taker = Taker(kafka, worker)
    await taker.app.start()
    try:
        yield taker
    finally:
        await taker.app.stop()


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not look():
            await asyncio.sleep(0.05)


async def test_nothing_flows_while_a_worker_that_stood_by_is_told_where_to_start() -> None:
    with a_kafka() as kafka:
        await create_topics(kafka, {topics.READINGS.name: 1})
        producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
        await producer.start()
        for number in range(BEHIND):
            await producer.send(topics.READINGS.name, b"%d" % number, partition=0)
        await producer.stop()
        async with a_taker(kafka, "1") as first:
            await until(lambda: len(first.taken) == BEHIND - 1)
            async with a_taker(kafka, "2") as second:
                await until(lambda: second.app.unassigned and second.flows())
                await first.app.stop()
                await until(lambda: len(second.taken) >= BEHIND - 1)
                assert second.flowed == [False] * len(second.flowed)
                assert second.taken[-(BEHIND - 1) :] == list(range(1, BEHIND))
