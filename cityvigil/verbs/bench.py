"""`cityvigil bench SUBJECT`: measurements. Each subject is a module `bench_SUBJECT` beside this one."""

from __future__ import annotations

import argparse
import importlib

SUBJECTS = ("flow", "quality", "faults", "idle", "city")


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("bench", help="measure what the platform does")
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    for name in SUBJECTS:
        importlib.import_module(f"cityvigil.verbs.bench_{name}").add_to(subjects)
