"""How far off bursts are laid by their pressure wave: simulated fronts through rule, model and fold.

Bursts of 20 to 150 L/s anywhere in the mains of Net3; loggers stand spread out, sample a hundred times a
second, and tell of transients from 0.03 MPa. Real waves are faster or slower than the model's by 3 % together
and 2 % a pipe, and clocks are off. Metres are straight lines. The physics is ours (simulators/fronts.py);
what other waves, closed valves and unknown pipes add in the ground is not in these figures.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from cityvigil.quality.events import Row
from cityvigil.rule_front import front_file
from detectors.fold import Partition
from detectors.program import Program, compile_program
from schemas.alert import Alert
from schemas.catalogue import catalogue
from schemas.control import Control, Tick
from schemas.default_rules import default_rules
from schemas.frame import SEGMENT, Frame, SegmentFlag
from schemas.reading import RECORD
from schemas.registry import Gateway, Registry, Sensor, Zone
from simulators.city import METRES_A_DEGREE
from simulators.fronts import Pipe, burst, pipes, stamped

SECOND_US = 1_000_000
START_US = 1_772_409_600 * SECOND_US
LON, LAT = 120.35, 36.07
SAMPLING_S = 0.01
TRIGGER_MPA = 0.03
WRONG_S = (0.001, 0.02, 0.1)
LOGGERS = (5, 8, 12)
BURSTS = 200


class Laid(NamedTuple):
    """What was said of one burst: NaN metres where no place was named."""

    heard: int
    told: bool
    off_m: float
    within_m: float
    right_pipe: bool


def measure(bursts: int = BURSTS) -> Iterator[Row]:
    for loggers in LOGGERS:
        program, nodes = district(loggers)
        for wrong_s in WRONG_S:
            found = [laid(program, nodes, wrong_s, seed) for seed in range(bursts)]
            told = [one for one in found if one.told]
            placed = [one for one in told if np.isfinite(one.off_m)]
            off, within = np.array([one.off_m for one in placed]), np.array([one.within_m for one in placed])
            yield Row(
                "front",
                f"{loggers} loggers, clocks off by {1000 * wrong_s:.0f} ms",
                {
                    "bursts": float(bursts),
                    "heard_by_three": float(sum(one.heard >= 3 for one in found)),
                    "told": float(len(told)),
                    "placed": float(len(placed)),
                    "metres_off_median": float(np.median(off)) if len(off) else np.nan,
                    "metres_off_p90": float(np.quantile(off, 0.9)) if len(off) else np.nan,
                    "said_metres_median": float(np.median(within)) if len(off) else np.nan,
                    "within_what_was_said": float((off <= within).mean()) if len(off) else np.nan,
                    "right_pipe": float(np.mean([one.right_pipe for one in placed])) if placed else np.nan,
                },
            )


def district(loggers: int) -> tuple[Program, tuple[str, ...]]:
    """The default rule with a model of Net3's pipes, and the nodes where the loggers stand."""
    where = {node: end for pipe in pipes() for node, end in zip(pipe.nodes, pipe.ends, strict=True)}
    nodes = _spread(where, loggers)
    with tempfile.TemporaryDirectory() as folder:
        table, stands = Path(folder, "pipes.csv"), Path(folder, "loggers.csv")
        with table.open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(
                ["pipe", "from", "to", "length_m", "wave_m_s", "from_lon", "from_lat", "to_lon", "to_lat"]
            )
            for pipe in pipes():
                ends = [degree for end in pipe.ends for degree in _degrees(*end)]
                out.writerow([pipe.name, *pipe.nodes, pipe.length_m, pipe.wave_m_s, *ends])
        with stands.open("w", newline="") as file:
            csv.writer(file).writerows([("arrival", "node"), *((f"{n}/arrival", n) for n in nodes)])
        model = front_file(table, stands, Path(folder, "mains.model.json"))
    (rule,) = (r for r in default_rules(judgement_live=True) if r.detector == "front")
    registry = Registry(version=1)
    registry.apply(Zone("mains", "district", "管网", "mains", 0))
    for i, node in enumerate(nodes):
        registry.apply(Gateway(node, "mains", interval_s=60.0))
        lon, lat = _degrees(*where[node])
        for j, (point, key) in enumerate(
            (("size", "water_main_transient"), ("arrival", "water_front_arrival"))
        ):
            sensor = Sensor(2 * i + j + 1, node, point, key, catalogue()[key].unit, "mains", lon=lon, lat=lat)
            registry.apply(sensor)
    return compile_program(registry, [msgspec.structs.replace(rule, model=model)], 0), nodes


def laid(program: Program, nodes: tuple[str, ...], wrong_s: float, seed: int) -> Laid:
    rng = np.random.default_rng((seed, len(nodes)))
    lengths = np.array([pipe.length_m for pipe in pipes()])
    broken = int(rng.choice(len(lengths), p=lengths / lengths.sum()))
    share, q_m3_s = float(rng.uniform()), float(rng.uniform(0.02, 0.15))
    nominal = np.array([pipe.wave_m_s for pipe in pipes()])
    speeds = nominal * (1 + 0.03 * rng.standard_normal()) * (1 + 0.02 * rng.standard_normal(len(nominal)))
    front = burst(broken, share, q_m3_s, speeds, nodes)
    at_s = 240.0 + rng.uniform(0, 60)
    times = stamped(at_s + front.seconds, SAMPLING_S, wrong_s * rng.standard_normal(len(nodes)))
    hears = front.size_mpa >= TRIGGER_MPA
    answers_s = times + rng.uniform(0.5, 15, len(nodes))
    log = log_of(nodes, times, front.size_mpa, np.where(hears, answers_s, np.inf))
    said = [alert for alert in Partition(program).fold(log) if alert.change == "raise"]
    if not said:
        return Laid(int(hears.sum()), False, np.nan, np.nan, False)
    return _judged(said[0], pipes()[broken], share, int(hears.sum()))


def _judged(alert: Alert, pipe: Pipe, share: float, heard: int) -> Laid:
    place = alert.evidence.place
    if place is None or place.lon is None or place.lat is None:
        return Laid(heard, True, np.nan, np.nan, False)
    lon, lat = _degrees(*pipe.at(share))
    east = (place.lon - lon) * np.cos(np.radians(lat))
    off = METRES_A_DEGREE * float(np.hypot(east, place.lat - lat))
    right = f"pipe {pipe.name}, " in place.text_en
    return Laid(heard, True, off, float(place.within_m or np.nan), right)


def log_of(
    nodes: tuple[str, ...], times: np.ndarray, sizes: np.ndarray, answers_s: np.ndarray
) -> list[Frame | Control]:
    """Calm minutes, each logger's answer when its line brings it, and ticks every five seconds."""
    told: list[tuple[float, int, list[tuple[int, int, float]]]] = []
    for i, at_s in enumerate(answers_s.tolist()):
        told += [(60.0 * n + i, i, [(2 * i + 1, round(60.0 * n + i), 0.02)]) for n in range(4)]
        if np.isfinite(at_s):
            whole = round(times[i])
            told.append((at_s, i, [(2 * i + 1, whole, float(sizes[i])), (2 * i + 2, whole, times[i])]))
    told.sort(key=lambda one: one[0])
    log: list[Frame | Control] = []
    sequence = [0] * len(nodes)
    tick_s = 0.0
    for at_s, i, readings in [*told, (400.0, -1, [])]:
        while tick_s < at_s:
            now = START_US + round(tick_s * SECOND_US)
            log.append(Tick("test", 1, now, now))
            tick_s += 5.0
        if not readings:
            break
        sequence[i] += 1
        records, segment = np.zeros(len(readings), RECORD), np.zeros(1, SEGMENT)
        for record, (sensor, second, value) in zip(records, readings, strict=True):
            record["sensor"], record["time"], record["value"] = sensor, START_US + second * SECOND_US, value
        segment["epoch"], segment["sequence"], segment["count"] = 1, sequence[i], len(records)
        segment["received_at"] = segment["received_wall"] = START_US + round(at_s * SECOND_US)
        segment["flags"] = SegmentFlag.sequenced
        log.append(Frame(segment, records, (nodes[i],)))
    return log


def _spread(where: dict[str, tuple[float, float]], count: int) -> tuple[str, ...]:
    """Each as far as can be from those before."""
    names, places = list(where), np.array(list(where.values()))
    chosen = [int(np.hypot(*places.T).argmin())]
    while len(chosen) < count:
        apart = np.hypot(*(places[:, None] - places[chosen]).transpose(2, 0, 1)).min(axis=1)
        chosen.append(int(apart.argmax()))
    return tuple(names[i] for i in chosen)


def _degrees(east_m: float, north_m: float) -> tuple[float, float]:
    east = east_m / METRES_A_DEGREE / float(np.cos(np.radians(LAT)))
    return LON + east, LAT + north_m / METRES_A_DEGREE
