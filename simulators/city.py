"""The city as built: zones of Qingdao's districts, gateways and sensors, all from one seed.

Zones are the same for every seed, so that a scenario can name them; what stands in them differs. Nothing
here changes with time and nothing does I/O: simulators/simulation.py lets the city live.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.catalogue import catalogue
from simulators.analytics import AnalyticsNetwork
from simulators.bridge import BridgeNetwork
from simulators.fire import FireNetwork
from simulators.gas import GasNetwork
from simulators.grids import GasGrid, HeatGrid, WaterGrid
from simulators.heat import HeatNetwork
from simulators.homecare import HomecareNetwork
from simulators.network import Layout, Network, Planned
from simulators.rows import rows_network
from simulators.sewer import SewerNetwork
from simulators.span import SpanNetwork
from simulators.water import WaterNetwork
from simulators.weather import WeatherNetwork

NETWORKS: tuple[type[Network], ...] = (
    GasNetwork,
    WaterNetwork,
    HeatNetwork,
    BridgeNetwork,
    FireNetwork,
    WeatherNetwork,
)
WHOLE: tuple[type[Network], ...] = (
    GasGrid,
    WaterGrid,
    HeatGrid,
    BridgeNetwork,
    FireNetwork,
    WeatherNetwork,
    SpanNetwork,
    HomecareNetwork,
    SewerNetwork,
    *(rows_network(domain, f"{domain}-devices") for domain in ("gas", "water", "heat", "bridge", "fire",
                                                               "weather")),
    *(rows_network(domain, domain) for domain in ("environment", "structure", "other", "device")),
)  # fmt: skip
"""Every category of the catalogue, with mains and sewers that answer as solved networks do."""
WITH_VIDEO: tuple[type[Network], ...] = (*NETWORKS, AnalyticsNetwork)
"""The demonstration's, and boxes that say what cameras saw."""
TURN_S = 60
"""A gateway collects what is due of its sensors once in so many seconds of city time."""


class Zone(NamedTuple):
    zone: str
    district: str
    name_zh: str
    name_en: str
    lon: float
    lat: float


ZONES = (
    Zone("shinan-01", "shinan", "八大峡", "Badaxia", 120.306, 36.055),
    Zone("shibei-01", "shibei", "台东", "Taidong", 120.354, 36.085),
    Zone("licang-01", "licang", "李村", "Licun", 120.427, 36.161),
    Zone("laoshan-01", "laoshan", "中韩", "Zhonghan", 120.457, 36.113),
    Zone("chengyang-01", "chengyang", "流亭", "Liuting", 120.385, 36.263),
    Zone("huangdao-01", "huangdao", "长江路", "Changjiang Road", 120.190, 35.961),
    Zone("shinan-02", "shinan", "香港中路", "Hong Kong Middle Road", 120.388, 36.064),
    Zone("shibei-02", "shibei", "四方", "Sifang", 120.367, 36.118),
    Zone("licang-02", "licang", "沧口", "Cangkou", 120.389, 36.176),
    Zone("laoshan-02", "laoshan", "金家岭", "Jinjialing", 120.470, 36.090),
    Zone("chengyang-02", "chengyang", "惜福镇", "Xifuzhen", 120.489, 36.293),
    Zone("huangdao-02", "huangdao", "辛安", "Xin'an", 120.152, 36.021),
    Zone("shinan-03", "shinan", "八大关", "Badaguan", 120.345, 36.053),
    Zone("shibei-03", "shibei", "浮山后", "Fushanhou", 120.406, 36.098),
    Zone("licang-03", "licang", "世园", "Shiyuan", 120.476, 36.176),
    Zone("laoshan-03", "laoshan", "沙子口", "Shazikou", 120.545, 36.112),
)

_ASSETS = {"gas": "gas-main", "water": "water-main", "heat": "heat-pipe", "bridge": "bridge",
           "fire": "building", "weather": "weather-station", "drainage": "sewer", "homecare": "home",
           "environment": "air-station", "structure": "structure", "other": "street", "device": "terminal",
           "video": "square"}  # fmt: skip
WARM = ("spring", "summer", "autumn")
"""Seasons outside the heating season, in which its rules rest."""
METRES_A_DEGREE = 111_320.0
DENSITY_PER_GATEWAY = 4
"""A city as many times denser than planned has more gateways too."""


class Gateway(NamedTuple):
    gateway: str
    network: str
    zone: str
    interval_s: float
    protocol: str = "senml"
    identity: str | None = None  # what it calls itself where it does not log in by its name
    password: str | None = None  # what the registry is to know it by, where no broker lets it in


class Sensor(NamedTuple):
    gateway: str
    point: str
    category: str
    unit: str
    zone: str
    asset: str
    lon: float
    lat: float
    params: dict[str, float]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class City:
    """Sensors stand in the order network, category, zone, number; the arrays run along them."""

    seed: int
    zones: tuple[Zone, ...]
    gateways: tuple[Gateway, ...]
    sensors: tuple[Sensor, ...]
    planned: tuple[Planned, ...]
    gateway_of: NDArray[np.intp]
    stagger: NDArray[np.int64]  # turns by which a sensor of a long interval is shifted
    spans: dict[str, slice]  # network -> its sensors
    layouts: dict[str, Layout]
    networks: tuple[type[Network], ...] = NETWORKS
    season: str = "fair"

    @classmethod
    def build(
        cls,
        seed: int,
        zones: int = len(ZONES),
        density: float = 1.0,
        networks: tuple[type[Network], ...] = NETWORKS,
        season: str = "fair",
        every_s: int | None = None,
    ) -> City:
        """`zones` of the table, each with `density` times the planned sensors (at least one each), which
        report as planned or, if it is given, `every_s`."""
        rng = np.random.default_rng(seed)
        sensors: list[Sensor] = []
        planned: list[Planned] = []
        spans, layouts = {}, {}
        number = {zone.zone: i for i, zone in enumerate(ZONES)}
        for network in networks:
            first = len(sensors)
            slices = {}
            for plan in network.plan:
                if every_s is not None:
                    plan = plan._replace(interval_s=every_s)
                begin = len(sensors) - first
                made = _planted(
                    network, plan, ZONES[:zones], density, rng, _stated(plan, networks is not WHOLE, season)
                )
                sensors += made
                planned += [plan] * len(made)
                slices[plan.category] = slice(begin, len(sensors) - first)
            spans[network.name] = slice(first, len(sensors))
            mine = sensors[first:]
            layouts[network.name] = Layout(
                slices, np.array([number[s.zone] for s in mine]), [s.params for s in mine]
            )
        names = sorted({s.gateway for s in sensors})
        index = {name: i for i, name in enumerate(names)}
        gateway_of = np.array([index[s.gateway] for s in sensors])
        stagger = np.array([i % (plan.interval_s // TURN_S) for i, plan in enumerate(planned)])
        by_gateway = np.argsort(gateway_of, kind="stable")
        parts = np.split(by_gateway, np.flatnonzero(np.diff(gateway_of[by_gateway])) + 1)
        gateways = tuple(
            _gateway(name, sensors, planned, stagger, part, spans)
            for name, part in zip(names, parts, strict=True)
        )
        return cls(seed, ZONES[:zones], gateways, tuple(sensors), tuple(planned), gateway_of, stagger,
                   spans, layouts, networks, season)  # fmt: skip

    def registry(self) -> tuple[Sequence[Zone], Sequence[Gateway], Sequence[Sensor]]:
        """What an import needs to know; numbers and partitions are the registry's to give."""
        return self.zones, self.gateways, self.sensors

    def find(self, category: str, zone: str) -> list[int]:
        """The sensors of a category in a zone."""
        return [i for i, s in enumerate(self.sensors) if s.category == category and s.zone == zone]


def beside(zone: Zone, east_m: float, north_m: float) -> tuple[float, float]:
    """Longitude and latitude of what stands so far from the zone's centre."""
    east = east_m / METRES_A_DEGREE / float(np.cos(np.radians(zone.lat)))
    return zone.lon + east, zone.lat + north_m / METRES_A_DEGREE


def _planted(
    network: type[Network],
    plan: Planned,
    zones: Sequence[Zone],
    density: float,
    rng: np.random.Generator,
    stated: dict[str, float],
) -> list[Sensor]:
    row = catalogue()[plan.category]
    count = max(1, round(plan.per_zone * density))
    gateways = network.gateways_per_zone * max(1, round(density / DENSITY_PER_GATEWAY))
    domain = network.name.partition("-")[0]
    made = []
    for zone in zones:
        for i in range(count):
            place = f"{_ASSETS[domain]}-{zone.zone}"
            lon, lat = zone.lon + rng.normal(0, 0.006), zone.lat + rng.normal(0, 0.005)
            if (stood := network.stands(plan.category, i)) is not None:
                lon, lat = beside(zone, *stood)
            made.append(
                Sensor(
                    gateway=f"gw-{network.name}-{zone.zone}-{1 + i % gateways}",
                    point=f"{plan.prefix}-{i + 1:02d}",
                    category=plan.category,
                    unit=row.unit,
                    zone=zone.zone,
                    asset=f"{place}-{i + 1:02d}"
                    if domain == "homecare"
                    else place,  # a home is a place of its own
                    lon=round(lon, 5),
                    lat=round(lat, 5),
                    params=network.site(plan.category, rng) | stated,
                    tags=network.tags(plan.category, zone.zone, i),
                )
            )
    return made


def _stated(plan: Planned, demo: bool, season: str) -> dict[str, float]:
    """What each of these sensors is registered with beside its site's own: how often it reports where that
    is more often than the catalogue's longest, and that the heating rests outside its season."""
    row = catalogue()[plan.category]
    found = {}
    if not demo and row.interval_s is not None and plan.interval_s < row.interval_s:
        found["interval_s"] = float(plan.interval_s)
    if season in WARM and "season_schedule" in row.site_params:
        found["mode"] = 0.0
    return found


def _gateway(
    name: str,
    sensors: Sequence[Sensor],
    planned: Sequence[Planned],
    stagger: NDArray[np.int64],
    mine: NDArray[np.intp],
    spans: dict[str, slice],
) -> Gateway:
    """Its interval is the longest it can be quiet: the widest gap between turns with something due."""
    every = np.array([planned[i].interval_s // TURN_S for i in mine])
    horizon = max(180, int(every.min()))
    turns = np.zeros(horizon, dtype=bool)
    for period, first in set(zip(every.tolist(), stagger[mine].tolist(), strict=True)):
        turns[first::period] = True
    gap = int(np.max(np.diff(np.flatnonzero(np.concatenate((turns, turns))))))
    first = int(mine[0])
    network = next(n for n, span in spans.items() if span.start <= first < span.stop)
    return Gateway(name, network, sensors[first].zone, float(gap * TURN_S))
