"""`cityvigil audit verify`: has anybody changed, removed or reordered what was done to cases?

Exits with 1 if so and says where. Prints the head of the chain: noted elsewhere, and given as `--head`
another time, it proves that nothing up to there has changed, whoever could write to database and log.
"""

from __future__ import annotations

import argparse
import asyncio
import logging

import psycopg
from aiokafka.errors import KafkaError

from cityvigil import where
from cityvigil.audit import verify
from cityvigil.errors import CannotRun
from cityvigil.migrate import place
from cityvigil.verbs.options import add_data_option, add_json_option, write_json
from dispatch.audit_check import Head


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("audit", help="the history of cases: is it as it was written?")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("verify", help="check every hash, and every copy in the log")
    check.add_argument(
        "--head", type=_head, metavar="PLACE:HASH", help="a head that was printed before; it must still stand"
    )
    add_json_option(check)
    add_data_option(check)
    check.set_defaults(run=_verify)


def _head(text: str) -> Head:
    position, colon, chain = text.partition(":")
    if not (colon and position.isdigit() and len(chain) == 64):
        raise argparse.ArgumentTypeError("expected PLACE:HASH as audit verify prints it")
    return Head(int(position), chain)


def _verify(args: argparse.Namespace) -> int:
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # what went wrong is said in one line
    found = where.services(args.data)
    try:
        verdict = asyncio.run(verify(found.kafka, found.postgres, args.head))
    except KafkaError as error:
        raise CannotRun(f"Kafka at {found.kafka}: {' '.join(str(error).split())}") from error
    except psycopg.Error as error:
        raise CannotRun(f"PostgreSQL at {place(found.postgres)}: {' '.join(str(error).split())}") from error
    head = f"{verdict.head.position}:{verdict.head.chain}"
    result = {
        "cases": verdict.cases,
        "transitions": verdict.transitions,
        "head": head,
        "waiting": verdict.waiting,
        "copies": verdict.copies,
        "problems": verdict.problems,
    }
    write_json(args.json, result)
    if args.json != "-":
        print("\n".join(verdict.problems or ["every transition is as it was written"]))
        print(
            f"{verdict.transitions} transitions of {verdict.cases} cases, {verdict.copies} copies in the log"
        )
        print(f"head {head}")
        if verdict.waiting:
            print(f"{verdict.waiting} of the newest have no place in the chain yet: dispatch gives it")
    return 1 if verdict.problems else 0
