"""A real TimescaleDB for tests: PostgreSQL in WebAssembly, run by Node.js (server.mjs) in its own process.

It is the licensed build, version 2.23-dev on PostgreSQL 17, and has one backend: a connection that began a
transaction keeps all others waiting, and advisory locks are shared. So SQL, migrations and what the historian
writes are proven here; concurrency and load are proven on PostgreSQL itself.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).parent


@contextmanager
def an_engine() -> Iterator[str]:
    """The DSN of an empty database, gone at the end."""
    node = shutil.which("node") or shutil.which("nodejs")
    assert node, "Node.js is not here: run `make setup-test`"
    assert (FOLDER / "node_modules").is_dir(), "its package is not here: run `make setup-test`"
    with subprocess.Popen(
        [node, "server.mjs"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "server.mjs ended; what it said stands above"
        yield f"postgresql://postgres@127.0.0.1:{json.loads(line)['port']}/postgres"
        process.stdin.close()  # which ends it
