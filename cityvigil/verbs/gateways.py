"""`cityvigil gateways add|rotate|revoke|list|command`: who may connect to the broker as a gateway.

`add` and `rotate` print `{"gateway","secret"}` once; nothing can show that secret again. `command` tells a
connected gateway something and prints its answer.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from cityvigil import city_clock, gateway_command, gateways, where
from cityvigil.errors import CannotRun
from cityvigil.verbs.options import add_data_option, add_json_option, write_json
from schemas.clock import to_datetime


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("gateways", help="credentials of gateways")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    add = actions.add_parser("add", help="make a gateway; prints its secret once")
    add.add_argument("--zone", metavar="Z", help="the zone it stands in")
    rotate = actions.add_parser("rotate", help="give it a new secret; the old one is refused")
    revoke = actions.add_parser("revoke", help="refuse it from now on")
    show = actions.add_parser("list", help="all of them")
    add_json_option(show)

    command = actions.add_parser(
        "command", help="publish a command to it and print its answer; `time` tells it our clock"
    )
    command.add_argument("id", metavar="ID", help="the gateway")
    command.add_argument("op", metavar="OP", help="time, or what else the gateway knows")
    command.add_argument("--args", type=json.loads, default={}, metavar="JSON", help="an object")
    command.add_argument("--within", type=float, default=30.0, metavar="S", help="seconds to wait")
    add_data_option(command)
    command.set_defaults(run=_command)

    for action, run in ((add, _add), (rotate, _rotate), (revoke, _revoke), (show, _list)):
        if action is not show:
            action.add_argument("id", metavar="ID", help="lower case letters, digits and -")
        add_data_option(action)
        action.set_defaults(run=run)


def _add(args: argparse.Namespace) -> int:
    print(json.dumps({"gateway": args.id, "secret": gateways.add(args.data, args.id, args.zone)}))
    return 0


def _rotate(args: argparse.Namespace) -> int:
    print(json.dumps({"gateway": args.id, "secret": gateways.rotate(args.data, args.id)}))
    return 0


def _revoke(args: argparse.Namespace) -> int:
    gateways.revoke(args.data, args.id)
    return 0


def _list(args: argparse.Namespace) -> int:
    known = gateways.list_all(args.data)
    write_json(args.json, [{"gateway": one.gateway, "zone": one.zone} for one in known])
    if args.json != "-":
        for one in known:
            print(f"{one.gateway:<32} {one.zone or ''}".rstrip())
    return 0


def _command(args: argparse.Namespace) -> int:
    if not isinstance(args.args, dict):
        raise CannotRun("--args: expected a JSON object")
    stack = where.services(args.data)
    said: dict[str, Any] = args.args
    if args.op == "time" and not said:
        now_us = city_clock.read(stack.data).city_us(time.time_ns() // 1_000)
        said = {"time": to_datetime(now_us).isoformat(timespec="microseconds"), "time_us": now_us}
    found = gateway_command.send(stack, args.id, args.op, said, args.within)
    if found is None:
        print(f"gateway {args.id} gave no answer within {args.within:g} s: is it connected?", file=sys.stderr)
        return 1
    print(json.dumps(found, ensure_ascii=False))
    return 0
