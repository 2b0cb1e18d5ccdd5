"""`cityvigil up` and `cityvigil status`: the whole city on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal

from cityvigil import logs, whole_city
from cityvigil.errors import CannotRun
from cityvigil.verbs.options import (
    add_data_option,
    add_json_option,
    add_port_option,
    add_scenario_option,
    write_json,
)
from simulators import scenario


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    up = subparsers.add_parser("up", help="the whole city on this machine, until Ctrl-C")
    add_scenario_option(up)
    up.add_argument("--no-simulators", action="store_true", help="wait for real gateways, in wall time")
    add_port_option(up)
    up.add_argument(
        "--detect-workers", type=int, default=1, metavar="N",
        help="processes that share the partitions of the log (default 1)",
    )  # fmt: skip
    add_data_option(up)
    up.set_defaults(run=_up)

    status = subparsers.add_parser("status", help="what runs here, and how it does")
    add_data_option(status)
    add_json_option(status)
    status.set_defaults(run=_status)


def load_scenario(name: str) -> scenario.Scenario:
    try:
        return scenario.load(name)
    except scenario.ScenarioError as error:
        raise CannotRun(str(error)) from None


async def until_interrupted() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def _up(args: argparse.Namespace) -> int:
    logs.configure("up", "warning")
    found = None if args.no_simulators else load_scenario(args.scenario)
    plan = whole_city.Plan(args.data, args.port, found, args.scenario, detect_workers=args.detect_workers)
    asyncio.run(_run(plan))
    return 0


async def _run(plan: whole_city.Plan) -> None:
    async with whole_city.running(plan) as city:
        print(f"console   {city.console}")
        print(f"log in    as someone made by `cityvigil users add NAME --role duty --data {plan.data}`")
        print(
            f"services  `cityvigil status --data {plan.data}`; logs in {plan.data / 'logs'}; Ctrl-C ends all"
        )
        await until_interrupted()


def _status(args: argparse.Namespace) -> int:
    result = whole_city.status(args.data)
    write_json(args.json, result)
    services = result["services"]
    assert isinstance(services, list)
    if args.json != "-":
        for row in services:
            print(f"{row['name']:<14} {row['health']:<28} {row['pid'] or '-'}")
        print(f"{'console':<14} {result['console'] or '-'}")
    return 0 if all(row["health"] == "ok" for row in services) else 1
