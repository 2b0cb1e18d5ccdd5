"""`cityvigil doctor`: what is wrong here, and what to do about it."""

from __future__ import annotations

import argparse
import asyncio

from cityvigil.doctor import Finding, examine
from cityvigil.verbs.options import add_data_option, add_json_option, write_json

MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("doctor", help="check every dependency and say what to do")
    add_data_option(parser)
    add_json_option(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    findings = asyncio.run(examine(args.data))
    if args.json != "-":
        print("\n".join(_line(finding) for finding in findings))
    write_json(args.json, [finding.as_json() for finding in findings])
    return int(any(finding.verdict == "fail" for finding in findings))


def _line(finding: Finding) -> str:
    advice = f"\n       -> {finding.advice}" if finding.advice else ""
    return f"{MARKS[finding.verdict]}  {finding.check}: {finding.says}{advice}"
