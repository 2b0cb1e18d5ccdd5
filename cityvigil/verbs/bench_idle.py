"""`cityvigil bench idle`: a day of a quiet city in minutes: what it costs, and whether anything grows.

It always begins a city of its own, in a folder of its own. It exits with 1 when a service of ours grew, or
did not live from the start to the end.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from cityvigil import logs, process, quiet, whole_city
from cityvigil.quiet import Progress
from cityvigil.verbs.demo import new_folder
from cityvigil.verbs.options import add_data_option, add_json_option, write_json
from cityvigil.verbs.up import load_scenario


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "idle",
        help="what a quiet city costs, and whether anything grows",
        description="Starts a simulated city without faults, lets its time pass, and watches processor time "
        "and memory of every process. docs/performance.md says how to read it.",
    )
    parser.add_argument(
        "--scale", type=_above_0, default=600.0, metavar="X", help="city seconds a second (default 600)"
    )
    parser.add_argument("--hours", type=_above_0, default=24.0, metavar="H", help="of the city (default 24)")
    parser.add_argument("--zones", type=int, default=16, metavar="N", help="default 16")
    parser.add_argument("--density", type=_above_0, default=1.0, metavar="D", help="of sensors (default 1)")
    add_json_option(parser)
    add_data_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    logs.configure("bench", "error")
    data = new_folder(args.data / "idle")
    path = quiet.write_scenario(data, scale=args.scale, zones=args.zones, density=args.density)
    plan = whole_city.Plan(
        data, process.pick_ports(1)[0], load_scenario(str(path)), str(path), judgement_live=True
    )
    progress = _on_terminal if sys.stderr.isatty() else _quiet
    try:
        result = asyncio.run(_watched(plan, args.hours * 3600 / args.scale, progress))
    finally:
        if progress is _on_terminal:
            print(file=sys.stderr)
    write_json(args.json, result)
    if args.json != "-":
        print("\n".join(lines(result)))
    return 1 if result["growing"] or result["ended"] else 0


async def _watched(plan: whole_city.Plan, seconds: float, progress: Progress) -> dict[str, Any]:
    progress("starting a city")
    async with whole_city.running(plan) as city:
        return await quiet.watch(city, seconds, progress)


def lines(result: dict[str, Any]) -> list[str]:
    """The result for people."""
    rows = [
        f"{result['city_hours']:g} h of the city in {result['seconds']:g} s (scale {result['scale']:g}), "
        f"{result['readings']} readings",
        f"{result['cores']:.2f} cores, {result['memory_mb']} MB at most",
        f"{'process':<16}{'first MB':>10}{'middle':>10}{'last':>10}{'MB a day':>12}{'cores':>8}",
    ]
    for name, one in result["processes"].items():
        rows.append(
            f"{name:<16}{one['first_mb']:>10}{one['middle_mb']:>10}{one['last_mb']:>10}"
            f"{one['mb_per_city_day']:>12}{one['cores']:>8}"
        )
    rows += [f"grows: {name}" for name in result["growing"]]
    rows += [f"did not live from the start to the end: {name}" for name in result["ended"]]
    return rows


def _quiet(_: str) -> None:
    pass


def _on_terminal(text: str) -> None:
    print(f"\r{text:<78}", end="", file=sys.stderr, flush=True)


def _above_0(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number
