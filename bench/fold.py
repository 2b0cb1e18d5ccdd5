"""What folding costs: readings a second on one core by frames a batch, and ns per reading of each detector.

    python -m bench.fold [--sensors 234000] [--times 10] [--seconds 3]

Processor time of one thread, `Partition.fold` alone: no Kafka, no decoding. A detector is measured by a
program that has its rules only, minus a program without rules; `rest` is that program: intake and rounds.
Detectors that no default rule names look at the categories of the default `ewma` rule, and cost what is told
for each reading of those.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import msgspec

from bench.city import Readings, a_registry, rules
from detectors.fold import Partition
from detectors.program import Program, compile_program
from schemas.registry import Registry
from schemas.rule import Rule

BATCHES = (1, 2, 5, 10, 20)
BATCH = 20
NOT_BY_DEFAULT = ("cusum", "noise-change", "novelty")


def ns_per_reading(program: Program, batch: int, seconds: float, shown: Program, times: int = 1) -> float:
    """Of `batch` frames at a time; `shown` is the program that the values are calm for."""
    partition, readings = Partition(program), Readings(shown, times=times)
    count = -(-len(shown.sensors) // 500)
    for _ in range(0, 2 * count, batch):
        partition.fold(list(readings.frames(batch)))
    spent, folded = 0.0, 0
    while spent < seconds:
        frames = list(readings.frames(batch))
        began = time.process_time()
        partition.fold(frames)
        spent += time.process_time() - began
        folded += sum(len(frame.records) for frame in frames)
    return spent / folded * 1e9


def by_detector(
    registry: Registry, used: Sequence[Rule], seconds: float, shown: Program, times: int
) -> dict[str, float]:
    rest = ns_per_reading(compile_program(registry, [], 0), BATCH, seconds, shown, times)
    found = {"rest": rest}
    for name in dict.fromkeys(rule.detector for rule in used):
        own = [rule for rule in used if rule.detector == name]
        found[name] = ns_per_reading(compile_program(registry, own, 0), BATCH, seconds, shown, times) - rest
    return found


def not_by_default(
    registry: Registry, used: Sequence[Rule], seconds: float, shown: Program, times: int, rest: float
) -> dict[str, float]:
    """Of each reading that they look at."""
    ewma = next(rule for rule in used if rule.detector == "ewma")
    looked_at = sum(sensor.category in ewma.selector.categories for sensor in registry.sensors.values())
    found = {}
    for name in NOT_BY_DEFAULT:
        rule = msgspec.structs.replace(ewma, name=name, detector=name, params={}, levels={4: name}, tests=())
        program = compile_program(registry, [rule], 0)
        ns = ns_per_reading(program, BATCH, seconds, shown, times) - rest
        found[name] = ns * len(registry.sensors) / looked_at
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sensors", type=int, default=234_000)
    parser.add_argument("--times", type=int, default=1, help="readings of a sensor in a frame")
    parser.add_argument("--seconds", type=float, default=3.0, help="of processor time, each figure")
    asked = parser.parse_args()
    registry, used = a_registry(asked.sensors), rules()
    program = compile_program(registry, used, 0)
    print(
        f"{len(program.sensors)} sensors, {len(used)} rules, frames of 500, each sensor {asked.times} times"
    )
    for batch in BATCHES:
        ns = ns_per_reading(program, batch, asked.seconds, program, asked.times)
        print(f"batches of {batch:2} frames: {ns:7.0f} ns a reading, {1e9 / ns:9.0f} readings/s")
    found = by_detector(registry, used, asked.seconds, program, asked.times)
    for name, ns in found.items():
        print(f"{name:12} {ns:7.0f} ns a reading, in batches of {BATCH}")
    asked_for = not_by_default(registry, used, asked.seconds, program, asked.times, found["rest"])
    for name, ns in asked_for.items():
        print(f"{name:12} {ns:7.0f} ns a reading of those it looks at, in batches of {BATCH}")


if __name__ == "__main__":
    main()
