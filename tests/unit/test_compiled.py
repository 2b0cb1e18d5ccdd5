"""What is compiled says what its source says, and nothing is left to be compiled while a stream waits."""

from __future__ import annotations

import hashlib
import importlib
import os
import pkgutil
import random
import subprocess
import sys

import msgspec
from numba.core.registry import CPUDispatcher

import detectors
from detectors.fold import Partition
from detectors.program import compile_program
from schemas.alert import Alert
from schemas.catalogue import catalogue
from schemas.control import Control
from schemas.default_rules import default_rules
from schemas.frame import Frame
from tests.builders import a_frame, a_reading, a_registry, a_sensor, a_tick

MINUTES = 30


def what_is_told() -> list[Alert]:
    """Of a small city of every category: calm, wild, flat, and readings that come late or not at all."""
    rng = random.Random(5)
    rows = [row for row in catalogue().values() if row.role == "alarm" and row.key != "device_silence"]
    sensors = [
        a_sensor(n, row.key, params={"interval_s": 60.0, "design": 400.0}, asset=f"a{n % 7}")
        for n, row in enumerate(rows, 1)
    ]
    partition = Partition(compile_program(a_registry(*sensors), default_rules(judgement_live=True), 0))
    log: list[Frame | Control] = []
    for minute in range(MINUTES):
        readings = []
        for n, row in enumerate(rows, 1):
            width = row.plausible_max - row.plausible_min
            wild = minute > MINUTES // 2 and n % 3 == 0
            value = row.plausible_min + width * (rng.random() if wild else 0.3 + 0.001 * rng.random())
            for back in (30, 0) if n % 5 == 0 else (0,):
                if rng.random() < 0.9:
                    readings.append(a_reading(n, 60 * minute - back, value if n % 11 else 0.0))
        log += [a_frame(*readings, sequence=minute + 1), a_tick(60 * minute + 30)]
    return partition.fold(log)


def printed(alerts: list[Alert]) -> str:
    return hashlib.sha256(msgspec.json.encode(alerts)).hexdigest()


def test_the_source_as_it_stands_tells_the_same_as_what_was_compiled() -> None:
    alerts = what_is_told()
    assert len({alert.rule for alert in alerts}) > 20
    script = "from tests.unit.test_compiled import *; print(printed(what_is_told()))"
    plain = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert plain.stdout.strip() == printed(alerts)


def kinds() -> dict[str, int]:
    """Of each compiled function, for how many kinds of arrays it is."""
    found = {}
    for module in pkgutil.iter_modules(detectors.__path__, "detectors."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, CPUDispatcher):
                found[f"{module.name}.{name}"] = len(value.signatures)
    return found


def test_folding_needs_nothing_that_was_not_made_ready() -> None:
    """In a process of its own: other tests ask for other kinds."""
    script = (
        "from detectors.ready import make_ready; from tests.unit.test_compiled import *;"
        " make_ready(); made = kinds(); what_is_told();"
        " print([name for name, many in kinds().items() if many != made[name] or many > 1])"
    )
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "[]"
