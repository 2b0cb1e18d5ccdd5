"""One city at a time in a data folder: two supervisors in one folder would fight over its services.

The lock is the kernel's (flock on DATA/city.lock), so it falls with its holder however that ends, kill -9
included. What stands in the file only names the holder to whoever comes next. Brokers are not covered: `stack
up` and `stack down` work beside a city, as before.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cityvigil.errors import CannotRun

LOCK = "city.lock"


@contextmanager
def held(data: Path) -> Iterator[None]:
    """The folder is this process's while the block runs. Raises CannotRun with who has it."""
    data.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(data / LOCK, os.O_RDWR | os.O_CREAT, 0o600)  # children do not inherit it
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotRun(_refusal(data, file.read())) from None
        file.truncate()
        json.dump(
            {"pid": os.getpid(), "command": _command(), "since": dt.datetime.now(dt.UTC).isoformat()}, file
        )
        file.flush()
        yield


def _refusal(data: Path, text: str) -> str:
    try:
        holder = json.loads(text)
        who = f"`{holder['command']}` (pid {holder['pid']}, since {holder['since'][:19]}Z)"
        ending = f"end that with Ctrl-C or `kill {holder['pid']}`"
    except (ValueError, KeyError, TypeError):  # it holds the folder, and has not written so yet
        who, ending = "another process", "end that"
    return f"a city runs in {data} already: {who}; {ending}, or give another --data"


def _command() -> str:
    """The verb alone: options may hold what others need not see."""
    words = [word for word in sys.argv[1:3] if word.isalpha()]
    return " ".join(["cityvigil", *words])
