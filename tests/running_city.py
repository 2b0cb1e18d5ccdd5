"""The whole platform as an operator starts it, `cityvigil up --no-simulators`, for tests of verbs."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psycopg

from cityvigil import process, stack
from tests.services import a_data_folder


@dataclass(frozen=True)
class RunningCity:
    data: Path
    postgres: str

    def cityvigil(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A verb against this city; it is waited for."""
        command = [sys.executable, "-m", "cityvigil", *arguments, "--data", str(self.data)]
        return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.postgres) as connection:
            return connection.execute(query.encode(), values).fetchall()


@contextmanager
def a_running_city() -> Iterator[RunningCity]:
    """Ready when yielded; ended by SIGTERM afterwards."""
    with a_data_folder() as data:
        (port,) = process.pick_ports(1)
        command = [sys.executable, "-m", "cityvigil", "up", "--no-simulators"]
        command += ["--data", str(data), "--port", str(port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
            try:
                assert up.stdout is not None
                assert up.stderr is not None
                line = up.stdout.readline()
                assert line.startswith("console"), _last_words(up.stderr)
                yield RunningCity(data, stack.load(data).postgres)
            finally:
                up.send_signal(signal.SIGTERM)
                with contextlib.suppress(ValueError):
                    up.communicate(timeout=60)


def _last_words(stderr: IO[str]) -> str:
    lines = stderr.read().splitlines()
    return "\n".join(json.loads(one)["message"] if one.startswith("{") else one for one in lines[-5:])
