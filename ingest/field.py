"""The listeners beside MQTT, as one thing that the service opens, runs and closes.

Which there are is a table of ports: a protocol that is not in it has no listener. It also knows the lines,
so a command for a gateway finds the one it is connected by.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from ingest.admission import Admission
from ingest.door import Door
from ingest.http import Pushes
from ingest.room import Room
from ingest.tcp import Line, Listener
from schemas.clock import CityClock

Serving = Callable[[ASGIApp], AbstractAsyncContextManager[int]]
"""Serves an application while the block runs; gives its port."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where to listen. A port of 0 is any free one; what is not named is not listened for."""

    host: str = "127.0.0.1"
    tcp: Mapping[str, int] = field(default_factory=dict)
    door: int | None = None
    """A second MQTT port, before the broker."""
    push: Serving | None = None
    push_secret: str = ""


NOWHERE = Ports()


class PortTaken(RuntimeError):
    """Something else listens where we should."""


class Field:
    """`told` is a file that says which ports are listened on, for `cityvigil status`."""

    def __init__(
        self,
        ports: Ports,
        admission: Admission,
        room: Room,
        clock: CityClock,
        now: Callable[[], int],
        told: Path,
        broker: str,
    ) -> None:
        self._host, self._told = ports.host, told
        self.ports: dict[str, int] = {}
        self._door = None if ports.door is None else Door(ports.host, ports.door, broker, room, now)
        self._push = ports.push
        if ports.push is not None:
            self._pushes = Pushes(ports.push_secret, admission=admission, room=room, clock=clock, now=now)
        self.listeners = {
            name: Listener(name, ports.host, port, admission=admission, room=room, clock=clock, now=now)
            for name, port in ports.tcp.items()
        }

    def line_of(self, gateway: str) -> Line | None:
        """The line that a gateway is connected by, if it is by one."""
        found = (listener.line_of(gateway) for listener in self.listeners.values())
        return next((line for line in found if line is not None), None)

    def tell(self, said: Callable[[str, str], None]) -> None:
        """Who hears what became of a command on a line: (gateway, word)."""
        for listener in self.listeners.values():
            listener.said = said

    async def open(self) -> list[Coroutine[Any, Any, None]]:
        """What to run, once everything listens. Raises PortTaken."""
        everything: list[tuple[str, Listener | Door]] = list(self.listeners.items())
        if self._door is not None:
            everything.append(("mqtt", self._door))
        servers: list[tuple[Listener | Door, asyncio.Server]] = []
        for name, one in everything:
            try:
                servers.append((one, await one.open()))
            except OSError as error:
                for _, server in servers:
                    server.close()
                raise PortTaken(
                    f"cannot listen for {name} on {one.host}:{one.port}: {error.strerror}"
                ) from None
        self.ports = {name: one.port for name, one in everything}
        self._tell()
        running = [one.run(server) for one, server in servers]
        if self._push is not None:
            running.append(self._serve(self._push))
        return running

    def _tell(self) -> None:
        where = {name: f"{self._host}:{port}" for name, port in self.ports.items()}
        self._told.parent.mkdir(parents=True, exist_ok=True)
        new = self._told.with_suffix(".new")
        new.write_text(json.dumps(where))
        new.replace(self._told)

    async def _serve(self, push: Serving) -> None:
        async with push(self._pushes.app()) as port:
            self.ports["push"] = port
            self._tell()
            await asyncio.Event().wait()
