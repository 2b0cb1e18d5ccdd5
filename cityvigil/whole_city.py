"""The whole city on one machine, from brokers to simulators: what `up` and `demo` share.

Services start first and the simulators when all of them are ready, so that the first minute is not spent
catching up. Brokers that ran before are left running at the end; those started here are stopped.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cityvigil import broker_keeper, city_clock, compacted, demo_cameras, gateways, one_city, process, stack
from cityvigil.errors import CannotRun
from cityvigil.http_server import bind
from cityvigil.migrate import migrate
from cityvigil.registry_topic import import_registry, read_registry
from cityvigil.supervisor import Child, Supervisor, end_left_behind, log_file, state_file
from cityvigil.wiring import now_us, settings_from_environ
from schemas import topics
from schemas.clock import CityClock
from schemas.settings import Settings
from simulators.protocols.fleet import registered
from simulators.scenario import Scenario

log = logging.getLogger(__name__)

PARTITIONS = "CITYVIGIL_PARTITIONS"
SERVICES = ("ingest", "detect", "record", "dispatch", "bypass", "console")
READY_WITHIN_S = 240.0
SENSORS_READ_S = 200.0
"""So many more sensors may take a second more: each service reads the registry, on one machine."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to bring up. Without a scenario there are no simulators and city time is wall time."""

    data: Path
    console_port: int
    scenario: Scenario | None
    scenario_name: str = ""
    judgement_live: bool = False
    postgres: str | None = None
    """Another database than the stack's."""
    detect_workers: int = 1
    simulators: bool = True
    """Whether a scenario's simulators are started too; whoever plays it himself says no."""


@dataclass(frozen=True, slots=True)
class WholeCity:
    """A city that runs."""

    data: Path
    stack: stack.Stack
    clock: CityClock
    console: str
    supervisor: Supervisor
    settings: Settings
    environ: Mapping[str, str]
    """What every service was told."""


@asynccontextmanager
async def running(plan: Plan) -> AsyncIterator[WholeCity]:
    """Everything up and ready; everything that was started here is ended afterwards. Raises CannotRun, also
    while another city runs in the folder."""
    with one_city.held(plan.data):
        await asyncio.to_thread(end_left_behind, plan.data)
        bind("127.0.0.1", plan.console_port).close()
        async with _running(plan) as city:
            yield city


@asynccontextmanager
async def _running(plan: Plan) -> AsyncIterator[WholeCity]:
    ran_before = _runs(plan.data)
    found = await asyncio.to_thread(stack.up, plan.data)
    try:
        clock = city_clock.settle(plan.data, plan.scenario.scale if plan.scenario else 1.0, now_us())
        environ = stack.environment(found) | {"CITYVIGIL_CLOCK": str(clock)} | _disk(plan.data)
        environ |= {"CITYVIGIL_POSTGRES": plan.postgres} if plan.postgres else {}
        if plan.scenario:
            environ |= field_ports() | {
                "CITYVIGIL_SCENARIO": plan.scenario_name,
                "CITYVIGIL_SEED": str(plan.scenario.seed),
            }
        environ = await as_wide_as_its_log(environ, os.environ)
        settings = settings_from_environ(environ)
        if not 1 <= plan.detect_workers <= settings.partitions:
            raise CannotRun(
                f"expected 1 to {settings.partitions} detect workers, a partition each at least,"
                f" got {plan.detect_workers}"
            )
        await migrate(settings, judgement_live=plan.judgement_live)
        sensors = 0
        if plan.scenario:
            sensors = await enter(plan.scenario, plan.data, settings)
            # A simulator that is killed goes on with its faults; a city that is started anew has new ones.
            (plan.data / "truth.jsonl").unlink(missing_ok=True)
        supervisor = Supervisor(plan.data)
        keeping = asyncio.create_task(broker_keeper.keep_alive(plan.data), name="brokers")
        try:
            children = _children(environ, plan.console_port, plan.detect_workers)
            for child in children:
                supervisor.keep(child)
            console = f"http://127.0.0.1:{plan.console_port}"
            await _until_ready(plan.data, len(children), sensors)
            if plan.scenario and plan.simulators:
                port = process.pick_ports(1)[0]
                city = plan.scenario
                await asyncio.to_thread(
                    demo_cameras.enter, settings.postgres, city.city().zones, port, city.seed, city.cameras
                )
                supervisor.keep(Child("simulate", ["simulate"], environ | _health(port), port))
            yield WholeCity(plan.data, found, clock, console, supervisor, settings, environ)
        finally:
            await supervisor.end()
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
    finally:
        if not ran_before:
            await asyncio.to_thread(stack.down, plan.data)


async def as_wide_as_its_log(environ: Mapping[str, str], asked: Mapping[str, str]) -> dict[str, str]:
    """`environ` with the partitions that are asked for, and never fewer than the log has: it cannot be made
    narrower, and services that read less of it would put gateways elsewhere."""
    wanted = {**environ, PARTITIONS: asked[PARTITIONS]} if PARTITIONS in asked else dict(environ)
    settings = settings_from_environ(wanted)
    there = await compacted.partitions_of(settings.kafka, topics.READINGS)
    if PARTITIONS in asked and there > settings.partitions:
        log.warning("%s=%d: the log has %d partitions, which stay", PARTITIONS, settings.partitions, there)
    return wanted | {PARTITIONS: str(max(settings.partitions, there))}


def status(data: Path) -> dict[str, object]:
    """The stack's fields, the supervised services beside the brokers, and the console's address."""
    result = stack.status(data)
    rows = _supervised(data)
    brokers = result["services"]
    assert isinstance(brokers, list)
    result["services"] = brokers + [
        {"name": row["name"], "pid": row["pid"], "health": _ready(row) or "ok"} for row in rows
    ]
    result["console"] = next((_address(row) for row in rows if row["name"] == "console"), None)
    return result


async def enter(scenario: Scenario, data: Path, settings: Settings) -> int:
    """Registers the scenario's city, and gives each of its gateways a credential that simulators find; how
    many sensors it has."""
    city = scenario.city()
    path = data / "simulators.json"
    secrets_of: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = {g.gateway: g.zone for g in city.gateways if g.gateway not in secrets_of}
    if missing:
        secrets_of |= await asyncio.to_thread(gateways.add_many, data, missing)
        process.write_atomically(path, json.dumps(secrets_of))
    known = await read_registry(settings.kafka)
    if any(gateway.gateway not in known.gateways for gateway in city.gateways):
        await import_registry(
            settings.kafka,
            zones=city.zones,
            gateways=registered(city, secrets_of),
            sensors=city.sensors,
            partitions=settings.partitions,
            by=f"scenario {scenario.name}",
        )
    return len(city.sensors)


def detect_worker(environ: Mapping[str, str], number: int) -> Child:
    """One of several workers; its number is its place in the group, the same after a restart."""
    port = process.pick_ports(1)[0]
    name = "detect" if number == 1 else f"detect-{number}"
    own = {"CITYVIGIL_WORKER": str(number), "CITYVIGIL_SNAPSHOTS_SHARED": "yes"}  # one machine, one folder
    return Child(name, ["detect"], {**environ, **own, **_health(port)}, port)


def _children(environ: dict[str, str], console_port: int, detect_workers: int) -> list[Child]:
    children = []
    for name in SERVICES:
        if name == "detect":
            children += [detect_worker(environ, number + 1) for number in range(detect_workers)]
            continue
        port = console_port if name == "console" else process.pick_ports(1)[0]
        children.append(Child(name, [name], environ | _health(port), port))
    return children


async def _until_ready(data: Path, services: int, sensors: int = 0) -> None:
    """Raises CannotRun, naming the first service that is not ready in time and where its log is."""
    deadline = time.monotonic() + READY_WITHIN_S + sensors / SENSORS_READ_S
    while True:
        rows = await asyncio.to_thread(_supervised, data)
        waiting = [(row["name"], why) for row in rows if (why := await asyncio.to_thread(_ready, row))]
        if len(rows) == services and not waiting:
            return
        if time.monotonic() > deadline:
            name, why = waiting[0] if waiting else ("a service", "did not start")
            raise CannotRun(f"{name} is not ready: {why}; read {log_file(data, name)}")
        await asyncio.sleep(0.1)


def _supervised(data: Path) -> list[dict[str, Any]]:
    path = state_file(data)
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(path.read_text())["services"]
    return rows


def _ready(row: dict[str, Any]) -> str | None:
    """Why a service is not ready; None when it is."""
    try:
        answer = httpx.get(f"{_address(row)}/readyz", timeout=2)
    except httpx.HTTPError:
        return "no answer"
    return None if answer.status_code == 200 else str(answer.json().get("reason", answer.text))


def _address(row: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{row['port']}"


def field_ports() -> dict[str, str]:
    """What tells ingest to listen on free ports for every protocol: a simulated gateway may speak any."""
    names = ("HJ212", "GB26875", "SL651", "DOOR", "PUSH")
    ports = zip(names, process.pick_ports(len(names)), strict=True)
    return {f"CITYVIGIL_{name}_PORT": str(port) for name, port in ports} | {
        "CITYVIGIL_PUSH_SECRET": secrets.token_urlsafe(24)
    }


def _health(port: int) -> dict[str, str]:
    return {"CITYVIGIL_HTTP_PORT": str(port)}


def _disk(data: Path) -> dict[str, str]:
    """Kafka's, to be watched. A machine of one's own holds more than a city, so it may be fuller."""
    limit = os.environ.get("CITYVIGIL_KAFKA_DISK_LIMIT", "0.95")
    return {"CITYVIGIL_KAFKA_DISK": str(data), "CITYVIGIL_KAFKA_DISK_LIMIT": limit}


def _runs(data: Path) -> bool:
    try:
        stack.load(data)
    except CannotRun:
        return False
    return True


def service_pids(data: Path) -> list[int]:
    """The services as they run now; the supervisor restarts them under new numbers."""
    return [int(row["pid"]) for row in _supervised(data) if row["pid"]]


def broker_pids(data: Path) -> list[int]:
    """The brokers' processes, without their children."""
    rows: Any = stack.status(data)["services"]
    return [int(row["pid"]) for row in rows if row["pid"]]
