"""A local process that outlives the command that started it: start, find again, stop.

A process is known by its pid together with the moment it started and the boot it started in, kept in a small
file; a pid that the system has given to somebody else is therefore never signalled, and nothing is ever found
or killed by name. Reads /proc, so Linux only. Does not restart anything: that is for whoever supervises.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cityvigil.errors import CannotRun

POLL_S = 0.02
LOG_KEPT_BYTES = 16 * 1024 * 1024

# Popen warns when it is collected while its process runs, and only a parent can reap: both need the object.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Process:
    name: str
    pid: int
    started: str
    """Boot id and start time in clock ticks: with the pid, unique."""


def spawn(
    name: str,
    argv: Sequence[str | Path],
    *,
    run: Path,
    log: Path,
    environ: Mapping[str, str] | None = None,
    user: str | None = None,
    stderr: int | None = None,
    working_folder: Path | None = None,
) -> Process:
    """Starts a process of its own session and remembers it in `run`; output goes to the end of `log`."""
    _rotate(log)
    with log.open("ab") as out:
        child = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT if stderr is None else stderr,
            env=None if environ is None else dict(environ),
            cwd=working_folder,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            start_new_session=True,
        )
    _children[child.pid] = child
    process = Process(name, child.pid, birth(child.pid) or "gone at once")
    write_atomically(_file(run, name), json.dumps(asdict(process)))
    return process


def find(run: Path, name: str) -> Process | None:
    """The process last started under this name, if it still lives."""
    try:
        process = Process(**json.loads(_file(run, name).read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None
    return process if is_alive(process) else None


def has_fallen(run: Path, name: str) -> bool:
    """Whether it was started, ended, and nobody told it to (`forget`)."""
    return _file(run, name).exists() and find(run, name) is None


def forget(run: Path, name: str) -> None:
    """It is not missed from now on."""
    _file(run, name).unlink(missing_ok=True)


def is_alive(process: Process) -> bool:
    return birth(process.pid) == process.started


def send(process: Process, sig: signal.Signals) -> None:
    """Does nothing if the process is gone."""
    if is_alive(process):
        try:
            os.kill(process.pid, sig)
        except ProcessLookupError:
            return


def stop(process: Process, sig: signal.Signals, within_s: float) -> bool:
    """Asks with `sig`, insists with SIGKILL after `within_s`; True if asking was enough."""
    send(process, sig)
    if wait(lambda: not is_alive(process), within_s):
        return True
    kill(process)
    return False


def kill(process: Process) -> None:
    """kill -9, and waits until the system has let go of it."""
    send(process, signal.SIGKILL)
    wait(lambda: not is_alive(process), 10)


def working_in(folder: Path, name: str) -> list[Process]:
    """Every process whose working folder this is: how the orphans of a killed server are known."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                here = (entry / "cwd").readlink() == folder
            except OSError:  # it ended meanwhile, or is another user's
                continue
            if here and (started := birth(int(entry.name))):
                found.append(Process(name, int(entry.name), started))
    return found


def wait(condition: Callable[[], bool], within_s: float) -> bool:
    """Polls until `condition` holds; False if it did not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def wait_until_healthy(process: Process, log: Path, answers: Callable[[], bool], within_s: float) -> None:
    """Raises CannotRun with the last line of its log if the process ends or does not answer in time."""
    if wait(lambda: answers() or not is_alive(process), within_s) and is_alive(process):
        return
    what = f"does not answer after {within_s:.0f} s" if is_alive(process) else "ended as it started"
    last = tail(log, 1)
    raise CannotRun(f"{process.name} {what}: {last[0].strip() if last else 'it said nothing'} (log: {log})")


def tail(log: Path, lines: int) -> list[str]:
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 400 * lines - 4096))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def pick_ports(count: int) -> list[int]:
    """Free ports below those of outgoing connections, so none is borrowed while its owner restarts."""
    candidates = random.SystemRandom().sample(range(20_000, 32_000), 2_000)
    free = []
    for port in candidates:
        if port_is_free(port):
            free.append(port)
            if len(free) == count:
                return free
    raise CannotRun(f"no {count} free ports between 20000 and 32000 on 127.0.0.1")


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """A reader sees the old content or the new, never half; survives a crash right after."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _file(run: Path, name: str) -> Path:
    return run / f"{name}.json"


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
        log.replace(log.with_name(log.name + ".1"))


def birth(pid: int) -> str | None:
    """`Process.started` of what has this pid now. None if it is gone or only waits to be reaped, which is
    done here if it is a child of ours."""
    fields = _stat(pid)
    if fields is None or fields[0] in "ZX":
        if child := _children.pop(pid, None):
            child.wait()
        return None
    return f"{_boot_id()}/{fields[19]}"


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third (state) on; the second is a name that may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
