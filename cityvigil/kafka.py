"""Apache Kafka as a local process: one KRaft node that is broker and controller, from its jars.

Listens on 127.0.0.1 with a heap of 512 MB. Topics exist because `cityvigil migrate` made them: a typing
error must not create one. Nothing is flushed to disk by message (the page cache outlives kill -9;
a power cut on a single node may cost the last seconds, which is why production replicates).
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import struct
import subprocess
import uuid
from pathlib import Path

from cityvigil import process
from cityvigil.errors import CannotRun
from cityvigil.process import Process
from schemas.topics import MESSAGE_MAX_BYTES

NAME = "kafka"
STOP_SIGNAL = signal.SIGTERM
CHECKOUT = Path(__file__).parent.parent

# Serial collector: on two cores it starts 0.3 s sooner and takes 50 MB less than G1. First compiler only: the
# second one takes a core from everything else for minutes, and saves some hundredths of one in the end.
JVM = [
    "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
]  # fmt: skip

CONFIG = f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{{controller}}
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller}}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={{home}}/log

auto.create.topics.enable=false
message.max.bytes={MESSAGE_MAX_BYTES}
replica.fetch.max.bytes={MESSAGE_MAX_BYTES}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0

# After kill -9 the controller waits this long before it believes that the old broker is gone.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
# The default of 128 MB would be a quarter of the heap.
log.cleaner.dedupe.buffer.size=16777216
"""

LOGGING = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
"""


def java() -> Path:
    if home := os.environ.get("JAVA_HOME"):
        if os.access(path := Path(home) / "bin" / "java", os.X_OK):
            return path
        raise CannotRun(f"JAVA_HOME={home} holds no bin/java: correct or unset it")
    if found := shutil.which("java"):
        return Path(found)
    raise CannotRun("java is not installed: run `make setup`, or `apt-get install openjdk-17-jre-headless`")


def jars() -> Path:
    folder = Path(os.environ.get("CITYVIGIL_KAFKA_JARS") or CHECKOUT / ".kafka")
    if not list(folder.glob("kafka_2.13-*.jar")):
        raise CannotRun(f"no Kafka jars in {folder}: run `make setup`, or set CITYVIGIL_KAFKA_JARS")
    return folder.absolute()


def prepare(home: Path, port: int, controller_port: int) -> None:
    """Writes the settings, and formats the log folder the first time."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = home / "server.properties"
    process.write_atomically(config, CONFIG.format(port=port, controller=controller_port, home=home))
    process.write_atomically(home / "log4j2.properties", LOGGING)
    if (home / "log" / "meta.properties").exists():
        return
    name = uuid.uuid4().bytes
    # Without the first bit it begins with a letter: one that begins with "-" would be taken for an option.
    cluster = base64.urlsafe_b64encode(bytes([name[0] & 0x7F, *name[1:]])).decode().rstrip("=")
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    words = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(config)]
    done = subprocess.run(
        _command(home, quick, words), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise CannotRun(
            f"kafka's storage could not be formatted in {home}: {lines[-1] if lines else 'no reason'}"
        )


def start(home: Path, run: Path, log: Path) -> Process:
    argv = _command(home, JVM, ["kafka.Kafka", str(home / "server.properties")])
    return process.spawn(NAME, argv, run=run, log=log, working_folder=home)


def _command(home: Path, options: list[str], words: list[str]) -> list[str]:
    logging = f"-Dlog4j2.configurationFile={home}/log4j2.properties"
    return [str(java()), *options, "-cp", f"{jars()}/*", logging, *words]


def answers(port: int, timeout_s: float = 1) -> bool:
    """True if the broker counts itself among the live ones (Metadata v0 without topics)."""
    request = struct.pack(">hhihi", 3, 0, 1, -1, 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as reply:
                head = reply.read(12)
    except OSError:
        return False
    return len(head) == 12 and struct.unpack(">iii", head)[2] >= 1
