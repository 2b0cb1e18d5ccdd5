"""`cityvigil bench quality --data DIR`: detectors on labelled recordings, beside plain ones."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from cityvigil.quality import report
from cityvigil.verbs.options import add_json_option, write_json


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "quality",
        help="detection on labelled recordings",
        description="Scores the sets found below DIR with the detectors' own limits and each set's own "
        "metric. What the figures mean: docs/quality.md.",
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="a folder a set, see docs/quality.md"
    )
    parser.add_argument(
        "--set", action="append", default=[], choices=tuple(report.SETS), dest="sets", metavar="SET"
    )
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    rows = []
    for row in report.measure(args.data, args.sets):
        if str(args.json) != "-":
            print(report.line(row), flush=True)
        figures = {name: None if math.isnan(value) else value for name, value in row.figures.items()}
        rows.append({"set": row.set, "method": row.method} | figures)
    if args.json is not None:
        write_json(args.json, {"rows": rows})
    return 0
