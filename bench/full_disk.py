"""Disks that really fill up: `python -m bench.full_disk`, as root, some two minutes.

Mounts a small tmpfs for Kafka and one for PostgreSQL, runs the stack on them with ingest and the historian
beside it, and gateways whose outboxes empty only on answers. Fills each disk, waits, frees it, and counts:
every frame must be answered and stand in the database once. Root, because nobody else may mount; so the
suite does not do this, but tells ingest what a disk would say.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from cityvigil import gateways, postgres
from cityvigil import stack as local
from cityvigil.migrate import migrate
from cityvigil.stack import Stack
from cityvigil.wiring import Service, now_us
from ingest.disk import share_used
from ingest.service import Ingest
from schemas.clock import CityClock
from schemas.settings import Settings
from simulators.reference_gateway import Gateway, Outbox
from streams.record import Record

LIMIT = 0.8
GATEWAYS = 4
FRAMES = 60
POINTS = 200
MEGABYTES = {"kafka": 300, "postgres": 400}
WITHIN_S = 240.0


@contextlib.contextmanager
def small_disks(data: Path) -> Iterator[None]:
    with contextlib.ExitStack() as mounted:
        for name, megabytes in MEGABYTES.items():
            place = data / name
            place.mkdir(parents=True)
            run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place))
            mounted.callback(run, "umount", "-l", str(place))
        shutil.chown(data / "postgres", postgres.SYSTEM_USER, postgres.SYSTEM_USER)
        (data / "postgres").chmod(0o700)
        yield


def run(*words: str) -> None:
    subprocess.run(words, check=True)


def fill(disk: Path, share: float) -> None:
    size = shutil.disk_usage(disk)
    with contextlib.suppress(OSError), (disk / "filler").open("ab") as out:  # full is what we want
        for _ in range(max(int(size.total * share) - size.used, 0) + (1 << 16) >> 16):
            out.write(bytes(1 << 16))
            out.flush()


@dataclass
class Sender:
    """A gateway whose outbox lies on another disk."""

    name: str
    outbox: Outbox
    gateway: Gateway
    sent: int = 0

    def submit(self, frames: int) -> None:
        for _ in range(frames):
            self.sent += 1
            points = [{"n": f"p{n}", "v": self.sent} for n in range(1, POINTS)]
            self.gateway.submit([{"bt": time.time(), "n": "p0", "v": self.sent}, *points])


class City:
    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.ingest = Ingest(
            mqtt=stack.mqtt,
            mqtt_user=stack.mqtt_user,
            mqtt_password=stack.mqtt_password,
            kafka=stack.kafka,
            clock=CityClock(),
            partitions=4,
            data=stack.data,
            now=now_us,
            disk_used=partial(share_used, stack.data / "kafka"),
            disk_limit=LIMIT,
        )
        self.record = Record(kafka=stack.kafka, postgres=stack.postgres, clock=CityClock(), wall_us=now_us)
        self.senders = []
        for number in range(GATEWAYS):
            name = f"gw-{number}"
            outbox = Outbox(folder / name)
            gateway = Gateway(stack.mqtt, name, gateways.add(stack.data, name), outbox)
            self.senders.append(Sender(name, outbox, gateway))

    def submit(self, frames: int) -> None:
        for sender in self.senders:
            sender.submit(frames)

    @property
    def unanswered(self) -> int:
        return sum(len(sender.outbox) for sender in self.senders)

    @property
    def sent(self) -> int:
        return sum(sender.sent for sender in self.senders)

    async def pump(self) -> None:
        """The gateways speak and listen."""
        while True:
            for sender in self.senders:
                sender.gateway.step(0.0)
            await asyncio.sleep(0.005)

    def stored(self) -> tuple[int, int, bool]:
        """Rows, different ones, and whether the ledger of every gateway adds up."""
        with psycopg.connect(self.stack.postgres, connect_timeout=5) as connection:
            rows = connection.execute("select count(*), count(distinct (sensor, value)) from readings")
            total, distinct = rows.fetchone() or (0, 0)
            ledger = connection.execute("select adds_up, awaited + given_up from ledger").fetchall()
        return total, distinct, all(adds_up and not open_ for adds_up, open_ in ledger)


@contextlib.asynccontextmanager
async def served(*services: Service) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(service.run(stop)) for service in services]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {WITHIN_S:g} s for: {what}")
        await asyncio.sleep(0.2)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


async def revive(stack: Stack, name: str) -> None:
    alive = local.status(stack.data)["services"]
    assert isinstance(alive, list)
    if any(row["name"] == name and row["health"] != "ok" for row in alive):
        say(f"  {name} had ended or hung: started again, as its supervisor would")
        await asyncio.to_thread(local.restart, stack.data, name)


async def kafkas(city: City) -> None:
    disk = city.stack.data / "kafka"
    fill(disk, LIMIT + 0.05)
    await until(lambda: "disk" in (city.ingest.not_ready() or ""), "ingest to close")
    say(f"Kafka's disk {share_used(disk):.0%}: {city.ingest.not_ready()}")
    before, waiting = city.unanswered, GATEWAYS * FRAMES
    city.submit(FRAMES)
    fill(disk, 1.0)
    await asyncio.sleep(10)
    say(f"Kafka's disk {share_used(disk):.0%}: {city.unanswered} frames unanswered, {before} before")
    assert city.unanswered == before + waiting, "a full disk answered"
    (disk / "filler").unlink()
    await revive(city.stack, "kafka")
    await until(lambda: city.unanswered == 0, "the outboxes to empty")
    say(f"freed: {city.sent} frames sent in all, {city.unanswered} unanswered")


async def postgresqls(city: City) -> None:
    disk = city.stack.data / "postgres"
    fill(disk, 1.0)
    city.submit(FRAMES)
    await until(lambda: city.record.not_ready() is not None, "the historian to stop")
    say(f"PostgreSQL's disk {share_used(disk):.0%}: record says {city.record.not_ready()}")
    await until(lambda: city.unanswered == 0, "answers, which need no database")
    (disk / "filler").unlink()
    await revive(city.stack, "postgres")


async def main() -> int:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it says every try
    with tempfile.TemporaryDirectory() as outside, tempfile.TemporaryDirectory() as inside:
        folder, data = Path(outside), Path(inside) / "data"
        Path(inside).chmod(0o711)
        with small_disks(data):
            stack = local.up(data)
            try:
                settings = Settings.from_environ(local.environment(stack))
                await migrate(settings, judgement_live=False)
                city = City(stack, folder)
                async with served(city.ingest, city.record):
                    speaking = asyncio.create_task(city.pump())
                    city.submit(FRAMES)
                    await until(lambda: city.unanswered == 0, "the first answers")
                    await kafkas(city)
                    await postgresqls(city)
                    wanted = city.sent * POINTS
                    await until(lambda: city.stored()[0] >= wanted, f"{wanted} rows")
                    await asyncio.sleep(5)
                    rows, distinct, adds_up = city.stored()
                    speaking.cancel()
            finally:
                local.down(data)
    say(f"{city.sent} frames, {wanted} readings sent: {rows} rows, {distinct} different; adds up: {adds_up}")
    return 0 if (rows, distinct, adds_up) == (wanted, wanted, True) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
