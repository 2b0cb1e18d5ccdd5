"""`cityvigil replay FILE.csv --gateway ID`: a recorded file through the whole real path.

It exits with 1 when readings were rejected: the platform ran, and found something wrong with the file.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from pathlib import Path

import psycopg
from aiokafka.errors import KafkaError

from cityvigil import stack
from cityvigil.errors import CannotRun
from cityvigil.replay import Order, replay
from cityvigil.replay_csv import read
from cityvigil.verbs.options import add_data_option, add_json_option, write_json
from schemas.catalogue import catalogue

IDENTIFIER = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "replay",
        help="send a CSV file through MQTT as a gateway would",
        description="Sends a CSV file as a gateway would, and ends when detect and record have passed it. "
        "Times are kept (without an offset: +08:00). Columns of numbers that are not mapped become points "
        "that wait to be classified. The result counts readings.",
    )
    parser.add_argument("file", type=Path, metavar="FILE.csv", help="separated by , or ;")
    parser.add_argument("--gateway", required=True, type=_identifier, metavar="ID", help="made if missing")
    parser.add_argument(
        "--secret-file", type=Path, metavar="F", help="its secret; written there when it is made"
    )
    parser.add_argument("--zone", type=_identifier, metavar="Z", help="where a missing gateway stands")
    parser.add_argument("--time", metavar="COL", help="the time column (default: found by its name)")
    parser.add_argument(
        "--map", action="append", default=[], type=_mapping, metavar="COL=CATEGORY",
        help="register this column as a sensor of a category of the catalogue; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--speed", type=_speed, metavar="X",
        help="times faster than the file's own time (default: as fast as answers allow)",
    )  # fmt: skip
    add_json_option(parser)
    add_data_option(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    categories = dict(args.map)
    table = read(args.file, args.time, tuple(categories))
    if not table.points:
        raise CannotRun(f"{args.file}: row 1: expected a column of numbers beside {table.time_column}")
    where = stack.load(args.data)
    order = Order(table, args.gateway, args.zone, categories, args.secret_file, args.speed)
    progress = _on_terminal if sys.stderr.isatty() else _quiet
    try:
        result = asyncio.run(replay(order, where, progress))
    except KafkaError as error:
        raise CannotRun(f"Kafka at {where.kafka}: {' '.join(str(error).split())}") from error
    except psycopg.OperationalError as error:
        raise CannotRun(f"PostgreSQL at {where.postgres}: {' '.join(str(error).split())}") from error
    finally:
        if progress is _on_terminal:
            print(file=sys.stderr)
    write_json(args.json, result)
    if args.json != "-":
        print(", ".join(f"{name} {count}" for name, count in result.items()))
    return 1 if result["rejected"] else 0


def _quiet(_: str) -> None:
    pass


def _on_terminal(text: str) -> None:
    print(f"\r{text:<78}", end="", file=sys.stderr, flush=True)


def _identifier(text: str) -> str:
    if not IDENTIFIER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected lower case letters, digits and -, got {text!r}")
    return text


def _mapping(text: str) -> tuple[str, str]:
    column, equals, category = text.rpartition("=")
    if not (column and equals):
        raise argparse.ArgumentTypeError(f"expected COL=CATEGORY, got {text!r}")
    if category not in catalogue():
        raise argparse.ArgumentTypeError(f"expected a category of the catalogue, got {category!r}")
    return column.strip(), category


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return speed
