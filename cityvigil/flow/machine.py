"""What a run costs and where it ran: processor time and memory by process, the machine, the versions.

Processor time is that of a process with its children, ended ones included. Memory is the proportional set
size, so that what PostgreSQL's processes share is counted once; the highest sample counts.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import psycopg

PACKAGES = ("aiokafka", "faust-streaming", "msgspec", "numpy", "paho-mqtt", "psycopg", "uvloop")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Of a process and its children so far; 0 if there is none."""
    fields = _stat(pid)
    ended = sum(map(int, fields[13:15])) if fields else 0
    return _TICK_S * (ended + sum(sum(map(int, _stat(one)[11:13])) for one in _family(pid)))


def memory_mb(pid: int) -> float:
    return sum(map(_own_mb, _family(pid)))


def about() -> dict[str, object]:
    """The machine: nothing that names it."""
    cpu = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next(
        (int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0
    )
    return {
        "cpu": cpu[0] if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": memory // 1024,
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
        "nice": os.nice(0),
    }


def versions(connection: psycopg.Connection) -> dict[str, str]:
    found = {"python": platform.python_version(), "cityvigil": metadata.version("cityvigil")}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    for name, query in (
        ("postgresql", "select current_setting('server_version')"),
        ("timescaledb", "select extversion from pg_extension where extname = 'timescaledb'"),
    ):
        row = connection.execute(query.encode()).fetchone()
        found |= {name: row[0]} if row else {}
    if broker := shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"):
        said = subprocess.run([broker, "-h"], capture_output=True, text=True, check=False).stdout
        found["mosquitto"] = said.partition("\n")[0].rpartition(" ")[2]
    return found


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: round(after[name] - before.get(name, 0.0), 2) for name in after}


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield from _family(child)


def _stat(pid: int) -> list[str]:
    """The fields behind the name in /proc/PID/stat."""
    return "".join(_lines(f"/proc/{pid}/stat")).rpartition(")")[2].split()


def _own_mb(pid: int) -> float:
    for line in _lines(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
