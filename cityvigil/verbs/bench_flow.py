"""`cityvigil bench flow`: how much the running platform carries, how fast, and whether it was exact.

It exits with 1 when anything sent was neither stored once nor refused, or an alert was missed, doubled or
unexpected. Beside no running city it starts one, and ends it afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import replace
from typing import Any

import psycopg
from aiokafka.errors import KafkaError

from cityvigil import logs, process, stack, whole_city
from cityvigil.errors import CannotRun
from cityvigil.flow.ceiling import climb
from cityvigil.flow.load import Load
from cityvigil.flow.measure import Progress, is_exact, measure
from cityvigil.stack import Stack
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
    parser.add_argument(
        "--ceiling", action="store_true",
        help="begin with R and go up by a quarter until a promise is missed; says what sets the limit",
    )  # fmt: skip
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
    steps = result["steps"] if args.ceiling else [{"result": result}]
    if args.json != "-":
        for step in steps:
            print("\n".join(lines(step["result"])))
        if args.ceiling:
            print("\n".join(_found(result)))
    return 0 if all(is_exact(step["result"]) for step in steps) else 1


def _found(result: dict[str, Any]) -> list[str]:
    rows = [f"{step['rate']}/s: {'; '.join(step['missed']) or 'carried'}" for step in result["steps"]]
    return [*rows, f"ceiling {result['ceiling']} readings a second: {result['set_by']}"]


async def _measured(args: argparse.Namespace, load: Load, progress: Progress) -> dict[str, Any]:
    try:
        found = stack.load(args.data)
    except CannotRun:
        progress("starting a city")
        logs.configure("bench", "error")
        plan = whole_city.Plan(args.data, process.pick_ports(1)[0], None, postgres=args.dsn)
        async with whole_city.running(plan) as city:
            return await _on(city.stack, args, load, progress)
    return await _on(found, args, load, progress)


async def _on(found: Stack, args: argparse.Namespace, load: Load, progress: Progress) -> dict[str, Any]:
    dsn = args.dsn or found.postgres
    if not args.ceiling:
        return await measure(load, found, dsn, progress)
    return await climb(
        load.rate, load.seconds, lambda rate: measure(replace(load, rate=rate), found, dsn, progress)
    )


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
