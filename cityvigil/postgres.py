"""PostgreSQL as a local process: a cluster of its own, on 127.0.0.1, with one superuser `cityvigil`.

It trusts every connection that reaches 127.0.0.1, so it is for a machine whose users trust each other;
production has passwords (compose.yaml). PostgreSQL refuses to run as root: started by root it runs as the
system user `postgres`, who must be able to reach the cluster's folder. Where the data folder lies below one
that is closed to others (/root, a temporary folder), the cluster goes to /var/lib/cityvigil and the data
folder holds a link to it.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

from cityvigil import process
from cityvigil.errors import CannotRun
from cityvigil.process import Process
from cityvigil.supervisor import LESS_URGENT

NAME = "postgres"
USER = "cityvigil"
DATABASE = "cityvigil"
SYSTEM_USER = "postgres"
STOP_SIGNAL = signal.SIGINT  # "fast": does not wait for clients to leave
ELSEWHERE = Path("/var/lib/cityvigil")

CONFIG = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 100
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_checkpoints = off

shared_buffers = 256MB
effective_cache_size = 1GB
work_mem = 16MB
maintenance_work_mem = 128MB
# Building the index of a span is no hurry, and with helpers it would take every core from the alerts.
max_parallel_maintenance_workers = 0
wal_level = minimal
max_wal_senders = 0
max_wal_size = 4GB
wal_compression = on
checkpoint_timeout = 15min
random_page_cost = 1.1
jit = off
synchronous_commit = on
fsync = {fsync}
full_page_writes = {fsync}
"""


def dsn(port: int, database: str = DATABASE) -> str:
    return f"postgresql://{USER}@127.0.0.1:{port}/{database}"


def program(name: str) -> Path:
    """Of the newest version installed; Debian keeps them out of PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    for folder in [*versions, *map(Path, os.get_exec_path())]:
        if os.access(folder / name, os.X_OK):
            return folder / name
    raise CannotRun(
        f"{name} (PostgreSQL) is not installed: run `make setup`, or `apt-get install postgresql`"
    )


def _version(folder: Path) -> int:
    digits = re.match(r"\d+", folder.parent.name)
    return int(digits[0]) if digits else 0


def prepare(home: Path, port: int, fsync: bool) -> None:
    """Makes the cluster the first time, and writes the settings every time."""
    if home.is_symlink() and not home.exists():
        home.unlink()
    if not (home / "PG_VERSION").exists():
        _make_cluster(home, fsync)
    process.write_atomically(home / "local.conf", CONFIG.format(port=port, fsync="on" if fsync else "off"))
    if os.geteuid() == 0:
        shutil.chown(home / "local.conf", SYSTEM_USER, SYSTEM_USER)


def _make_cluster(home: Path, fsync: bool) -> None:
    user = _run_as()
    if home.is_symlink() or home.exists():
        _empty(home)
    else:
        _make_folder(home)
    options = ["--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C.UTF-8"]
    if not fsync:
        options.append("--no-sync")
    done = subprocess.run(
        [program("initdb"), "-D", home.resolve(), *options],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd="/",
        user=user, group=user, extra_groups=[] if user else None,
    )  # fmt: skip
    if done.returncode != 0:
        _empty(home)
        lines = done.stderr.strip().splitlines()
        raise CannotRun(f"initdb failed in {home.resolve()}: {lines[0] if lines else 'no reason'}")
    with (home / "postgresql.conf").open("a") as config:
        config.write("\ninclude 'local.conf'\n")


def _run_as() -> str | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER).pw_name
    except KeyError:
        raise CannotRun(
            f"PostgreSQL does not run as root and there is no user {SYSTEM_USER}: run as another user"
        ) from None


def _make_folder(home: Path) -> None:
    place = home
    if os.geteuid() == 0 and not _others_may_pass(home.absolute().parent):
        _remove_predecessor(home)
        ELSEWHERE.mkdir(mode=0o711, parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix="postgres-", dir=ELSEWHERE)) / "cluster"
        (place.parent / "home").write_text(str(home.absolute()))
        place.parent.chmod(0o711)
        home.symlink_to(place)
    place.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(place, SYSTEM_USER, SYSTEM_USER)


def _others_may_pass(folder: Path) -> bool:
    return all(one.stat().st_mode & 0o001 for one in [folder, *folder.resolve().parents])


def remove(home: Path) -> None:
    """Deletes a stopped cluster, wherever it lies."""
    place = home.resolve()
    if home.is_symlink():
        home.unlink()
        place = place.parent
    shutil.rmtree(place, ignore_errors=True)


def _remove_predecessor(home: Path) -> None:
    """The cluster of a data folder that was deleted and now begins again at the same path."""
    for note in ELSEWHERE.glob("postgres-*/home"):
        if note.read_text() == str(home.absolute()):
            shutil.rmtree(note.parent)


def _empty(home: Path) -> None:
    """Clears what an interrupted initdb left, and keeps the folder with its owner."""
    for entry in home.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def start(home: Path, run: Path, log: Path) -> Process:
    _end_orphans(home)
    return process.spawn(
        NAME,
        ["nice", "-n", str(LESS_URGENT), program("postgres"), "-D", home.resolve()],
        run=run,
        log=log,
        user=_run_as(),
        working_folder=Path("/"),
    )


def _end_orphans(home: Path) -> None:
    """After kill -9 of the server, a busy backend lives on and holds the memory that a new server needs."""
    orphans = process.working_in(home.resolve(), NAME)
    process.wait(lambda: not any(process.is_alive(one) for one in orphans), 0.5)
    for one in orphans:
        process.kill(one)


def answers(port: int, timeout_s: int = 1) -> bool:
    """True if it takes a query; the product's own database is made on the first one."""
    try:
        with psycopg.connect(dsn(port, "postgres"), connect_timeout=timeout_s, autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if found is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")
    except psycopg.OperationalError:
        return False
    return True
