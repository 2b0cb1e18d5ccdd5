"""What the gateways of a fault run send, and a record of it: the simulated city, and pulses beside it.

Everything handed to a gateway is remembered with its time and values before it goes out; that record is what
an exact platform must have stored. Gateways keep their frames until they are answered, as real ones do. It
judges nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cityvigil import gateways as accounts
from cityvigil.faults import pulse
from cityvigil.faults.pulse import BEAT_S, Pulse
from cityvigil.registry_topic import import_registry
from cityvigil.whole_city import WholeCity
from cityvigil.wiring import now_us
from simulators.gateway import CONNECTS_AT_ONCE, Gateway
from simulators.outbox import Outbox
from simulators.scenario import Scenario
from simulators.service import Simulate
from simulators.simulation import Report

ANSWERED_WITHIN_S = 240.0


class Sent(NamedTuple):
    """A frame as it was handed to its gateway."""

    gateway: str
    time_us: int
    readings: tuple[tuple[str, float], ...]  # point, value


class Load:
    """Plays from `start` to `finish`; `sent` grows meanwhile."""

    def __init__(
        self, city: WholeCity, scenario: Scenario, pulses: Sequence[Pulse], secrets: Mapping[str, str]
    ) -> None:
        self.sent: list[Sent] = []
        self._clock = city.clock
        self._stop = asyncio.Event()
        self._playing: asyncio.Task[None] | None = None
        self._simulate = Simulate(
            mqtt=city.stack.mqtt,
            credentials=secrets,
            scenario=scenario,
            clock=city.clock,
            now=now_us,
            truth_file=city.data / "truth.jsonl",
            told=self._heard,
            last_answers_s=ANSWERED_WITHIN_S,
        )
        self._pulses = tuple(pulses)
        connecting = asyncio.Semaphore(CONNECTS_AT_ONCE)
        self._lines = [
            Gateway(
                one.gateway,
                secrets[one.gateway],
                city.stack.mqtt,
                outbox=Outbox(random.Random(f"{scenario.seed}/{one.gateway}")),
                epoch=now_us(),
                now=now_us,
                rng=random.Random(f"{scenario.seed}/{one.gateway}/line"),
                connecting=connecting,
            )
            for one in pulses
        ]

    @property
    def unanswered(self) -> int:
        """Frames that their gateways still keep."""
        return sum(len(gateway.outbox) for gateway in (*self._simulate.gateways, *self._lines))

    @property
    def beating(self) -> frozenset[str]:
        """The gateways of the pulses."""
        return frozenset(one.gateway for one in self._pulses)

    def faults(self) -> list[frozenset[str]]:
        """Of each fault of the scenario, the sensors that feel it."""
        return [frozenset(fault["subjects"]) for fault in self._simulate.report()["planned"]]

    def not_ready(self) -> str | None:
        silent = [line.gateway for line in self._lines if not line.ready]
        return self._simulate.not_ready() or (f"{silent[0]} is not connected" if silent else None)

    def start(self) -> None:
        self._playing = asyncio.create_task(self._play(), name="the load of a fault run")

    async def finish(self) -> None:
        """Sends nothing new; returns when everything is answered, or nobody answers."""
        assert self._playing is not None, "it was never started"
        self._stop.set()
        await self._playing

    async def abandon(self) -> None:
        """At once; does nothing after `finish`."""
        if self._playing is not None and not self._playing.done():
            self._playing.cancel()
            await asyncio.gather(self._playing, return_exceptions=True)

    async def _play(self) -> None:
        end = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for line in self._lines:
                tasks.create_task(line.run(end), name=line.gateway)
            beating = tasks.create_task(self._beat())
            await self._simulate.run(self._stop)
            beating.cancel()
            with contextlib.suppress(TimeoutError):  # `unanswered` says so
                async with asyncio.timeout(ANSWERED_WITHIN_S):
                    for line in self._lines:
                        await line.emptied()
            end.set()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            if self.not_ready() is not None and not self.sent:
                continue
            for one, line in zip(self._pulses, self._lines, strict=True):
                readings, time_us = one.beat(), self._clock.city_us(now_us())
                self.sent.append(Sent(one.gateway, time_us, tuple(readings)))
                line.submit(one.frame(time_us, readings), len(readings))

    def _heard(self, report: Report) -> None:
        city = self._simulate.city
        points = [city.sensors[i].point for i in report.sensors.tolist()]
        readings = tuple(zip(points, report.values.tolist(), strict=True))
        self.sent.append(Sent(city.gateways[report.gateway].gateway, report.time_us, readings))


async def prepared(city: WholeCity, scenario: Scenario) -> Load:
    """Registers the pulses beside the scenario's city, which is there already."""
    count = city.settings.partitions
    zones, gateways, sensors = pulse.rows(count)
    await import_registry(city.settings.kafka, zones, gateways, sensors, count, "bench faults")
    secrets: dict[str, str] = json.loads((city.data / "simulators.json").read_text())
    secrets |= await asyncio.to_thread(
        accounts.add_many, city.data, {row.gateway: row.zone for row in gateways}
    )
    return Load(city, scenario, [Pulse(n, scenario.seed) for n in range(count)], secrets)
