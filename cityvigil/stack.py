"""Mosquitto, Kafka and PostgreSQL as local processes under one data folder.

`up` starts what does not run, in parallel, and returns when each has really answered; called again it heals
what was killed, on the same ports. `down` stops by pid. Ports, the service account and the log's place are
kept in DATA/stack.json. Everything listens on 127.0.0.1. It does not supervise: call `up` again, or see
cityvigil/broker_keeper.py.

    DATA/stack.json   what `load` reads           DATA/mosquitto/   passwords, sessions
    DATA/run/         a pid and start time each   DATA/kafka/       settings, log folders
    DATA/log/         a file each                 DATA/postgres/    the cluster
"""

from __future__ import annotations

import fcntl
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cityvigil import gateways, kafka, mosquitto, postgres, process
from cityvigil.errors import CannotRun

SERVICE_USER = "cityvigil"
NAMES = (mosquitto.NAME, kafka.NAME, postgres.NAME)
STARTS_WITHIN_S = 60
STOPS_WITHIN_S = 20


@dataclass(frozen=True)
class Stack:
    """Where the services are, and the account that ingest uses (publishes down/#, subscribes up/#)."""

    data: Path
    mqtt: str
    kafka: str
    postgres: str
    mqtt_user: str
    mqtt_password: str
    mqtt_log: Path
    kafka_controller: str
    fsync: bool = True


def up(
    data: Path,
    *,
    mqtt_port: int | None = None,
    kafka_port: int | None = None,
    postgres_port: int | None = None,
    fsync: bool = True,
) -> Stack:
    """Starts or heals the three. `fsync=False` is for tests: PostgreSQL then may lose data with the power."""
    data = data.absolute()
    _check_programs()
    _make_folders(data)
    with _one_at_a_time(data):
        stack = _plan(data, mqtt_port, kafka_port, postgres_port, fsync)
        running = {name for name in NAMES if process.find(_run(data), name)}
        _check_ports(stack, running)
        _save(stack)
        gateways.set_account(data, stack.mqtt_user, stack.mqtt_password)
        begun = [name for name in NAMES if name not in running]
        try:
            _in_parallel(lambda name: _start(stack, name), NAMES)
        except BaseException:
            _in_parallel(lambda name: _stop(data, name), begun)
            raise
    return stack


def down(data: Path) -> None:
    """Stops what runs; what does not is none of its business."""
    data = data.absolute()
    if not _stack_file(data).exists():
        raise CannotRun(f"no stack under {data}: nothing to stop")
    with _one_at_a_time(data):
        _in_parallel(lambda name: _stop(data, name), NAMES)
        _stop(data, mosquitto.LOG_NAME)


def load(data: Path) -> Stack:
    """The stack that runs under `data`; one broker may be down for the moment, not all."""
    data = data.absolute()
    try:
        fields = json.loads(_stack_file(data).read_text())
    except FileNotFoundError:
        fields = None
    if fields is None or not any(process.find(_run(data), name) for name in NAMES):
        raise CannotRun(f"no stack runs under {data}: start it with `cityvigil stack up --data {data}`")
    return _from_json(fields)


def status(data: Path) -> dict[str, Any]:
    """`health` of a service: ok, silent (it runs and does not answer), down."""
    stack = load(data)
    healths = dict(zip(NAMES, _in_parallel(lambda name: _health(stack, name), NAMES), strict=True))
    found = {name: process.find(_run(stack.data), name) for name in (*NAMES, mosquitto.LOG_NAME)}
    healths[mosquitto.LOG_NAME] = "ok" if found[mosquitto.LOG_NAME] else "down"
    return {
        "mqtt": stack.mqtt,
        "kafka": stack.kafka,
        "postgres": stack.postgres,
        "data": str(stack.data),
        "mqtt_user": stack.mqtt_user,
        "mqtt_log": str(stack.mqtt_log),
        "listeners": _listeners(stack.data),
        "services": [
            {"name": name, "pid": one.pid if one else None, "health": healths[name]}
            for name, one in found.items()
        ],
    }


def _listeners(data: Path) -> dict[str, str]:
    """Where ingest said last that it listens beside the broker, by protocol."""
    path = data / "ingest" / "listeners.json"
    found: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return found


def environment(stack: Stack) -> dict[str, str]:
    """The variables that a service reads (schemas/settings.py)."""
    return {
        "CITYVIGIL_MQTT": stack.mqtt,
        "CITYVIGIL_MQTT_USER": stack.mqtt_user,
        "CITYVIGIL_MQTT_PASSWORD": stack.mqtt_password,
        "CITYVIGIL_MQTT_LOG": str(stack.mqtt_log),
        "CITYVIGIL_KAFKA": stack.kafka,
        "CITYVIGIL_POSTGRES": stack.postgres,
        "CITYVIGIL_DATA": str(stack.data),
    }


def logs(data: Path, name: str, lines: int) -> list[str]:
    if name not in NAMES:
        raise CannotRun(f"no service is called {name!r}: expected one of {', '.join(NAMES)}")
    return process.tail(_log(data.absolute(), name), lines)


def fallen(data: Path) -> list[str]:
    """Those that ended without being told to, the broker's log keeper too."""
    run = _run(data.absolute())
    return [name for name in (*NAMES, mosquitto.LOG_NAME) if process.has_fallen(run, name)]


def raise_up(data: Path, names: Sequence[str]) -> None:
    """Starts those of `names` again that are still fallen; does not wait until they answer."""
    data = data.absolute()
    with _one_at_a_time(data):
        stack = _from_json(json.loads(_stack_file(data).read_text()))
        for name in set(names) & set(fallen(data)):
            _launch(stack, mosquitto.NAME if name == mosquitto.LOG_NAME else name)


def pid_of(data: Path, name: str) -> int | None:
    found = process.find(_run(data.absolute()), name)
    return found.pid if found else None


def answers(data: Path, name: str) -> bool:
    """Whether this one runs and does its work, whatever the others do."""
    return _health(_from_json(json.loads(_stack_file(data.absolute()).read_text())), name) == "ok"


def kill(data: Path, name: str) -> None:
    """kill -9, as a crash would. For tests and `bench faults`."""
    found = process.find(_run(data.absolute()), name)
    if found is None:
        raise CannotRun(f"{name} does not run under {data}")
    process.kill(found)


def restart(data: Path, name: str) -> None:
    """kill -9, and start again on the same port; returns when it answers."""
    stack = load(data)
    if process.find(_run(stack.data), name) is not None:
        kill(stack.data, name)
    with _one_at_a_time(stack.data):
        _start(stack, name)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def mosquitto_home(data: Path) -> Path:
    return data / mosquitto.NAME


def _start(stack: Stack, name: str) -> None:
    found, log = _launch(stack, name), _log(stack.data, name)
    process.wait_until_healthy(found, log, lambda: _health(stack, name) == "ok", STARTS_WITHIN_S)


def _launch(stack: Stack, name: str) -> process.Process:
    """The process that runs, or one that has only begun."""
    data, run, log = stack.data, _run(stack.data), _log(stack.data, name)
    found = process.find(run, name)
    home = data / name
    port = _ports(stack)[name]
    if name == mosquitto.NAME:
        if found is None:
            mosquitto.prepare(home, stack.mqtt_user)
            found = mosquitto.start(home, run, log, port)
        mosquitto.keep_log(home, run, log)
    elif name == kafka.NAME:
        if found is None:
            kafka.prepare(home, port, port_of(stack.kafka_controller))
            found = kafka.start(home, run, log)
    elif found is None:
        postgres.prepare(home, port, stack.fsync)
        found = postgres.start(home, run, log)
    return found


def _health(stack: Stack, name: str) -> str:
    if process.find(_run(stack.data), name) is None:
        return "down"
    port = _ports(stack)[name]
    if name == mosquitto.NAME:
        answers = mosquitto.answers(port, stack.mqtt_user, stack.mqtt_password)
    elif name == kafka.NAME:
        answers = kafka.answers(port)
    else:
        answers = postgres.answers(port)
    return "ok" if answers else "silent"


def _stop(data: Path, name: str) -> None:
    signals = {kafka.NAME: kafka.STOP_SIGNAL, postgres.NAME: postgres.STOP_SIGNAL}
    if found := process.find(_run(data), name):
        process.stop(found, signals.get(name, mosquitto.STOP_SIGNAL), STOPS_WITHIN_S)
    process.forget(_run(data), name)


def _ports(stack: Stack) -> dict[str, int]:
    return {
        mosquitto.NAME: port_of(stack.mqtt),
        kafka.NAME: port_of(stack.kafka),
        postgres.NAME: int(stack.postgres.rpartition("/")[0].rpartition(":")[2]),
    }


def _check_programs() -> None:
    mosquitto.program()
    kafka.java()
    kafka.jars()
    postgres.program("postgres")


def _check_ports(stack: Stack, running: set[str]) -> None:
    flags = {mosquitto.NAME: "mqtt", kafka.NAME: "kafka", postgres.NAME: "postgres"}
    for name, port in _ports(stack).items():
        if name not in running and not process.port_is_free(port):
            raise CannotRun(
                f"port {port} for {name} is in use by another program: stop it, or give --{flags[name]}-port"
            )


def _plan(data: Path, mqtt: int | None, kafka_: int | None, pg: int | None, fsync: bool) -> Stack:
    """What stood in stack.json, with the ports that were asked for; new where nothing stood."""
    picked = process.pick_ports(4)
    if _stack_file(data).exists():
        stack = _from_json(json.loads(_stack_file(data).read_text()))
        if not process.find(_run(data), kafka.NAME) and not process.port_is_free(
            port_of(stack.kafka_controller)
        ):
            stack = replace(stack, kafka_controller=f"127.0.0.1:{picked[3]}")
    else:
        stack = Stack(
            data=data,
            mqtt=f"127.0.0.1:{picked[0]}",
            kafka=f"127.0.0.1:{picked[1]}",
            postgres=postgres.dsn(picked[2]),
            mqtt_user=SERVICE_USER,
            mqtt_password=secrets.token_urlsafe(24),
            mqtt_log=_log(data, mosquitto.NAME),
            kafka_controller=f"127.0.0.1:{picked[3]}",
        )
    wanted = replace(
        stack,
        fsync=fsync,
        mqtt=f"127.0.0.1:{mqtt}" if mqtt else stack.mqtt,
        kafka=f"127.0.0.1:{kafka_}" if kafka_ else stack.kafka,
        postgres=postgres.dsn(pg) if pg else stack.postgres,
    )
    for name, port in _ports(wanted).items():
        if port != _ports(stack)[name] and process.find(_run(data), name):
            raise CannotRun(
                f"{name} runs on port {_ports(stack)[name]}: `cityvigil stack down --data {data}` first"
            )
    return wanted


def _save(stack: Stack) -> None:
    process.write_atomically(_stack_file(stack.data), json.dumps(asdict(stack), default=str, indent=1))


def _from_json(fields: dict[str, object]) -> Stack:
    stack = Stack(**fields)  # type: ignore[arg-type]  # written by _save
    return replace(stack, data=Path(stack.data), mqtt_log=Path(stack.mqtt_log))


def _in_parallel(work: Callable[[str], object], names: tuple[str, ...] | list[str]) -> list[object]:
    """Waits for all, then raises what the first one raised."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        futures = [pool.submit(work, name) for name in names]
    return [future.result() for future in futures]


@contextmanager
def _one_at_a_time(data: Path) -> Iterator[None]:
    """Two `stack up` at once would start everything twice."""
    with (data / "run" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_folders(data: Path) -> None:
    """Others may pass (PostgreSQL may have to run as another user) but neither list nor read."""
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o711)
    for folder in (_run(data), _log(data, "").parent, mosquitto_home(data)):
        folder.mkdir(mode=0o700, exist_ok=True)


def _stack_file(data: Path) -> Path:
    return data / "stack.json"


def _run(data: Path) -> Path:
    return data / "run"


def _log(data: Path, name: str) -> Path:
    return data / "log" / f"{name}.log"
