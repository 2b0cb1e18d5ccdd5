"""The simulated city as a service: its gateways publish what the simulation says; lines are cut on demand.

It begins when every gateway is connected, keeps to the city clock, and catches up what a stall delayed
with the times the readings should have had. On stop it waits a little for the last answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from schemas.clock import CityClock, to_datetime
from simulators import cameras, truth
from simulators.city import City
from simulators.faults import S_US, Fault, plant
from simulators.gateway import CONNECTS_AT_ONCE
from simulators.protocols.fleet import Client, voices
from simulators.scenario import Scenario
from simulators.simulation import Report, Simulation

log = logging.getLogger(__name__)

LAST_ANSWERS_S = 5.0


class Simulate:
    """`credentials` must hold the secret of each of the city's gateways; `now` gives wall microseconds;
    `told` hears every report as it goes to its gateway. `addresses` are of listeners beside the broker, by
    protocol, for gateways that speak one."""

    def __init__(
        self,
        *,
        mqtt: str,
        credentials: Mapping[str, str],
        scenario: Scenario,
        clock: CityClock,
        now: Callable[[], int],
        truth_file: Path,
        city: City | None = None,
        told: Callable[[Report], None] = lambda report: None,
        last_answers_s: float = LAST_ANSWERS_S,
        addresses: Mapping[str, str] | None = None,
    ) -> None:
        self.city = city or scenario.city()
        missing = [g.gateway for g in self.city.gateways if g.gateway not in credentials]
        if missing:
            raise ValueError(f"no secret for {len(missing)} gateways, the first is {missing[0]}")
        self._scenario, self._clock, self._now, self._truth_file = scenario, clock, now, truth_file
        self._told, self._last_answers_s = told, last_answers_s
        self._voices = voices(
            self.city,
            mqtt=mqtt,
            addresses=addresses or {},
            credentials=credentials,
            clock=clock,
            now=now,
            seed=scenario.seed,
            connecting=asyncio.Semaphore(CONNECTS_AT_ONCE),
        )
        self.gateways = [voice.client for voice in self._voices]
        self.routes = cameras.routes(now)
        self._by_name = {g.gateway: g for g in self.gateways}
        self._cut: set[str] = set()
        self._faults: list[Fault] = []
        self._begun = False

    def not_ready(self) -> str | None:
        if self._begun:
            return None
        waiting = [g for g in self.gateways if not g.ready]
        why = f": {waiting[0].gateway}: {waiting[0].why}" if waiting else ""
        return f"{len(waiting)} of {len(self.gateways)} gateways are not connected{why}"

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`."""
        metrics = _Metrics(self.gateways)
        REGISTRY.register(metrics)
        end = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                for gateway in self.gateways:
                    tasks.create_task(gateway.run(end), name=gateway.gateway)
                try:
                    await self._all_connected(stop)
                    await self._live(stop)
                    await self._last_answers()
                finally:
                    end.set()
        finally:
            REGISTRY.unregister(metrics)

    def report(self) -> dict[str, Any]:
        """What was injected so far, and what became of the frames."""
        totals = {key: 0 for key in asdict(self.gateways[0].counters)}
        for gateway in self.gateways:
            for key, value in asdict(gateway.counters).items():
                totals[key] += value
        return {
            "faults": truth.read(self._truth_file),
            "planned": [
                {**fault.label(), "onset_wall": to_datetime(self._clock.wall_us(fault.onset_us)).isoformat()}
                for fault in self._faults
            ],
            "totals": totals,
            "gateways": {g.gateway: asdict(g.counters) for g in self.gateways},
        }

    async def _all_connected(self, stop: asyncio.Event) -> None:
        while not stop.is_set() and not all(g.ready for g in self.gateways):
            await _sleep(stop, 0.05)

    async def _live(self, stop: asyncio.Event) -> None:
        start_us = -(-self._clock.city_us(self._now()) // S_US) * S_US
        record = truth.Truth(self._truth_file, start_us)
        scale = self._scenario.scale
        self._faults = [plant(s, self.city, record.start_us, scale) for s in self._scenario.faults]
        simulation = Simulation(self.city, self._faults, start_us)
        self._begun = True
        while not stop.is_set():
            reports = simulation.step()
            await _sleep(stop, (self._clock.wall_us(simulation.now_us) - self._now()) / 1e6)
            if stop.is_set():
                return
            self._mend_and_cut(simulation.cut_off())
            for fault in record.note(self._faults, simulation.now_us):
                log.info("fault %s in %s begins", fault.spec.kind, fault.spec.zone)
            for report in reports:
                self._submit(report)

    def _submit(self, report: Report) -> None:
        self._told(report)
        readings = zip(report.sensors.tolist(), report.values.tolist(), strict=True)
        self._voices[report.gateway].say(report.time_us, list(readings))

    def _mend_and_cut(self, cut: set[str]) -> None:
        for name in cut - self._cut:
            self._by_name[name].cut()
        for name in self._cut - cut:
            self._by_name[name].mend()
        self._cut = cut

    async def _last_answers(self) -> None:
        waiting = [asyncio.create_task(g.emptied()) for g in self.gateways if g.gateway not in self._cut]
        _, late = await asyncio.wait(waiting, timeout=self._last_answers_s)
        for task in late:
            task.cancel()
        if late:
            log.warning("%d gateways end with frames unanswered", len(late))


class _Metrics(Collector):
    """Totals over all gateways, read from their counters when asked."""

    def __init__(self, gateways: list[Client]) -> None:
        self._gateways = gateways

    def collect(self) -> list[Metric]:
        totals = CounterMetricFamily(
            "cityvigil_simulate_gateways", "what the gateways' counters say", labels=["what"]
        )
        for key in asdict(self._gateways[0].counters):
            totals.add_metric([key], sum(getattr(g.counters, key) for g in self._gateways))
        unanswered = GaugeMetricFamily(
            "cityvigil_simulate_unanswered_frames", "frames in outboxes",
            value=sum(len(g.outbox) for g in self._gateways),
        )  # fmt: skip
        return [totals, unanswered]


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    """Sleeps, or less when stopped."""
    if seconds <= 0:
        await asyncio.sleep(0)
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
