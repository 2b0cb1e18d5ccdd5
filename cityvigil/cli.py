"""The command line: finds the verb, runs it, turns what went wrong into an exit code.

0 fine, 1 it ran and found something wrong, 2 it could not run. Whatever cannot run says so in one
line on standard error that names what and where; a traceback is a bug of ours.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from cityvigil.errors import CannotRun

VERBS = {
    "stack": ("stack",),
    "up": ("up", "status"),
    "demo": ("demo",),
    "gateways": ("gateways",),
    "sensors": ("sensors",),
    "cameras": ("cameras", "assets"),
    "users": ("users",),
    "rules": ("rules",),
    "migrate": ("migrate",),
    "broker": ("broker",),
    "enter": ("enter",),
    "services": ("ingest", "detect", "record", "dispatch", "bypass", "console", "simulate"),
    "replay": ("replay",),
    "score": ("score",),
    "bench": ("bench",),
    "decode": ("decode",),
    "doctor": ("doctor",),
    "ledger": ("ledger",),
    "audit": ("audit",),
}
"""The modules of cityvigil/verbs, in the order in which they are shown, and the verbs of each."""


class Parser(argparse.ArgumentParser):
    """argparse whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser(only: str | None = None) -> Parser:
    """Of every verb; or, when `only` is one, of its module alone: a worker that starts again after a kill is
    back a second sooner."""
    parser = Parser(prog="cityvigil", description="Sense, warn, handle: a city's nerves.")
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)
    for name in [name for name, verbs in VERBS.items() if only in verbs] or VERBS:
        importlib.import_module(f"cityvigil.verbs.{name}").add_to(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    args = build_parser(words[0] if words else None).parse_args(words)
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
    except OSError as error:
        if not _is_named(error.filename, words):
            raise
        print(f"cityvigil {args.verb}: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2


def _is_named(file: object, words: Sequence[str]) -> bool:
    """Whether a file is one that the command line names, or below one: then it is no bug that it fails."""
    if not isinstance(file, str | bytes | os.PathLike):
        return False
    path = Path(os.fsdecode(file))
    return any(path.is_relative_to(word.partition("=")[2] or word) for word in words if word)
