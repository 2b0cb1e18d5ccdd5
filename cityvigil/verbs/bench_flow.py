"""`cityvigil bench flow`: how much the running platform carries, how fast, and whether it was exact.

It exits with 1 when anything sent was neither stored once nor refused, or an alert was missed, doubled or
unexpected. Beside no running city it starts one, and ends it afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

import psycopg
from aiokafka.errors import KafkaError

from cityvigil import logs, process, stack, whole_city
from cityvigil.errors import CannotRun
from cityvigil.flow.load import Load
from cityvigil.flow.measure import Progress, is_exact, measure
from cityvigil.verbs.options import add_data_option, add_json_option, write_json


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "flow",
        help="throughput and delays through everything that runs",
        description="Plays SenML frames of many gateways through MQTT, ingest, Kafka, detect and record, "
        "with planted threshold crossings, and counts what arrived. docs/performance.md says how.",
    )
    parser.add_argument("--rate", type=_positive, required=True, metavar="R", help="readings a second")
    parser.add_argument("--frame", type=_positive, required=True, metavar="N", help="readings a frame")
    parser.add_argument("--seconds", type=_positive, required=True, metavar="S")
    parser.add_argument("--gateways", type=_positive, default=1000, metavar="G", help="default 1000")
    parser.add_argument(
        "--crossings", type=_positive, default=300, metavar="C", help="planted faults (default 300)"
    )
    parser.add_argument("--dsn", help="the database that the services write to (default: the stack's)")
    add_json_option(parser)
    add_data_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    load = Load(args.rate, args.frame, args.seconds, args.gateways, args.crossings)
    progress = _on_terminal if sys.stderr.isatty() else _quiet
    try:
        result = asyncio.run(_measured(args, load, progress))
    except KafkaError as error:
        raise CannotRun(f"Kafka: {' '.join(str(error).split())}") from error
    except psycopg.OperationalError as error:
        raise CannotRun(f"PostgreSQL: {' '.join(str(error).split())}") from error
    finally:
        if progress is _on_terminal:
            print(file=sys.stderr)
    write_json(args.json, result)
    if args.json != "-":
        print("\n".join(lines(result)))
    return 0 if is_exact(result) else 1


async def _measured(args: argparse.Namespace, load: Load, progress: Progress) -> dict[str, Any]:
    try:
        found = stack.load(args.data)
    except CannotRun:
        progress("starting a city")
        logs.configure("bench", "error")
        plan = whole_city.Plan(args.data, process.pick_ports(1)[0], None, postgres=args.dsn)
        async with whole_city.running(plan) as city:
            return await measure(load, city.stack, args.dsn or city.stack.postgres, progress)
    return await measure(load, found, args.dsn or found.postgres, progress)


def lines(result: dict[str, Any]) -> list[str]:
    """The result for people."""
    rows = [
        ", ".join(f"{name} {result[name]}" for name in ("sent", "stored", "stored_distinct", "rejected")),
        ", ".join(f"{name} {result[name]}" for name in ("alerts_expected", "alerts", "alerts_duplicate")),
    ]
    for name in ("sense_to_alert_ms", "sense_to_committed_ms", "sense_to_answer_ms"):
        rows.append(f"{name:<22} " + "  ".join(f"{key} {value}" for key, value in result[name].items()))
    for name in ("cpu_s", "cores", "rss_mb"):
        rows.append(f"{name:<22} " + "  ".join(f"{key} {value}" for key, value in result[name].items()))
    for name, one in result["stages"].items():
        size = "" if one["bytes"] is None else f"{one['bytes']:8.1f} bytes"
        rows.append(f"  {name:<12} {one['cpu_us']:7.3f} us a reading {size}")
    return rows


def _quiet(_: str) -> None:
    pass


def _on_terminal(text: str) -> None:
    print(f"\r{text:<78}", end="", file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 up, got {text!r}")
    return int(text)
