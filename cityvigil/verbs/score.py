"""`cityvigil score FILE.csv --out OUT.csv`: one causal pass of the detectors over a recorded file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cityvigil.score import score_file
from detectors.profiles import NAMES


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "score",
        help="score a recorded file with the product's detectors",
        description="One causal pass: row i's result depends on rows up to i only. Writes time, score (1 is "
        "the detector's own limit, 0 where nothing can be said), alert and the column that explains it, "
        "a row for each row. Several columns are one group.",
    )
    parser.add_argument("file", type=Path, metavar="FILE.csv", help="separated by , or ;")
    parser.add_argument("--time", metavar="COL", help="the time column (default: found by its name)")
    parser.add_argument(
        "--value", action="append", default=[], metavar="COL",
        help="a column to score; may be repeated (default: all columns of numbers but labels)",
    )  # fmt: skip
    parser.add_argument("--fit", type=Path, metavar="CLEAN.csv", help="a clean history to learn from")
    parser.add_argument("--category", metavar="KEY", help="the catalogue's category: range and resolution")
    parser.add_argument(
        "--profile", choices=NAMES, metavar="NAME",
        help=f"{', '.join(NAMES)} (default: city for one column; a group's by how often rows come)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.csv")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    used = score_file(
        args.file,
        args.out,
        time_column=args.time,
        columns=args.value,
        fit=args.fit,
        category=args.category,
        profile=args.profile,
    )
    if sys.stderr.isatty():
        print(f"profile {used}", file=sys.stderr)
    return 0
