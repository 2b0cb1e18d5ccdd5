"""`cityvigil bench faults`: kills everything that runs, and compares with a city that nobody disturbs.

It always begins a city of its own, in a folder of its own: it kills whatever it finds there. It exits with 1
when anything was lost, doubled or different, or somebody did not come back; late alerts are only reported.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from typing import Any

from cityvigil import logs, process, whole_city
from cityvigil.faults import city as small
from cityvigil.faults import load, measure, plan, report
from cityvigil.faults.measure import Progress
from cityvigil.faults.plan import Step
from cityvigil.flow import machine
from cityvigil.verbs.demo import new_folder
from cityvigil.verbs.options import add_data_option, add_json_option, write_json

LONGER_S = 60.0
"""A step that is begun in time may take so long; faults are planned for that too."""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "faults",
        help="kill -9 of everything, and whether anything was lost, doubled or different",
        description="Starts a small city of its own, kills its processes in turn and then in random order "
        "from a seed, and compares rows, alerts and cases with an undisturbed second reader and with what "
        "the gateways sent. docs/reliability.md says how.",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the order (default 1)")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="of random order (default 2)")
    parser.add_argument(
        "--seconds", type=float, default=240.0, metavar="S", help="begin no kill later (default 240)"
    )
    parser.add_argument(
        "--only", default=",".join(plan.TARGETS), metavar="A,B", help=f"of {', '.join(plan.TARGETS)}"
    )
    add_json_option(parser)
    add_data_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    logs.configure("bench", "error")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that Kafka is away is meant
    steps = plan.plan(args.seed, args.rounds, plan.targets(args.only))
    progress = _on_terminal if sys.stderr.isatty() else _quiet
    try:
        found = asyncio.run(_measured(args, steps, progress))
    finally:
        if progress is _on_terminal:
            print(file=sys.stderr)
    write_json(args.json, found)
    if args.json != "-":
        print("\n".join(report.lines(found)))
    return 0 if found["exact"] else 1


async def _measured(args: argparse.Namespace, steps: list[Step], progress: Progress) -> dict[str, Any]:
    about = machine.about()
    progress("starting a city")
    played = small.for_run(args.seed, args.seconds + LONGER_S)
    city_plan = whole_city.Plan(
        new_folder(args.data / "faults"), process.pick_ports(1)[0], played,
        judgement_live=True, detect_workers=len(plan.WORKERS), simulators=False,
    )  # fmt: skip
    async with whole_city.running(city_plan) as city:
        playing = await load.prepared(city, played)
        playing.start()
        try:
            run, counts = await measure.measured(city, playing, steps, args.seconds, progress)
        finally:
            await playing.abandon()
    return report.result(args.seed, steps, run, counts) | {"machine": about}


def _quiet(_: str) -> None:
    pass


def _on_terminal(text: str) -> None:
    print(f"\r{text:<78}", end="", file=sys.stderr, flush=True)
