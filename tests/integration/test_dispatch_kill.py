"""Dispatch is killed, and its database goes away, while alerts flow: cases are as if nothing had been."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatch import audit
from dispatch.ledger import transition_of
from schemas.alert import Alert
from tests.case_builders import an_alert
from tests.integration.dispatch_desk import Desk, a_days_alerts, a_desk, running, second_reader, until

RUN = Path(__file__).with_name("run_dispatch.py")
ROOT = RUN.parent.parent.parent


@pytest.fixture
async def desk(kafka_bootstrap: str, postgres_dsn: str, unique: str) -> AsyncIterator[Desk]:
    async with a_desk(kafka_bootstrap, postgres_dsn, unique) as made:
        yield made


def start(desk: Desk, log: Path) -> subprocess.Popen[bytes]:
    """In a process of its own, as the supervisor would."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, str(RUN), desk.kafka, desk.dsn, desk.alerts, desk.events],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )


async def test_killed_again_and_again_its_cases_equal_an_undisturbed_second_readers(
    desk: Desk, tmp_path: Path
) -> None:
    day = a_days_alerts(seed=11, episodes=250)
    kills = [len(day) * share // 6 for share in (1, 2, 3, 4)]
    publishing = asyncio.create_task(_slowly(desk, day))
    process = start(desk, tmp_path / "log")
    try:
        for mark in kills:
            await desk.taken(mark)
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = start(desk, tmp_path / "log")
        await publishing
        await desk.taken(len(day))
        transitions = await desk.rows("select * from case_transitions order by case_id, seq")
        events = [json.loads(event)["id"] for event in await desk.events_of(len(transitions))]
    finally:
        process.kill()
        process.wait()

    async with second_reader(desk) as other:
        async with running(other.service()):
            await other.taken(len(day))
        outcome = await desk.outcome()
        assert len(outcome) > 30
        assert outcome == await other.outcome()
        for query in (
            "select alert_id, seq, level, state from alert_changes order by 1, 2",
            # Without what only the wall clock does.
            "select case_id, seq, action, from_state, to_state from case_transitions"
            " where action <> 'escalate' order by 1, 2",
            "select key, recipient, step from outbox where step <> 'escalate' order by 1",
            "select alert_id, seq, worst, state, case_id from alerts order by 1",
        ):
            assert await desk.rows(query) == await other.rows(query)

    lines = [transition_of(row) for row in transitions]
    for case_id in {line.case_id for line in lines}:
        assert audit.verify(line for line in lines if line.case_id == case_id) is None
    assert set(events) == {f"{line.case_id}/{line.seq}" for line in lines}


async def _slowly(desk: Desk, day: list[Alert]) -> None:
    """In pieces, each once the one before is half done, so that every life of dispatch sees alerts come."""
    step = max(len(day) // 12, 1)
    for begin in range(0, len(day), step):
        await desk.publish(day[begin : begin + step])
        await desk.taken(begin)


class Road:
    """A TCP way to PostgreSQL that can be cut and mended."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._ways: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in [*self._ways]:
            writer.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        self._ways |= {writer, there_writer}
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except OSError:
            pass  # cut, or one side has gone: the other is told by closing
        finally:
            sink.close()
            self._ways.discard(sink)


async def test_while_the_database_is_away_alerts_wait_and_none_is_lost(desk: Desk) -> None:
    host, _, port = desk.dsn.partition("@")[2].partition("/")[0].partition(":")
    road = Road(host, int(port))
    await road.mend()
    service = desk.service(postgres=desk.dsn.replace(f":{port}/", f":{road.port}/"))
    try:
        async with running(service):
            await desk.taken(await desk.publish([an_alert()]))
            await road.cut()

            async def unready() -> bool:
                return service.not_ready() is not None

            await until(unready)
            more = [an_alert(subject=f"sensor/gw-{n}/ch4") for n in range(5)]
            await desk.publish(more)
            await road.mend()
            await desk.taken(6)
            assert len((await desk.store.alerts()).items) == 6
            assert len((await desk.store.cases()).items) == 1
    finally:
        await road.cut()
