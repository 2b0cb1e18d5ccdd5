"""How each service is built from its settings: the verbs that compose and `up` start.

A builder imports only its own edge, so a worker does not carry the console's templates. Resources it
opens are closed, in the reverse order, when the service has ended.
"""

from __future__ import annotations

import functools
import json
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from cityvigil import health
from cityvigil.errors import CannotRun
from cityvigil.http_server import serving
from cityvigil.wiring import Builder, Explained, Service, now_us
from schemas.settings import Settings

if TYPE_CHECKING:
    from ingest.field import Ports

PUSHES_AT_ONCE = 256


async def _ingest(settings: Settings, resources: AsyncExitStack) -> Service:
    from ingest.disk import none_watched, share_used
    from ingest.field import PortTaken
    from ingest.mqtt import TakenOver
    from ingest.service import Ingest
    from ingest.tail import ClockDiffers

    service = Ingest(
        mqtt=settings.mqtt,
        mqtt_user=settings.mqtt_user,
        mqtt_password=settings.mqtt_password,
        kafka=settings.kafka,
        clock=settings.clock,
        partitions=settings.partitions,
        data=settings.data,
        mqtt_log=settings.mqtt_log,
        now=now_us,
        ingest=f"ingest-{settings.worker}",
        ports=_ports(settings),
        disk_used=functools.partial(share_used, settings.kafka_disk) if settings.kafka_disk else none_watched,
        disk_limit=settings.kafka_disk_limit,
        reorder_us=round(settings.sparkplug_reorder_s * 1e6),
    )
    return Explained(service, (TakenOver, ClockDiffers, PortTaken))


def _ports(settings: Settings) -> Ports:
    """Where ingest listens beside the broker. Raises CannotRun for a push without a proof."""
    from ingest.field import Ports

    tcp = {"hj212": settings.hj212_port, "gb26875": settings.gb26875_port, "sl651": settings.sl651_port}
    push = functools.partial(
        serving,
        host=settings.field_host,
        port=settings.push_port,
        certificate=settings.push_certificate,
        key=settings.push_key,
        most_at_once=PUSHES_AT_ONCE,
    )
    if settings.push_port and len(settings.push_secret) < 16:
        raise CannotRun("CITYVIGIL_PUSH_PORT is set: CITYVIGIL_PUSH_SECRET needs at least 16 characters")
    return Ports(
        host=settings.field_host,
        tcp={name: port for name, port in tcp.items() if port},
        door=settings.door_port or None,
        push=push if settings.push_port else None,
        push_secret=settings.push_secret,
    )


async def _detect(settings: Settings, resources: AsyncExitStack) -> Service:
    from streams.company import NotAlone
    from streams.detect import Detect
    from streams.places import NoPlace

    service = Detect(
        kafka=settings.kafka,
        snapshots=settings.snapshots or str(settings.data / "detect"),
        shared=settings.snapshots_shared,
        worker=settings.worker,
        now_us=now_us,
    )
    return Explained(service, (NotAlone, NoPlace))


async def _record(settings: Settings, resources: AsyncExitStack) -> Service:
    from streams.record import Record

    return Record(kafka=settings.kafka, postgres=settings.postgres, clock=settings.clock, wall_us=now_us)


async def _dispatch(settings: Settings, resources: AsyncExitStack) -> Service:
    from detectors.correlation import linked
    from dispatch.worker import Dispatch

    return Dispatch(
        kafka=settings.kafka,
        postgres=settings.postgres,
        linked=linked,
        now_us=now_us,
        webhook=settings.webhook,
        journal=settings.data / "bypass",
        clock=settings.clock,
    )


async def _bypass(settings: Settings, resources: AsyncExitStack) -> Service:
    from dispatch.bypass import Bypass

    return Bypass(
        kafka=settings.kafka,
        postgres=settings.postgres,
        folder=settings.data / "bypass",
        now_us=now_us,
        webhook=settings.webhook,
    )


async def _console(settings: Settings, resources: AsyncExitStack) -> Service:
    from psycopg_pool import AsyncConnectionPool

    from cityvigil import trust
    from cityvigil.detect_state import cluster_of, snapshots_at
    from cityvigil.guarding import Guarding
    from cityvigil.registrar import Registrar
    from dispatch.console.desk import Desk
    from dispatch.console.service import Console
    from dispatch.people import People
    from dispatch.store import Store
    from dispatch.video import Video
    from streams.devices import Devices
    from streams.frame_ledger import FrameLedger
    from streams.history import History

    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        settings.postgres, min_size=2, max_size=10, open=False
    )
    await resources.enter_async_context(pool)
    state = settings.snapshots or str(settings.data / "detect")
    guarding = Guarding(functools.partial(snapshots_at, state, await cluster_of(settings.kafka)))
    source = await resources.enter_async_context(
        trust.opened(settings.kafka, pool, settings.partitions, now_us, guarding)
    )
    lock = settings.data / "registry.lock"
    registrar = Registrar(settings.kafka, source.registry, settings.partitions, lock)
    desk = Desk(
        store=Store(pool),
        people=People(pool),
        history=History(pool),
        clock=settings.clock,
        now=now_us,
        trust=source.trust,
        rules=source.rules,
        devices=Devices(pool),
        video=Video(pool, time.time),
        classify=registrar.classify,
        ledger=FrameLedger(pool),
        guard=lambda: guarding.picture,
    )
    console = Console(
        desk,
        dsn=settings.postgres,
        serving=functools.partial(
            serving, host=settings.http_host, port=settings.http_port, proxy_headers=False
        ),
        routes=health.routes("console", lambda: console.not_ready()),
    )
    return console


def _addresses(settings: Settings) -> dict[str, str]:
    """Where simulated gateways find the listeners beside the broker."""
    host, scheme = settings.field_host, "https" if settings.push_certificate else "http"
    ports = {"hj212": settings.hj212_port, "gb26875": settings.gb26875_port, "sl651": settings.sl651_port}
    found = {name: f"{host}:{port}" for name, port in ports.items() if port}
    if settings.push_port:
        found["push"] = f"{scheme}://{host}:{settings.push_port}/push/"
        found["push_secret"] = settings.push_secret
    return found


async def _simulate(settings: Settings, resources: AsyncExitStack) -> Service:
    from simulators import scenario
    from simulators.service import Simulate

    try:
        found = scenario.load(settings.scenario).with_seed(settings.seed)
        credentials = json.loads((settings.data / "simulators.json").read_text())
    except scenario.ScenarioError as error:
        raise CannotRun(f"CITYVIGIL_SCENARIO: {error}") from None
    except FileNotFoundError as error:
        raise CannotRun(
            f"no credentials of gateways in {error.filename}: `cityvigil up` makes them"
        ) from None
    return Simulate(
        mqtt=settings.mqtt,
        credentials=credentials,
        scenario=found,
        clock=settings.clock,
        now=now_us,
        truth_file=settings.data / "truth.jsonl",
        addresses=_addresses(settings),
    )


BUILDERS: dict[str, Builder] = {
    "ingest": _ingest,
    "detect": _detect,
    "record": _record,
    "dispatch": _dispatch,
    "bypass": _bypass,
    "console": _console,
    "simulate": _simulate,
}
