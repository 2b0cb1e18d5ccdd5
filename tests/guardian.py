"""Stops a test stack whose session died without a word (kill -9, `timeout`).

Run as a program with the folder; it waits until its standard input ends, which happens when the session that
holds the other end is gone. What that session stopped and removed itself is then no longer there.
"""

import shutil
import sys
from pathlib import Path

from cityvigil import postgres
from cityvigil import stack as local


def remove(folder: Path) -> None:
    data = folder / "data"
    if (data / "stack.json").exists():
        local.down(data)
        postgres.remove(data / postgres.NAME)
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.stdin.read()
    if Path(sys.argv[1]).exists():
        remove(Path(sys.argv[1]))
