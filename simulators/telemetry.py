"""What happens to reports on their way out of a gateway: lost, late, twice, out of order, by a wrong clock.

Given the reports of a moment, gives those that the gateways really send then. Lines that are cut, and
sensors that repeat themselves, are not its business: simulators/simulation.py sees to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.city import City
from simulators.faults import S_US, Fault
from simulators.kinds import KINDS
from simulators.network import Floats

BATCH_S = 100
"""A late gateway keeps what it has for so long, then sends all of it."""
SPIKES_EVERY = 7


class Report(NamedTuple):
    """What one gateway has to say of one moment."""

    gateway: int  # index into City.gateways
    time_us: int
    sensors: NDArray[np.intp]  # indices into City.sensors
    values: Floats


class Lines:
    """Between the gateways' sensors and their senders."""

    def __init__(self, city: City, faults: Sequence[Fault]) -> None:
        index = {g.gateway: i for i, g in enumerate(city.gateways)}
        self._faults = [
            (fault, KINDS[fault.spec.kind].telemetry, index.get(fault.gateway or ""))
            for fault in faults
            if KINDS[fault.spec.kind].telemetry
            in ("drops", "spikes", "scales", "clock", "late", "repeats", "disorders")
        ]
        self._kept: dict[int, list[Report]] = {}
        self._released_us: dict[int, int] = {}
        self._seen = 0

    def spoil(self, now_us: int, reports: list[Report]) -> list[Report]:
        """The reports that go out now."""
        for fault, how, gateway in self._faults:
            active = fault.active(now_us)
            match how:
                case "drops" if active:
                    reports = [r for report in reports if (r := _without(report, fault)) is not None]
                case "spikes" if active:
                    reports = [self._spiked(report, fault) for report in reports]
                case "scales" if active:
                    reports = [_scaled(report, fault) for report in reports]
                case "clock" if active:
                    off = round(fault.spec.magnitude * S_US)
                    reports = [
                        r._replace(time_us=r.time_us + off) if r.gateway == gateway else r for r in reports
                    ]
                case "repeats" if active:
                    reports = [r for report in reports for r in [report] * (1 + (report.gateway == gateway))]
                case "late" | "disorders" if gateway is not None:
                    reports = self._kept_back(reports, gateway, now_us, active, how == "disorders")
        return reports

    def _spiked(self, report: Report, fault: Fault) -> Report:
        """Every so many of its reports one shows the magnitude, whatever there is."""
        hit = np.isin(report.sensors, fault.at)
        if not hit.any():
            return report
        self._seen += 1
        if self._seen % SPIKES_EVERY:
            return report
        return report._replace(values=np.where(hit, fault.spec.magnitude, report.values))

    def _kept_back(
        self, reports: list[Report], gateway: int, now_us: int, active: bool, turned: bool
    ) -> list[Report]:
        """Sent together after a while, the newest first where they are `turned`."""
        kept = self._kept.setdefault(gateway, [])
        if not active and not kept:
            return reports
        others = [r for r in reports if r.gateway != gateway]
        kept += [r for r in reports if r.gateway == gateway]
        due = now_us - self._released_us.setdefault(gateway, now_us) >= BATCH_S * S_US
        if active and not due:
            return others
        self._released_us[gateway] = now_us
        sent = kept[::-1] if turned else list(kept)
        kept.clear()
        return others + sent


def _without(report: Report, fault: Fault) -> Report | None:
    """The report without the fault's sensors; None when nothing is left of it."""
    stay = ~np.isin(report.sensors, fault.at)
    if stay.all():
        return report
    if not stay.any():
        return None
    return report._replace(sensors=report.sensors[stay], values=report.values[stay])


def _scaled(report: Report, fault: Fault) -> Report:
    """The sensor speaks another unit than it is registered with."""
    hit = np.isin(report.sensors, fault.at)
    values = np.where(hit, report.values * fault.spec.magnitude, report.values)
    return report._replace(values=values) if hit.any() else report
