"""`cityvigil ingest | detect | record | dispatch | bypass | console | simulate`: one service each.

They are configured by their environment alone, and end by SIGTERM; compose and `cityvigil up` start them.
"""

from __future__ import annotations

import argparse
import asyncio
import functools

from cityvigil.services import BUILDERS
from cityvigil.wiring import serve, settings_from_environ
from schemas.settings import Settings

SAYS = {
    "ingest": "take frames from gateways, put them in order into Kafka, answer them",
    "detect": "score readings and raise alerts",
    "record": "write readings to the database",
    "dispatch": "make cases of alerts, tell units, watch the clocks",
    "bypass": "tell people of level 1 at once, without the database",
    "console": "the duty screen and the HTTP API",
    "simulate": "a city that can be asked to misbehave",
}


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, says in SAYS.items():
        parser = subparsers.add_parser(
            name,
            help=says,
            description=f"{says.capitalize()}.",
            epilog=f"Environment:\n{Settings.describe()}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(run=functools.partial(_run, name))


def _run(name: str, _: argparse.Namespace) -> int:
    asyncio.run(serve(name, settings_from_environ(), BUILDERS[name]))
    return 0
