"""The local stack: what `cityvigil stack` promises, tried on real processes."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from cityvigil import mosquitto, postgres, process
from cityvigil import stack as local
from cityvigil.errors import CannotRun
from cityvigil.stack import Stack
from cityvigil.verbs import stack as verb
from tests.services import a_data_folder, create_topics

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def mortal() -> Iterator[Stack]:
    """A stack of this module's own, which may be killed."""
    with a_data_folder() as data:
        yield local.up(data, fsync=False)


def pids(data: Path) -> dict[str, int]:
    services = local.status(data)["services"]
    assert isinstance(services, list)
    return {service["name"]: service["pid"] for service in services}


def healths(data: Path) -> dict[str, str]:
    services = local.status(data)["services"]
    assert isinstance(services, list)
    return {service["name"]: service["health"] for service in services}


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    verb.add_to(parser.add_subparsers())
    args = parser.parse_args(["stack", *words])
    return int(args.run(args))


def test_every_service_answers_once_up_returns(stack: Stack) -> None:
    assert set(healths(stack.data).values()) == {"ok"}
    with psycopg.connect(stack.postgres) as connection:
        assert connection.info.user == connection.info.dbname == "cityvigil"


def test_everything_listens_on_the_loopback_only(stack: Stack) -> None:
    ports = {f"{local.port_of(address):04X}" for address in (stack.mqtt, stack.kafka, stack.kafka_controller)}
    ports.add(f"{local.port_of(stack.postgres.rpartition('/')[0]):04X}")
    lines = [
        line.split()
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
    ]
    listening = [row[1].split(":") for row in lines if row[3] == "0A" and row[1].split(":")[1] in ports]
    assert {port for _, port in listening} == ports
    assert {address[-8:] for address, _ in listening} == {"0100007F"}


def test_status_prints_what_the_contract_says(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("status", "--json", "-", "--data", str(stack.data)) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["mqtt"] == stack.mqtt
    assert printed["kafka"] == stack.kafka
    assert printed["postgres"] == stack.postgres
    assert printed["data"] == str(stack.data)
    assert stack.mqtt_password not in json.dumps(printed)


def test_what_holds_a_secret_is_closed_to_others(stack: Stack) -> None:
    assert stat.S_IMODE((stack.data / "stack.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((stack.data / "mosquitto").stat().st_mode) == 0o700
    assert stat.S_IMODE(stack.data.stat().st_mode) & 0o066 == 0


def test_a_loaded_stack_is_the_one_that_came_up(stack: Stack) -> None:
    assert local.load(stack.data) == stack
    assert local.environment(stack)["CITYVIGIL_POSTGRES"] == stack.postgres


def test_a_second_up_starts_nothing(stack: Stack) -> None:
    before = pids(stack.data)
    assert local.up(stack.data, fsync=False) == stack
    assert pids(stack.data) == before


def test_a_topic_exists_only_because_somebody_made_it(stack: Stack) -> None:
    config = (stack.data / "kafka" / "server.properties").read_text()
    assert "auto.create.topics.enable=false" in config


@pytest.mark.parametrize("name", local.NAMES)
def test_a_killed_service_comes_back_on_its_port(mortal: Stack, name: str) -> None:
    before = pids(mortal.data)
    local.kill(mortal.data, name)
    assert healths(mortal.data)[name] == "down"
    assert local.up(mortal.data, fsync=False) == mortal
    after = pids(mortal.data)
    assert healths(mortal.data)[name] == "ok"
    assert {other for other in local.NAMES if after[other] != before[other]} == {name}


async def test_what_was_acknowledged_survives_a_kill_of_everything(mortal: Stack, unique: str) -> None:
    await create_topics(mortal.kafka, {unique: 1})
    producer = AIOKafkaProducer(bootstrap_servers=mortal.kafka, acks="all")
    await producer.start()
    await producer.send_and_wait(unique, b"kept")
    await producer.stop()
    with psycopg.connect(mortal.postgres) as connection:
        connection.execute(f"CREATE TABLE {unique} AS SELECT 'kept' AS word")

    for name in local.NAMES:
        local.kill(mortal.data, name)
    with pytest.raises(CannotRun, match="start it with `cityvigil stack up"):
        local.load(mortal.data)
    assert local.up(mortal.data, fsync=False) == mortal

    with psycopg.connect(mortal.postgres) as connection:
        assert connection.execute(f"SELECT word FROM {unique}").fetchall() == [("kept",)]
    consumer = AIOKafkaConsumer(unique, bootstrap_servers=mortal.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        assert (await consumer.getone()).value == b"kept"
    finally:
        await consumer.stop()


def test_a_backend_that_outlives_its_killed_server_does_not_keep_the_next_from_starting(
    mortal: Stack,
) -> None:
    with closing(psycopg.connect(mortal.postgres, autocommit=True)) as busy:
        busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1e12) AS n")
        servers = process.working_in((mortal.data / "postgres").resolve(), "postgres")
        [backend] = [one for one in servers if one.pid == busy.info.backend_pid]
        os.kill(pids(mortal.data)["postgres"], signal.SIGKILL)
        assert process.wait(lambda: healths(mortal.data)["postgres"] == "down", 10)
        assert process.is_alive(backend)
        assert local.up(mortal.data, fsync=False) == mortal
    assert healths(mortal.data)["postgres"] == "ok"
    assert not process.is_alive(backend)


def test_the_log_is_kept_again_after_its_keeper_was_killed(mortal: Stack) -> None:
    keeper = process.find(mortal.data / "run", mosquitto.LOG_NAME)
    assert keeper is not None
    process.kill(keeper)
    local.up(mortal.data, fsync=False)
    size = mortal.mqtt_log.stat().st_size
    assert not mosquitto.answers(local.port_of(mortal.mqtt), "nobody", "wrong")
    assert process.wait(lambda: b"not authorised" in mortal.mqtt_log.read_bytes()[size:], 5)


def test_a_port_in_use_is_named_with_what_to_do(mortal: Stack) -> None:
    local.kill(mortal.data, "mosquitto")
    port = local.port_of(mortal.mqtt)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        with pytest.raises(CannotRun, match=f"port {port} for mosquitto is in use.*--mqtt-port"):
            local.up(mortal.data, fsync=False)
    assert local.up(mortal.data, fsync=False) == mortal


def test_a_port_that_is_asked_for_is_used(mortal: Stack) -> None:
    local.kill(mortal.data, "mosquitto")
    [port] = process.pick_ports(1)
    moved = local.up(mortal.data, mqtt_port=port, fsync=False)
    assert moved.mqtt == f"127.0.0.1:{port}"
    assert healths(mortal.data)["mosquitto"] == "ok"
    back = local.port_of(mortal.mqtt)
    with pytest.raises(CannotRun, match=f"mosquitto runs on port {port}: .*stack down"):
        local.up(mortal.data, mqtt_port=back, fsync=False)
    local.kill(mortal.data, "mosquitto")
    assert local.up(mortal.data, mqtt_port=back, fsync=False) == mortal


def test_restart_is_a_kill_and_a_start(mortal: Stack) -> None:
    before = pids(mortal.data)
    local.restart(mortal.data, "postgres")
    after = pids(mortal.data)
    assert after["postgres"] != before["postgres"]
    assert after["kafka"] == before["kafka"]
    assert healths(mortal.data)["postgres"] == "ok"


def test_logs_show_the_end_of_each(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("logs", "postgres", "-n", "3", "--data", str(stack.data)) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert run("logs", "--data", str(stack.data)) == 0
    assert "mosquitto: " in capsys.readouterr().out


def test_down_leaves_no_process_behind() -> None:
    with a_data_folder() as data:
        local.up(data, fsync=False)
        running = pids(data)
        assert all(Path(f"/proc/{pid}").exists() for pid in running.values())
        assert run("down", "--data", str(data)) == 0
        assert not [pid for pid in running.values() if Path(f"/proc/{pid}").exists()]
        with pytest.raises(CannotRun, match="no stack runs under"):
            local.status(data)


def test_a_folder_that_others_can_not_pass_holds_a_database_all_the_same(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home, log = closed / "postgres", closed / "postgres.log"
    [port] = process.pick_ports(1)
    try:
        postgres.prepare(home, port, fsync=False)
        server = postgres.start(home, closed, log)
        process.wait_until_healthy(server, log, lambda: postgres.answers(port), 30)
        assert home.is_symlink() == (os.geteuid() == 0)
        assert process.stop(server, postgres.STOP_SIGNAL, 10)
    finally:
        postgres.remove(home)
    assert not home.exists()


def test_a_test_session_that_is_killed_leaves_no_stack_behind() -> None:
    words = """if True:
        from tests.services import a_data_folder
        with a_data_folder() as data:
            print(data, flush=True)
            input()
    """
    session = subprocess.Popen(
        [sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with session:
        assert session.stdout is not None
        folder = Path(session.stdout.readline().strip()).parent
        assert folder.is_dir()
        session.kill()
    assert process.wait(lambda: not folder.exists(), 20)


def test_what_ends_as_it_starts_is_reported_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    started = process.spawn("broken", ["sh", "-c", "echo no such file >&2; exit 3"], run=tmp_path, log=log)
    with pytest.raises(CannotRun, match="broken ended as it started: no such file"):
        process.wait_until_healthy(started, log, lambda: False, 10)


def test_what_does_not_stop_when_asked_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    words = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]
    deaf = process.spawn("deaf", words, run=tmp_path, log=log)
    assert process.wait(lambda: log.read_text() == "ready\n", 10)
    assert not process.stop(deaf, signal.SIGTERM, 0.2)
    assert not process.is_alive(deaf)
