"""The listeners beside MQTT, as one thing that the service opens, runs and closes.

Which there are is a table of ports: a protocol that is not in it has no listener. It also knows the lines,
so a command for a gateway finds the one it is connected by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from ingest.admission import Admission
from ingest.room import Room
from ingest.tcp import Listener
from schemas.clock import CityClock


@dataclass(frozen=True, slots=True)
class Ports:
    """Where to listen. A port of 0 is any free one; what is not named is not listened for."""

    host: str = "127.0.0.1"
    tcp: Mapping[str, int] = field(default_factory=dict)


NOWHERE = Ports()


class PortTaken(RuntimeError):
    """Something else listens where we should."""


class Field:
    def __init__(
        self, ports: Ports, admission: Admission, room: Room, clock: CityClock, now: Callable[[], int]
    ) -> None:
        self.listeners = {
            name: Listener(name, ports.host, port, admission=admission, room=room, clock=clock, now=now)
            for name, port in ports.tcp.items()
        }

    @property
    def ports(self) -> dict[str, int]:
        """The ports that are listened on."""
        return {name: one.port for name, one in self.listeners.items()}

    async def open(self) -> list[Coroutine[Any, Any, None]]:
        """What to run, once everything listens. Raises PortTaken."""
        servers: list[tuple[Listener, asyncio.Server]] = []
        for one in self.listeners.values():
            try:
                servers.append((one, await one.open()))
            except OSError as error:
                for _, server in servers:
                    server.close()
                raise PortTaken(
                    f"cannot listen for {one.protocol} on {one.host}:{one.port}: {error.strerror}"
                ) from None
        return [one.run(server) for one, server in servers]
