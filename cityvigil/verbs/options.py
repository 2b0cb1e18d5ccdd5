"""Options that verbs share, so that the same thing is said the same way everywhere."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """`--data DIR`, else CITYVIGIL_DATA, else var/ in the working folder."""
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("CITYVIGIL_DATA") or "var"),
        metavar="DIR",
        help="data folder (default: CITYVIGIL_DATA, else var/)",
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE", help="write the result as data, - = standard output")


def add_port_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="the console's (default 8080)")


def add_scenario_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scenario", default="first-light", metavar="NAME", help="what the simulators play, or a .yaml file"
    )


def write_json(target: str | None, result: object) -> None:
    """Writes `result` where `--json` said; nothing when it was not given."""
    if target is None:
        return
    text = json.dumps(result, ensure_ascii=False)
    if target == "-":
        print(text)
    else:
        Path(target).write_text(text + "\n", encoding="utf-8")
