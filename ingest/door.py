"""A second MQTT port before the broker, for clients whose topics do not say who they are (ThingsBoard,
SensorThings).

Each connection is passed on to the broker with its topics put below its gateway's
(`connections/mqtt_rewriting.py`); the broker still says who may log in and what is acknowledged. Bounded: a
log-in within seconds, packets of 1 MiB, a pace, a number of connections; each side is read as fast as the
other takes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from prometheus_client import Counter, Gauge

from ingest.connections.mqtt_rewriting import NotMqtt, Packets, Rewriting
from ingest.connections.pace import Pace
from ingest.room import Room

log = logging.getLogger(__name__)

READ_BYTES = 64 << 10
LOGIN_WITHIN_S = 10.0
WRITE_WITHIN_S = 30.0
MOST_CONNECTIONS = 10_000
BYTES_A_SECOND, BURST_BYTES = 1 << 20, 4 << 20

CONNECTIONS = Gauge("cityvigil_ingest_door_connections", "connections through the MQTT door")
REFUSED = Counter("cityvigil_ingest_door_refused_total", "connections that were no MQTT, or too many")


class Door:
    """Listens on `host:port` for the broker at `broker`."""

    def __init__(self, host: str, port: int, broker: str, room: Room, now: Callable[[], int]) -> None:
        self.host, self.port = host, port
        name, _, number = broker.rpartition(":")
        self._broker = name, int(number)
        self._room, self._now = room, now
        self._open: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self) -> asyncio.Server:
        """Listens. Raises OSError where it cannot."""
        server = await asyncio.start_server(self._serve, self.host, self.port, limit=READ_BYTES)
        self.port = int(server.sockets[0].getsockname()[1])
        return server

    async def run(self, server: asyncio.Server) -> None:
        """Until cancelled. Raises what a connection could not expect."""
        try:
            await self._failed
        finally:
            server.close()
            for task in self._open:
                task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served in a task of its own"
        if len(self._open) >= MOST_CONNECTIONS:
            REFUSED.inc()
            writer.close()
            return
        self._open.add(task)
        CONNECTIONS.inc()
        try:
            await self._pass(reader, writer)
        except NotMqtt as error:
            REFUSED.inc()
            log.info("door: %s: %s", writer.get_extra_info("peername"), error)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # one of the sides is gone, or we stop
        except Exception as error:
            if not self._failed.done():
                self._failed.set_exception(error)
        finally:
            self._open.discard(task)
            CONNECTIONS.dec()
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rewriting, packets = Rewriting(), Packets()
        first: list[bytes] = []
        async with asyncio.timeout(LOGIN_WITHIN_S):
            while not first:
                data = await reader.read(READ_BYTES)
                if not data:
                    return
                first = [rewriting.up(*one) for one in packets.feed(data)]
        inner_reader, inner_writer = await asyncio.open_connection(*self._broker)
        try:
            inner_writer.writelines(first)
            ways = [
                asyncio.ensure_future(self._up(reader, inner_writer, rewriting, packets)),
                asyncio.ensure_future(self._down(inner_reader, writer, rewriting)),
            ]
            try:
                done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in done:
                    way.result()
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            inner_writer.close()

    async def _up(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        rewriting: Rewriting,
        packets: Packets,
    ) -> None:
        pace = Pace(BYTES_A_SECOND, BURST_BYTES)
        while True:
            await self._room.wait()
            data = await reader.read(READ_BYTES)
            if not data:
                return
            for first, body in packets.feed(data):
                writer.write(rewriting.up(first, body))
            async with asyncio.timeout(WRITE_WITHIN_S):
                await writer.drain()
            await asyncio.sleep(pace.wait_s(len(data), self._now()))

    async def _down(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rewriting: Rewriting
    ) -> None:
        packets = Packets()
        while data := await reader.read(READ_BYTES):
            for first, body in packets.feed(data):
                writer.write(rewriting.down(first, body))
            async with asyncio.timeout(WRITE_WITHIN_S):
                await writer.drain()
