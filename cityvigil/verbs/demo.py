"""`cityvigil demo`: a simulated city whose faults become alerts and cases; time runs 60 times faster for it.

Every demo begins with a new city in a folder of its own. With --seconds it ends by itself and judges what
it has shown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cityvigil import demo, logs, one_city, stack, whole_city
from cityvigil.demo_report import table
from cityvigil.errors import CannotRun
from cityvigil.process import write_atomically
from cityvigil.supervisor import end_left_behind
from cityvigil.verbs.options import (
    add_data_option,
    add_port_option,
    add_scenario_option,
    write_json,
)
from cityvigil.verbs.up import load_scenario, until_interrupted
from simulators.faults import FaultSpec

MARK = "this-is-a-demo"


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("demo", help="a simulated city from fault to closed case")
    parser.add_argument(
        "--seconds", type=float, metavar="N", help="end after N seconds and judge what was shown"
    )
    parser.add_argument("--report", metavar="FILE", help="write the judgement as JSON, - = standard output")
    add_scenario_option(parser)
    parser.add_argument("--seed", type=int, metavar="N", help="another city, the same kinds of faults")
    add_port_option(parser)
    add_data_option(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.seconds is not None and args.seconds <= 0:
        raise CannotRun(f"--seconds: expected more than 0, got {args.seconds:g}")
    if args.report and args.seconds is None:
        raise CannotRun("--report needs --seconds: a demo without an end has no judgement")
    logs.configure("demo", "error")
    found = load_scenario(args.scenario).with_seed(args.seed)
    data = new_folder(args.data / "demo")
    plan = whole_city.Plan(data, args.port, found, args.scenario, judgement_live=True)
    return asyncio.run(_demo(plan, args.seconds, args.report, found.faults))


async def _demo(
    plan: whole_city.Plan, seconds: float | None, target: str | None, faults: Sequence[FaultSpec]
) -> int:
    say = _whisper if target == "-" else print
    say("starting Mosquitto, Kafka, PostgreSQL and the services ...")
    async with whole_city.running(plan) as city:
        people = await demo.add_people(city, faults)
        write_atomically(plan.data / "logins.json", json.dumps(people, indent=1))
        say(f"\nconsole   {city.console}")
        say("log in    " + "\n          ".join(_login(person) for person in people))
        say("note      plain PostgreSQL, no TimescaleDB: no compression, retention or continuous aggregates")
        if seconds is None:
            say("\nFaults begin within half a minute. Ctrl-C ends the city.")
            await until_interrupted()
            return 0
        say(f"\n{len(faults)} faults within {seconds:g} s ...")
        result, judged = await demo.report(city, seconds, len(faults))
    say(table(result["faults"]))
    delays = result["sense_to_alert_ms"]
    say(
        f"\nsense to alert: p50 {delays['p50']} ms, p99 {delays['p99']} ms; {result['readings']} readings,"
        f" {result['rejected']} rejected; {result['false_cases']} false cases; {result['rss_mb']} MB"
    )
    for line in judged.wrong:
        say(f"wrong: {line}")
    write_json(target, result)
    return 0 if judged.passed else 1


def _login(person: dict[str, Any]) -> str:
    return f"{person['user']:<20} {person['password']:<24} {', '.join(person['roles'])}"


def _whisper(text: str) -> None:
    print(text, file=sys.stderr)


def new_folder(data: Path) -> Path:
    """An empty folder. Only one that a demo made is ever emptied, and not under one that runs. Raises
    CannotRun."""
    found = {one.name for one in data.iterdir()} if data.exists() else set()
    if found - {one_city.LOCK} and MARK not in found:
        raise CannotRun(f"{data} is not a demo's folder: give another --data")
    with one_city.held(data):
        if _brokers_run(data):
            raise CannotRun(
                f"the brokers of a demo run under {data}: end them with `cityvigil stack down --data {data}`"
            )
        end_left_behind(data)
        (data / MARK).touch()
        for one in data.iterdir():
            if one.is_dir() and not one.is_symlink():
                shutil.rmtree(one)
            elif one.name not in (MARK, one_city.LOCK):  # a lock that is removed holds nobody
                one.unlink()
    return data


def _brokers_run(data: Path) -> bool:
    try:
        stack.load(data)
    except CannotRun:
        return False
    return True
