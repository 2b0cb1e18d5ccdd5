"""What loggers hear when a main of Net3 breaks: the pressure wave, from pipe to pipe.

A burst that takes q out of a pipe sends a fall of rho a q / 2A both ways (Joukowsky 1898); at a junction the
part 2 (A/a) / sum(A/a) of it goes on (Wylie and Streeter 1993), and friction takes a share a kilometre. The
first wave to reach a logger makes its arrival; that it samples and what its clock is off are added. Later
waves, the column's separation and pumps are left out; every junction is taken as open.
"""

from __future__ import annotations

import csv
import functools
import heapq
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

import numpy as np

from simulators.network import Floats

DENSITY = 1000.0
LOST_A_KM = 0.1


class Pipe(NamedTuple):
    """`ends` are nodes, metres from the middle of the network."""

    name: str
    nodes: tuple[str, str]
    ends: tuple[tuple[float, float], tuple[float, float]]
    diameter_m: float

    @property
    def length_m(self) -> float:
        (a, b), (c, d) = self.ends
        return float(np.hypot(a - c, b - d))

    @property
    def wave_m_s(self) -> float:
        """Ductile iron, the wider the slower (Korteweg 1878, wall of 2 % of the diameter and 5 mm)."""
        wall = 0.02 * self.diameter_m + 0.005
        return float(1 / np.sqrt(DENSITY * (1 / 2.1e9 + self.diameter_m / (wall * 1.7e11))))

    @property
    def area_m2(self) -> float:
        return np.pi * self.diameter_m**2 / 4

    def at(self, share: float) -> tuple[float, float]:
        (a, b), (c, d) = self.ends
        return a + share * (c - a), b + share * (d - b)


class Front(NamedTuple):
    """By logger: seconds after the burst, and the size of the fall, MPa."""

    seconds: Floats
    size_mpa: Floats


@functools.cache
def pipes() -> tuple[Pipe, ...]:
    """Net3's, straight between its nodes, at a third of its scale."""
    text = resources.files("simulators").joinpath("physics", "water_pipes.csv").read_text(encoding="utf-8")
    return tuple(
        Pipe(
            row["pipe"],
            (row["from"], row["to"]),
            (
                (float(row["from_east_m"]), float(row["from_north_m"])),
                (float(row["to_east_m"]), float(row["to_north_m"])),
            ),
            float(row["diameter_mm"]) / 1000,
        )
        for row in csv.DictReader(text.splitlines())
    )


def burst(pipe: int, share: float, q_m3_s: float, speeds: Floats, loggers: Sequence[str]) -> Front:
    """`share` of the pipe from its first node, `speeds` the waves' real ones by pipe, `loggers` nodes."""
    at: dict[str, list[tuple[int, str]]] = {}
    for i, one in enumerate(pipes()):
        for here, there in (one.nodes, one.nodes[::-1]):
            at.setdefault(here, []).append((i, there))
    broken = pipes()[pipe]
    size = DENSITY * float(speeds[pipe]) * q_m3_s / (2 * broken.area_m2) / 1e6
    waves = [
        (way * broken.length_m / float(speeds[pipe]), node, size * _left(way * broken.length_m), pipe)
        for way, node in ((share, broken.nodes[0]), (1 - share, broken.nodes[1]))
    ]
    heapq.heapify(waves)
    heard: dict[str, tuple[float, float]] = {}
    while waves:
        seconds, node, arriving, via = heapq.heappop(waves)
        if node in heard:
            continue
        admit = [pipes()[i].area_m2 / float(speeds[i]) for i, _ in at[node]]
        passing = pipes()[via].area_m2 / float(speeds[via])
        through = arriving * 2 * passing / sum(admit)
        heard[node] = seconds, through
        for i, there in at[node]:
            length = pipes()[i].length_m
            wave = seconds + length / float(speeds[i]), there, through * _left(length), i
            heapq.heappush(waves, wave)
    found = np.array([heard.get(node, (np.inf, 0.0)) for node in loggers])
    return Front(found[:, 0], found[:, 1])


def _left(metres: float) -> float:
    return float((1 - LOST_A_KM) ** (metres / 1000))


def stamped(seconds: Floats, sampling_s: float, clock_off_s: Floats) -> Floats:
    """As loggers write it: the first sample after the front, by their own clocks."""
    return np.asarray(np.ceil((seconds + clock_off_s) / sampling_s) * sampling_s)
