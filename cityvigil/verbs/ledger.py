"""`cityvigil ledger`: what each gateway said, and where all of it is.

Frames: said = answered + given up + awaited. Readings: stored, rejected. It exits with 1 if a gateway's
frames do not add up. It reads what the historian counted (the view `ledger`); it recounts nothing.
"""

from __future__ import annotations

import argparse
from typing import Any

import psycopg

from cityvigil import where
from cityvigil.errors import CannotRun
from cityvigil.verbs.options import add_data_option, add_json_option, write_json

COLUMNS = ("said", "answered", "given_up", "awaited", "loose", "stored", "rejected")


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "ledger",
        help="what each gateway said, and where all of it is",
        description="In frames: said by its sequences = answered + given up + awaited; loose ones had no "
        "sequence. In readings: stored, rejected.",
    )
    parser.add_argument("--gateway", metavar="ID", help="of this one only")
    add_json_option(parser)
    add_data_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    dsn = where.services(args.data).postgres
    try:
        rows = _rows(dsn, args.gateway)
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable) as error:
        raise CannotRun(f"PostgreSQL at {dsn}: {' '.join(str(error).split())}") from error
    if args.gateway and not rows:
        raise CannotRun(f"nothing was ever heard of gateway {args.gateway}")
    write_json(args.json, rows)
    if args.json != "-":
        print(f"{'gateway':<24}" + "".join(f"{column:>12}" for column in COLUMNS))
        for row in rows:
            print(f"{row['gateway']:<24}" + "".join(f"{row[column]:>12}" for column in COLUMNS))
    wrong = [row["gateway"] for row in rows if not row["adds_up"]]
    if wrong and args.json != "-":
        print(f"does not add up: {', '.join(wrong)}")
    return 1 if wrong else 0


def _rows(dsn: str, gateway: str | None) -> list[dict[str, Any]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = connection.execute(
            "select gateway, said, answered, given_up, awaited, loose, stored, rejected, adds_up from ledger"
            " where %(gateway)s::text is null or gateway = %(gateway)s order by gateway",
            {"gateway": gateway},
        ).fetchall()
    return [
        {"gateway": row[0], **dict(zip(COLUMNS, map(int, row[1:8]), strict=True)), "adds_up": row[8]}
        for row in found
    ]
