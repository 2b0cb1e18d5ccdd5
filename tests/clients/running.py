"""A program of a client library that others wrote, running beside a test: lines of JSON to it and from it.

It runs in its own environment, because it brings a paho of its own; killed at the end, if it is still there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.services import ROOT

WITHIN_S = 60.0
PROGRAMS = Path(__file__).parent


class Client:
    """`tell` it what to do; `says` waits for its next line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._in, self._out = process, process.stdin, process.stdout

    def tell(self, *words: object) -> None:
        self._in.write(json.dumps(words).encode() + b"\n")

    async def says(self) -> Any:
        line = await asyncio.wait_for(self._out.readline(), WITHIN_S)
        assert line, "the client ended; what it said of that stands above"
        return json.loads(line)

    def kill(self) -> None:
        """Without a good-bye: the broker speaks its will."""
        if self._process.returncode is None:
            self._process.kill()


@asynccontextmanager
async def a_client(library: str, *arguments: str) -> AsyncIterator[Client]:
    """`tests/clients/LIBRARY_client.py` by the interpreter of `.venv-clients/LIBRARY`."""
    python = ROOT / ".venv-clients" / library / "bin" / "python"
    assert python.exists(), f"{python} is not there: run `make setup-test`"
    process = await asyncio.create_subprocess_exec(
        python,
        PROGRAMS / f"{library}_client.py",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    client = Client(process)
    try:
        yield client
    finally:
        client.kill()
        await process.wait()
