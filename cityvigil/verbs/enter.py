"""`cityvigil enter`: a scenario's city into the registry, and a credential for each of its gateways.

What `cityvigil up` does before it starts the simulators; compose starts them in a container of their own.
"""

from __future__ import annotations

import argparse
import asyncio

from cityvigil import whole_city
from cityvigil.errors import CannotRun
from cityvigil.verbs.up import load_scenario
from cityvigil.wiring import settings_from_environ
from schemas.settings import Settings


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "enter",
        help="register a scenario's city before its simulators start",
        description="Registers the city of CITYVIGIL_SCENARIO, and makes credentials of its gateways.",
        epilog=f"Environment:\n{Settings.describe()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    settings = settings_from_environ()
    scenario = load_scenario(settings.scenario).with_seed(settings.seed)
    if settings.clock.scale != scenario.scale:
        raise CannotRun(
            f"CITYVIGIL_CLOCK runs at {settings.clock.scale:g}, {scenario.name} wants {scenario.scale:g}"
        )
    asyncio.run(whole_city.enter(scenario, settings.data, settings))
    print(f"{scenario.name}: {len(scenario.city().sensors)} sensors")
    return 0
