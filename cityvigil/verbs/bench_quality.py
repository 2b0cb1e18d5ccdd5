"""`cityvigil bench quality`: detectors on labelled recordings and on the simulated city."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cityvigil.errors import CannotRun
from cityvigil.quality import city, city_report, fronts, report
from cityvigil.quality.events import Row
from cityvigil.verbs.options import add_json_option, write_json

CITY, FRONT = "city", "front"


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "quality",
        help="detection on labelled recordings and on the simulated city",
        description="Scores the sets found below DIR with the detectors' own limits and each set's own "
        "metric; the sets `city` and `front` need no data. What the figures mean: docs/quality.md.",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder a set, see docs/quality.md")
    parser.add_argument(
        "--set", action="append", default=[], choices=(*report.SETS, CITY, FRONT), dest="sets", metavar="SET"
    )
    parser.add_argument("--seed", action="append", type=int, default=[], dest="seeds", metavar="N",
                        help="other cities in place of the default ones")  # fmt: skip
    parser.add_argument("--quiet-days", type=int, metavar="N", help="of each city, after what it learns from")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.quiet_days is not None and args.quiet_days < 1:
        raise CannotRun(f"--quiet-days must be at least 1, got {args.quiet_days}")
    rows = []
    for row in _measured(args):
        if str(args.json) != "-":
            print(report.line(row), flush=True)
        figures = {name: None if math.isnan(value) else value for name, value in row.figures.items()}
        rows.append({"set": row.set, "method": row.method} | figures)
    if args.json is not None:
        write_json(args.json, {"rows": rows})
    return 0


def _measured(args: argparse.Namespace) -> Iterator[Row]:
    recordings = [name for name in args.sets if name not in (CITY, FRONT)]
    if recordings and args.data is None:
        raise CannotRun(f"--set {recordings[0]} needs --data DIR")
    if args.data is not None and (recordings or not args.sets):
        yield from report.measure(args.data, recordings)
    if FRONT in args.sets:
        yield from fronts.measure()
    if CITY in args.sets or (args.data is None and not args.sets):
        size = (
            city.WHOLE_RUN if args.quiet_days is None else replace(city.WHOLE_RUN, quiet_days=args.quiet_days)
        )
        shown = sys.stderr.isatty()
        say = (lambda text: print(text, file=sys.stderr, flush=True)) if shown else (lambda _: None)
        yield from city_report.rows([city.run(seed, size, say) for seed in args.seeds or city.SEEDS])
