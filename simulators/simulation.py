"""The city living: physics stepped, faults applied, and each gateway's due readings in its turn.

A gateway's turn comes once a minute of city time, at a phase of its own, so load is even. Sensors that
evaluate themselves (`edge` in the catalogue) report at once when they cross a limit or, where their row
says so, move by 2 %, and every minute while abnormal and for ten more. A gateway's first turn reports
every point. Instrument noise and rounding are the catalogue's; noise is drawn from (seed, moment), so the
same seed, start and step give the same readings.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.catalogue import catalogue
from simulators.city import TURN_S, ZONES, City
from simulators.faults import S_US, Fault
from simulators.limits import limits_of
from simulators.network import Floats, Moment
from simulators.telemetry import Lines, Report
from simulators.weather import Air, Ground

UTC_OFFSET_S = 8 * 3600
QUICK_CHANGE = 0.02
LINGER_US = 10 * 60 * S_US
__all__ = ["Report", "Simulation"]


class Simulation:
    """From `start_us`, a step of `step_s` at a time (a divisor of a minute)."""

    def __init__(self, city: City, faults: Sequence[Fault], start_us: int, step_s: int = 5) -> None:
        if TURN_S % step_s:
            raise ValueError(f"expected a step that divides {TURN_S} s, got {step_s}")
        self.city, self.faults, self.now_us = city, faults, start_us
        self._step_us = step_s * S_US
        self._slots = TURN_S // step_s
        self._slot = 0
        rng = np.random.default_rng([city.seed, 1])
        self._air, self._ground = Air(len(ZONES), rng, city.season), Ground(len(ZONES))
        self._networks = {n.name: n(city.layouts[n.name], rng) for n in city.networks}
        self._told = np.full(len(city.sensors), np.nan)
        self._said = np.full(len(city.sensors), np.nan)
        self._was_abnormal = np.zeros(len(city.sensors), dtype=bool)
        self._fast_until = np.zeros(len(city.sensors), dtype=np.int64)
        self._instruments(city)
        self._lines = Lines(city, faults)
        phase = rng.permutation(len(city.gateways)) % self._slots
        self._phase = phase[city.gateway_of]
        self._by_gateway = np.argsort(city.gateway_of, kind="stable")
        self._turns = np.array([plan.interval_s // TURN_S for plan in city.planned])

    def misbehaving(self, faults: Sequence[Fault], step_s: int = TURN_S) -> Simulation:
        """A second city that has lived as this one has, and from now on has these faults. Its steps may be
        finer, each a whole share of those here."""
        other = copy.deepcopy(self, {id(self.city): self.city})
        other.faults, other._lines = faults, Lines(self.city, faults)
        finer = self._step_us // (step_s * S_US)
        other._step_us, other._slots = step_s * S_US, self._slots * finer
        other._slot, other._phase = self._slot * finer, self._phase * finer
        return other

    def step(self) -> list[Report]:
        """Lets `step_s` pass; the reports of that moment, one a gateway."""
        self.now_us += self._step_us
        self._slot += 1
        truth = self._truth()
        for fault in self.faults:
            fault.bend(self.now_us, truth)
        due = self._due(truth)
        self._told[due] = truth[due]
        values = self._measured(truth, due)
        return self._lines.spoil(self.now_us, self._by_gateways(due, values))

    def cut_off(self) -> set[str]:
        """The gateways whose line is cut now."""
        return {f.gateway for f in self.faults if f.gateway and f.cuts(self.now_us)}

    def _instruments(self, city: City) -> None:
        rows = [catalogue()[s.category] for s in city.sensors]
        limits = [limits_of(row, s.params) for row, s in zip(rows, city.sensors, strict=True)]
        self._low = np.array([limit.low for limit in limits])
        self._high = np.array([limit.high for limit in limits])
        quiet = np.array([plan.noise for plan in city.planned])
        self._sigma = quiet * np.array([row.noise or 0.0 for row in rows])
        self._beat = np.array([plan.turbulence for plan in city.planned])
        self._relative = quiet * np.array([row.noise_relative or 0.0 for row in rows])
        self._resolution = np.array([row.resolution for row in rows])
        self._lowest = np.array([row.plausible_min for row in rows])
        self._highest = np.array([row.plausible_max for row in rows])
        self._edge = np.array([row.edge for row in rows])
        self._state = np.array([row.is_state for row in rows])
        self._quick = np.array([row.edge and "2 % change" in row.reporting_interval for row in rows])

    def _truth(self) -> Floats:
        seconds = self.now_us / S_US
        local = (seconds + UTC_OFFSET_S) / 3600 % 24
        dt_s = self._step_us / S_US
        sky = self._air.at(seconds, local)
        for fault in sorted(self.faults, key=lambda fault: fault.active(self.now_us)):
            fault.overcast(self.now_us, sky)
            if fault.troubles:
                for network in self._networks.values():
                    network.disturb(fault.zone, fault.troubles, fault.active(self.now_us))
        self._ground.take(sky, dt_s)
        moment = Moment(seconds, local, sky)
        return np.concatenate([network.step(moment, dt_s) for network in self._networks.values()])

    def _due(self, truth: Floats) -> NDArray[np.bool_]:
        since = self._slot - 1 - self._phase
        turn = (since >= 0) & (since % self._slots == 0)
        known = ~np.isnan(self._told)
        regular = turn & ((since // self._slots) % self._turns == self.city.stagger)
        abnormal = self._edge & ((truth >= self._high) | (truth <= self._low))
        crossed = known & (abnormal != self._was_abnormal)
        self._was_abnormal = np.where(known, abnormal, self._was_abnormal)
        self._fast_until = np.where(abnormal, self.now_us + LINGER_US, self._fast_until)
        fast = turn & ~self._state & (self.now_us <= self._fast_until)
        moved = self._quick & known & (np.abs(truth - self._told) >= QUICK_CHANGE * np.abs(self._told))
        due: NDArray[np.bool_] = (turn & ~known) | regular | crossed | fast | moved
        return due

    def _measured(self, truth: Floats, due: NDArray[np.bool_]) -> Floats:
        """What the instruments show: noisy, rounded, within their range, still where one is stuck."""
        rng = np.random.default_rng([self.city.seed, self.now_us // S_US])
        true = truth[due]
        sigma = self._sigma[due] + self._relative[due] * np.abs(true)
        self._beat[due] *= -1
        noisy = true + self._beat[due] + sigma * rng.standard_normal(len(true))
        resolution = self._resolution[due]
        shown = np.clip(np.rint(noisy / resolution) * resolution, self._lowest[due], self._highest[due])
        all_shown = self._said.copy()
        all_shown[due] = np.round(shown, 6)
        for fault in self.faults:
            if fault.holds(self.now_us):
                held = self._said[fault.at]
                all_shown[fault.at] = np.where(np.isnan(held), all_shown[fault.at], held)
        self._said = all_shown
        return all_shown[due]

    def _by_gateways(self, due: NDArray[np.bool_], values: Floats) -> list[Report]:
        spoken = np.full(len(due), np.nan)
        spoken[due] = values
        order = self._by_gateway[due[self._by_gateway]]
        if not len(order):
            return []
        gateways = self.city.gateway_of[order]
        cuts = np.flatnonzero(np.diff(gateways)) + 1
        return [
            Report(int(self.city.gateway_of[part[0]]), self.now_us, part, spoken[part])
            for part in np.split(order, cuts)
        ]
