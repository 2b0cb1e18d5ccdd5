"""`cityvigil stack up|down|status|logs`: brokers and database as local processes under a data folder.

The work is done in `cityvigil/stack.py`; here are only the words and the exit codes. `status` exits with 1 if
a service does not answer.
"""

from __future__ import annotations

import argparse
import sys
import time

from cityvigil import stack
from cityvigil.verbs.options import add_data_option, add_json_option, write_json


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("stack", help="brokers and database as local processes")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    up = actions.add_parser("up", help="start what does not run, and wait until it answers")
    for name in ("mqtt", "kafka", "postgres"):
        up.add_argument(
            f"--{name}-port", type=int, metavar="N", help="default: the last one, else any free one"
        )
    add_json_option(up)
    up.set_defaults(run=_up)

    down = actions.add_parser("down", help="stop them")
    down.set_defaults(run=_down)

    status = actions.add_parser("status", help="where they are and how they do")
    add_json_option(status)
    status.set_defaults(run=_status)

    logs = actions.add_parser("logs", help="the end of their logs")
    logs.add_argument("name", nargs="?", choices=stack.NAMES, metavar="NAME", help=", ".join(stack.NAMES))
    logs.add_argument("-n", "--lines", type=int, default=20, metavar="N", help="lines of each (default 20)")
    logs.set_defaults(run=_logs)

    for action in (up, down, status, logs):
        add_data_option(action)


def _up(args: argparse.Namespace) -> int:
    began = time.monotonic()
    stack.up(
        args.data, mqtt_port=args.mqtt_port, kafka_port=args.kafka_port, postgres_port=args.postgres_port
    )
    if sys.stderr.isatty():
        print(f"up after {time.monotonic() - began:.1f} s", file=sys.stderr)
    return _status(args)


def _down(args: argparse.Namespace) -> int:
    stack.down(args.data)
    return 0


def _status(args: argparse.Namespace) -> int:
    result = stack.status(args.data)
    services = result["services"]
    assert isinstance(services, list)
    write_json(args.json, result)
    if args.json != "-":
        for service in services:
            where = result.get("mqtt" if service["name"] == "mosquitto" else service["name"], "")
            print(f"{service['name']:<14} {service['health']:<7} {service['pid'] or '-':<8} {where}".rstrip())
    return 0 if all(service["health"] == "ok" for service in services) else 1


def _logs(args: argparse.Namespace) -> int:
    for name in [args.name] if args.name else stack.NAMES:
        for line in stack.logs(args.data, name, args.lines):
            print(line if args.name else f"{name}: {line}")
    return 0
