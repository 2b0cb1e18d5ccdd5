"""`cityvigil bench city`: how much faster than real time the simulated city runs; its frames to a file.

One process, one core, no gateways and no broker: what is timed is the city itself, with or without the
SenML frames that its gateways would send. Processor time is used, so a busy machine says the same.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from cityvigil.errors import CannotRun
from cityvigil.verbs.options import add_json_option, add_scenario_option, write_json
from cityvigil.verbs.up import load_scenario
from simulators import channels, recording
from simulators.city import City
from simulators.faults import S_US, plant
from simulators.scenario import Scenario
from simulators.simulation import Simulation
from simulators.truth import Truth

START_US = 1_790_000_000_000_000


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("city", help="the simulated city, as fast as it goes")
    add_scenario_option(parser)
    parser.add_argument("--seed", type=int, metavar="N", help="another city, the same kinds of faults")
    parser.add_argument("--minutes", type=int, default=30, metavar="N", help="of city time (default 30)")
    parser.add_argument("--step", type=int, default=60, metavar="S", help="seconds a step (default 60)")
    parser.add_argument("--sensors", type=int, metavar="N", help="about so many, in place of the scenario's")
    parser.add_argument("--every", type=int, metavar="S", help="all report every S seconds of city time")
    parser.add_argument("--frames", action="store_true", help="with the frames its gateways would send")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write those frames, a JSON line each")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="write what was injected beside them")
    parser.add_argument("--cameras", type=Path, metavar="FILE", help="write the register of its cameras")
    add_json_option(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.minutes <= 0 or 60 % args.step:
        raise CannotRun("--minutes must be above 0 and --step a divisor of 60")
    played = load_scenario(args.scenario).with_seed(args.seed)
    city = _city(played, args.sensors, args.every)
    faults = [plant(spec, city, START_US, played.scale) for spec in played.faults]
    begun = time.process_time()
    simulation = Simulation(city, faults, START_US, args.step)
    made_s = time.process_time() - begun
    result: dict[str, Any] = {
        "scenario": played.name,
        "sensors": len(city.sensors),
        "gateways": len(city.gateways),
        "city_minutes": args.minutes,
        "step_s": args.step,
    }
    until_us = START_US + args.minutes * 60 * S_US
    begun = time.process_time()
    result |= _played(simulation, until_us, args.out, args.frames)
    cpu_s = time.process_time() - begun
    if args.truth:
        args.truth.unlink(missing_ok=True)
        Truth(args.truth, START_US).note(faults, until_us)
    if args.cameras:
        with args.cameras.open("w", encoding="utf-8", newline="") as file:
            result["cameras"] = channels.write(played.seed, played.cameras, file)
    result |= {"start_cpu_s": round(made_s, 2), "cpu_s": round(cpu_s, 2),
               "speed_up": round(args.minutes * 60 / cpu_s, 1)}  # fmt: skip
    if args.json != "-":
        print(
            f"{result['sensors']} sensors, {result['readings']} readings in {args.minutes} min of the city:"
            f" {cpu_s:.2f} s of one core, {result['speed_up']:g} times real time"
        )
    write_json(args.json, result)
    return 0


def _city(played: Scenario, sensors: int | None, every_s: int | None) -> City:
    """The scenario's, or one with about so many sensors."""
    city = played.city(every_s)
    if sensors is None:
        return city
    return replace(played, density=played.density * sensors / len(city.sensors)).city(every_s)


def _played(simulation: Simulation, until_us: int, out: Path | None, frames: bool) -> dict[str, int]:
    if out is not None:
        with out.open("wb") as file:
            return recording.record(simulation, until_us, file)._asdict()
    if frames:
        counts = [count for _, count in recording.lines(
            simulation, recording.points_of(simulation.city), until_us)]  # fmt: skip
        return {"frames": len(counts), "readings": sum(counts)}
    readings = reports = 0
    while simulation.now_us < until_us:
        for report in simulation.step():
            reports, readings = reports + 1, readings + len(report.values)
    return {"frames": reports, "readings": readings}
