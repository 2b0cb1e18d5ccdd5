"""What a snapshot costs: how long the stream stands still, how long writing takes, how soon a worker is back.

    python -m bench.snapshots [--sensors 234000] [--folder DIR]

One partition holds them all, with the default rules of the whole catalogue. `copy` is the stall; `write` is
what the thread does meanwhile (directory, checksum, file, fsync). Beside it single frames are folded, and the
longest of these shows what a thread that writes takes from the stream.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench.city import POINTS, Readings, a_registry, rules
from detectors.fold import Partition
from detectors.program import Program, compile_program
from detectors.snapshot import Copy, pack
from streams.places import Folder
from streams.state import Header, Snapshots

T = TypeVar("T")
SHARES = (0.01, 0.1, 0.25, 0.5)


def timed(name: str, work: Callable[[], T]) -> T:
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{name:34} cpu {cpu * 1e3:8.1f} ms, wall {wall * 1e3:8.1f} ms")
    return result


class Writer:
    """Writes copies as a worker's thread does."""

    def __init__(self, folder: Path) -> None:
        self._snapshots = Snapshots(Folder(folder))
        self._snapshots.open()
        self._offset = 0

    def write(self, copy: Copy, base: str | None = None) -> str:
        self._offset += 1
        header = Header(partition=0, generation=1, offset=self._offset, registry=None, rules=None)
        crc, size = self._snapshots.write(header, pack(copy), base)
        print(f"{'':34} {size / 1e6:.1f} MB written, {copy.copied_bytes / 1e6:.1f} MB copied")
        return crc


def longest_fold_ms(partition: Partition, readings: Readings, until: Callable[[], bool]) -> float:
    longest, first = 0.0, True
    while first or not until():
        (frame,) = readings.frames(1)
        began = time.perf_counter()
        partition.fold([frame])
        longest, first = max(longest, time.perf_counter() - began), False
    return longest * 1e3


def measure(program: Program, folder: Path) -> None:
    partition, readings, writer = Partition(program), Readings(program), Writer(folder)
    sensors, gateways = len(program.sensors), -(-len(program.sensors) // POINTS)
    for _ in range(2 * gateways):
        partition.fold(list(readings.frames(1)))
    writer.write(partition.copy())  # the first takes new pages from the system
    copy = timed("whole: copy", partition.copy)
    crc = timed("whole: write", lambda: writer.write(copy))
    print(f"{'state a sensor':34} {copy.copied_bytes / sensors:.0f} bytes")
    folded = 0
    for share in SHARES:
        for _ in range(round(share * gateways) - folded):
            partition.fold(list(readings.frames(1)))
            folded += 1
        found = partition.changed_share()
        changes = timed(f"{found:4.0%} changed: copy", lambda: partition.copy(whole=False))
        timed(f"{found:4.0%} changed: write", partial(writer.write, changes, crc))
    started = time.perf_counter()
    alone = longest_fold_ms(partition, readings, lambda: time.perf_counter() - started > 2)
    copy = partition.copy()
    thread = threading.Thread(target=writer.write, args=(copy,))
    thread.start()
    beside = longest_fold_ms(partition, readings, lambda: not thread.is_alive())
    print(f"{'longest fold of one frame':34} alone {alone:.1f} ms, while a thread writes {beside:.1f} ms")
    partition.fold(list(readings.frames(round(0.1 * gateways))))
    writer.write(partition.copy(whole=False), crc)
    newest = timed("restore: read whole and changes", lambda: next(Snapshots(Folder(folder)).usable(0)))
    timed("restore: state", lambda: Partition.restore(program, newest.whole, newest.changes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sensors", type=int, default=234_000)
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    asked = parser.parse_args()
    registry = a_registry(asked.sensors)
    program = timed("restore: compile the program", lambda: compile_program(registry, rules(), 0))
    print(f"{len(program.sensors)} sensors, {len(program.rules)} rules")
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="cityvigil-snapshots-"))
    try:
        measure(program, folder)
    finally:
        if asked.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
