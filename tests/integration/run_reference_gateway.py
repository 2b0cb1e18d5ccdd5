"""The reference gateway in a process of its own, to be killed: ADDRESS GATEWAY SECRET OUTBOX LAST.

What it measures is its counter, so that each frame says itself which one it is, whatever was killed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from simulators.reference_gateway import Gateway, Outbox


def main(address: str, name: str, secret: str, path: str, last: str) -> None:
    outbox = Outbox(Path(path))
    gateway = Gateway(address, name, secret, outbox)
    while outbox.next <= int(last) or len(outbox):
        if outbox.next <= int(last):
            gateway.submit([{"n": "p", "t": 1.7e9 + outbox.next, "v": outbox.next}])
        gateway.step(0.01)
    gateway.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
