"""`cityvigil gateways add|rotate|revoke|list`: who may connect to the broker as a gateway.

`add` and `rotate` print `{"gateway","secret"}` once; nothing can show that secret again.
"""

from __future__ import annotations

import argparse
import json

from cityvigil import gateways
from cityvigil.verbs.options import add_data_option, add_json_option, write_json


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("gateways", help="credentials of gateways")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    add = actions.add_parser("add", help="make a gateway; prints its secret once")
    add.add_argument("--zone", metavar="Z", help="the zone it stands in")
    rotate = actions.add_parser("rotate", help="give it a new secret; the old one is refused")
    revoke = actions.add_parser("revoke", help="refuse it from now on")
    show = actions.add_parser("list", help="all of them")
    add_json_option(show)

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
