"""The command line: finds the verb, runs it, turns what went wrong into an exit code.

0 fine, 1 it ran and found something wrong, 2 it could not run. Whatever cannot run says so in one
line on standard error that names what and where; a traceback is a bug of ours.
"""

from __future__ import annotations

import argparse
import importlib
import io
import sys
from collections.abc import Sequence
from typing import NoReturn

from cityvigil.errors import CannotRun

VERBS = (
    "stack",
    "up",
    "demo",
    "gateways",
    "sensors",
    "cameras",
    "users",
    "rules",
    "migrate",
    "broker",
    "enter",
    "services",
    "replay",
    "score",
    "bench",
    "decode",
    "doctor",
    "ledger",
    "audit",
)


class Parser(argparse.ArgumentParser):
    """argparse whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> Parser:
    parser = Parser(prog="cityvigil", description="Sense, warn, handle: a city's nerves.")
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)
    for name in VERBS:
        importlib.import_module(f"cityvigil.verbs.{name}").add_to(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Whoever reads a long command through a pipe sees each line when it is said.
        sys.stdout.reconfigure(line_buffering=True)
    try:
        return int(args.run(args))
    except CannotRun as error:
        print(f"cityvigil {args.verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1
