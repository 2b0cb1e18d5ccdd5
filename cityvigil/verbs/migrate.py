"""`cityvigil migrate`: tables, topics and default rules, made where they are missing.

The work is done in `cityvigil/migrate.py`; here are only the words.
"""

from __future__ import annotations

import argparse
import asyncio
import logging

from cityvigil.migrate import Report, migrate
from cityvigil.wiring import settings_from_environ
from schemas.settings import Settings


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "migrate",
        help="make tables, topics and default rules where they are missing",
        description="Makes what the services expect to find, and leaves what is there alone.",
        epilog=f"Environment:\n{Settings.describe()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="first rules: those whose thresholds are judgement start live, not in shadow",
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    for name in ("aiokafka", "cityvigil"):  # everything is said below, in a line each
        logging.getLogger(name).addHandler(logging.NullHandler())
    print("\n".join(lines(asyncio.run(migrate(settings_from_environ(), judgement_live=args.demo)))))
    return 0


def lines(report: Report) -> list[str]:
    """What a person is told of one run."""
    said = [f"applied {name}" for name in report.migrations]
    said += [f"made topic {name}" for name in report.topics]
    if report.rules:
        said.append(f"published {report.rules} default rules as version 1")
    if not said:
        said.append("nothing to do")
    said.append(f"the database is {report.engine.name}")
    if report.engine.missing:
        without = "with this build" if report.engine.version else "without timescaledb"
        said.append(f"{without} this database has no {', '.join(report.engine.missing)}")
    if report.engine.why:
        said.append(report.engine.why)
    return said
