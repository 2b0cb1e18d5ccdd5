"""Mosquitto as a local process: its settings, its accounts file, its log, its health.

Listens on 127.0.0.1, refuses whoever has no account, and lets a gateway write below up/{user}/ and read below
down/{user}/ only. It runs as the user who started it and keeps its sessions and queues in `home`.
It is not the durable copy of anything: a gateway's outbox is (settings below say why each bound is harmless).

The log. Mosquitto 2.0.11 tells of a denied publish only at debug level, which is some six lines a frame, so
its output goes through `mosquitto_log.py`, which keeps the lines that matter (bounded) and adds the user name
where the broker knows only the client id. Measured at 1,000 frames/s: +25 us a frame in the broker, 6 us
in the reader, 10 MB; 1.5 % of a core at 500 frames/s. The lines, as tried, after `2026-11-23T08:46:05: `:

    New client connected from 127.0.0.1:55541 as CLIENT (p5, c1, k60, u'USER').
    Denied PUBLISH from CLIENT (d0, q1, r0, m1, 'up/other/senml', ... (1 bytes)) by u'USER'
    Client CLIENT disconnected due to oversize packet. by u'USER'
    Sending CONNACK to 127.0.0.1 (0, 135)            refused: MQTT 5 135, MQTT 3 5; the next line is
    Client <unknown> disconnected, not authorised.   all it says; the name comes from our plugin

The plugin (`log_in_names.c`, built by `make setup` and into the image) logs `Log-in by u'USER'` before each
decision, and the reader (or ingest, where there is none) puts that name to a refusal. Without it a wrong
password has an address, no name.

A denied read is not logged: the subscription is granted and nothing is ever delivered. After a denied publish
the broker closes the connection.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import sys
from pathlib import Path

from cityvigil import process
from cityvigil.errors import CannotRun
from cityvigil.process import Process

NAME = "mosquitto"
LOG_NAME = "mosquitto-log"
STOP_SIGNAL = signal.SIGTERM

MAX_PACKET_BYTES = 1024 * 1024
MAX_QUEUED_BYTES = 64 * 1024 * 1024
"""Per client that is away: minutes of a city's frames for ingest. An overflow costs a resend, no data."""

PIPE_BYTES = 1024 * 1024

PLUGIN = Path(__file__).parent.parent / ".mosquitto" / "log_in_names.so"

CONFIG = """\
listener {listener}
max_connections -1
set_tcp_nodelay true
allow_anonymous false
{plugin}
password_file {home}/passwords
acl_file {home}/acl
{user}
persistence true
persistence_location {home}/
autosave_interval 60

# The default of 20 unacknowledged messages would cap ingest, which answers after Kafka did, at ~200 frames/s.
max_inflight_messages 0
max_queued_messages 0
max_queued_bytes {queued}
max_packet_size {packet}

log_dest stderr
{file}
log_timestamp_format %Y-%m-%dT%H:%M:%S
connection_messages true
log_type error
log_type warning
log_type notice
log_type information
{debug}
"""

ACCESS = """\
user {service}
topic readwrite up/#
topic readwrite down/#
topic readwrite spBv1.0/#

pattern write up/%u/#
pattern read down/%u/#

# Sparkplug B: a gateway is the edge node of its own name.
pattern write spBv1.0/+/NBIRTH/%u
pattern write spBv1.0/+/NDATA/%u
pattern write spBv1.0/+/NDEATH/%u
pattern write spBv1.0/+/DBIRTH/%u/+
pattern write spBv1.0/+/DDATA/%u/+
pattern write spBv1.0/+/DDEATH/%u/+
pattern read spBv1.0/+/NCMD/%u
pattern read spBv1.0/+/DCMD/%u/+
pattern read spBv1.0/STATE/#
"""


def program() -> Path:
    for folder in [*os.get_exec_path(), "/usr/sbin", "/usr/local/sbin"]:
        if os.access(path := Path(folder) / "mosquitto", os.X_OK):
            return path
    raise CannotRun("mosquitto is not installed: run `make setup`, or `apt-get install mosquitto`")


def log_in_names() -> Path | None:
    """The plugin that logs who tries to log in, where `make setup` could build it."""
    return PLUGIN if PLUGIN.is_file() else None


def lend_plugin(home: Path) -> Path | None:
    """The plugin where a broker of another image finds it; None where it was not built. It needs no C
    library, so that a broker built with another one can load it."""
    built = log_in_names()
    if built is None:
        return None
    lent, beside = home / PLUGIN.name, home / f".{PLUGIN.name}.new"
    beside.write_bytes(built.read_bytes())
    beside.replace(lent)  # a broker that runs keeps the one that it has loaded
    return lent


def passwords_file(home: Path) -> Path:
    return home / "passwords"


def prepare(home: Path, service_user: str) -> None:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    passwords_file(home).touch(mode=0o600)
    process.write_atomically(home / "acl", ACCESS.format(service=service_user))


def log_file(home: Path) -> Path:
    """Where a broker that somebody else runs (compose) keeps what ingest reads of its log."""
    return home / "mosquitto.log"


def settings(
    home: Path,
    listener: str,
    *,
    user: str = "",
    debug: str = "",
    plugin: Path | None = None,
    log: Path | None = None,
) -> str:
    """mosquitto.conf of a broker whose files are in `home`; `listener`: its port, and its address if one;
    `log`: a file for its log beside the standard error."""
    return CONFIG.format(
        listener=listener,
        home=home,
        user=user,
        plugin=f"plugin {plugin}" if plugin else "",
        file=f"log_dest file {log}" if log else "",
        queued=MAX_QUEUED_BYTES,
        packet=MAX_PACKET_BYTES,
        debug=debug,
    )


def start(home: Path, run: Path, log: Path, port: int) -> Process:
    # Mosquitto started by root would become `mosquitto`, who can not read a folder that is root's own.
    user = "user root" if os.geteuid() == 0 else ""
    config = home / "mosquitto.conf"
    text = settings(home, f"{port} 127.0.0.1", user=user, debug="log_type debug", plugin=log_in_names())
    process.write_atomically(config, text)
    pipe = _open_pipe(home, run, log)
    try:
        return process.spawn(NAME, [program(), "-c", config], run=run, log=log, stderr=pipe)
    finally:
        os.close(pipe)


def keep_log(home: Path, run: Path, log: Path) -> None:
    """Starts the reader of the pipe if it died; the broker keeps its end open and does not notice."""
    os.close(_open_pipe(home, run, log))


def _open_pipe(home: Path, run: Path, log: Path) -> int:
    """The broker's end. Non-blocking: a reader that is stopped may cost log lines, never a stalled broker."""
    reader_log = log.with_name(f"{LOG_NAME}.log")
    reader = process.find(run, LOG_NAME)
    pipe = home / "log.pipe"
    if reader is None:
        if not pipe.is_fifo():
            os.mkfifo(pipe, 0o600)
        # -I -S: it needs the standard library only, and starts in 20 ms with 9 MB.
        argv: list[str | Path] = [sys.executable, "-I", "-S", Path(__file__).with_name("mosquitto_log.py")]
        argv += [pipe, log, str(process.LOG_KEPT_BYTES)]
        reader = process.spawn(LOG_NAME, argv, run=run, log=reader_log)
    opened: list[int] = []

    def open_end() -> bool:
        try:
            opened.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # ENXIO until the reader has opened its end
            return False
        return True

    process.wait_until_healthy(reader, reader_log, open_end, 10)
    fcntl.fcntl(opened[0], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return opened[0]


def answers(port: int, user: str, password: str, timeout_s: float = 1) -> bool:
    """True if the broker lets this account in (MQTT 3.1.1 CONNECT, clean session)."""

    def text(value: str) -> bytes:
        return struct.pack(">H", len(value)) + value.encode()

    client = f"health-{os.getpid()}"
    body = (
        text("MQTT") + bytes([4, 0xC2]) + struct.pack(">H", 10) + text(client) + text(user) + text(password)
    )
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(bytes([0x10, len(body)]) + body)
            reply = connection.recv(4)
            connection.sendall(b"\xe0\x00")
    except OSError:
        return False
    return reply == b"\x20\x02\x00\x00"


def port(home: Path) -> int:
    """The one it was last started on."""
    return int((home / "mosquitto.conf").read_text().split(maxsplit=2)[1])


def reload(broker: Process) -> None:
    """Makes it read the passwords again."""
    process.send(broker, signal.SIGHUP)
