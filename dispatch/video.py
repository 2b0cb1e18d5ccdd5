"""Video beside an alert: which cameras see it, signed addresses of their pictures, and who looked.

No picture is stored: one is fetched from the camera when somebody looks, and every look is written down
before it is shown. An address names user, camera and case, ends after some minutes and cannot be made without
the key of this installation. Cameras are kept in memory and read again when an import has changed them.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import hmac
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from dispatch.sight import Sight

LASTS_S = 300
PICTURE_MAX_BYTES = 4 * 2**20
PICTURE_WITHIN_S = 5.0
PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif")
LOOK_AGAIN_S = 5.0


class NoPicture(Exception):
    """The camera gave none; the message says why."""


@dataclass(frozen=True, slots=True)
class Picture:
    content: bytes
    media: str


class Video:
    """`now_s` is wall time in seconds."""

    def __init__(self, pool: AsyncConnectionPool[Any], now_s: Callable[[], float]) -> None:
        self._pool, self._now = pool, now_s
        self._key: bytes | None = None
        self._cameras: list[dict[str, Any]] = []
        self._sight = Sight([], [], [], [], [])
        self._version, self._looked = -1, -math.inf
        self._reading = asyncio.Lock()

    async def near(self, lon: float, lat: float, limit: int = 4) -> list[dict[str, Any]]:
        """The cameras in service that can see a place, nearest first, with `distance_m`."""
        await self._follow()
        found = self._sight.seeing(lon, lat, limit)
        return [{**self._cameras[one.camera], "distance_m": one.distance_m} for one in found]

    async def camera(self, camera: str) -> Mapping[str, Any] | None:
        rows = await self._rows(
            "select c.*, z.district from cameras c left join zones z using (zone) where c.camera = %s",
            [camera],
        )
        return rows[0] if rows else None

    async def cameras(
        self, *, q: str | None, zone: str | None, districts: frozenset[str], after: str, limit: int
    ) -> Sequence[Mapping[str, Any]]:
        """By id, beyond `after`."""
        like = "%" + "".join(f"\\{sign}" if sign in "\\%_" else sign for sign in q) + "%" if q else None
        return await self._rows(
            "select c.* from cameras c left join zones z using (zone) where c.camera > %(after)s"
            " and (%(q)s::text is null or c.camera ilike %(q)s or c.name ilike %(q)s or c.owner ilike %(q)s)"
            " and (%(zone)s::text is null or c.zone = %(zone)s)"
            " and (%(districts)s::text[] is null or z.district = any(%(districts)s))"
            " order by c.camera limit %(limit)s",
            {"after": after, "q": like, "zone": zone, "districts": list(districts) or None, "limit": limit},
        )

    async def signed(self, camera: str, user: str, case_id: str, what: str = "snapshot") -> str:
        """The address of a picture (or stream) for one user, for some minutes; the same within one of them,
        so that a page that is renewed does not blink."""
        until = (int(self._now()) // 60 * 60) + LASTS_S
        proof = await self._proof(camera, user, case_id, what, until)
        return f"/cameras/{camera}/{what}?{urlencode({'until': until, 'case': case_id, 'proof': proof})}"

    async def is_signed(
        self, camera: str, user: str, case_id: str, what: str, until: int, proof: str
    ) -> bool:
        if until < self._now():
            return False
        return hmac.compare_digest(proof, await self._proof(camera, user, case_id, what, until))

    async def looked(self, camera: str, user: str, case_id: str, what: str, outcome: str) -> None:
        """Writes down who looked."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "insert into camera_access (at, actor, camera, what, case_id, outcome)"
                " values (%s, %s, %s, %s, %s, %s)",
                [
                    dt.datetime.fromtimestamp(self._now(), dt.UTC),
                    user,
                    camera,
                    what,
                    case_id or None,
                    outcome,
                ],
            )

    async def looks(self, camera: str, limit: int = 20) -> Sequence[Mapping[str, Any]]:
        """Who looked last."""
        return await self._rows(
            "select * from camera_access where camera = %s order by id desc limit %s", [camera, limit]
        )

    async def _proof(self, camera: str, user: str, case_id: str, what: str, until: int) -> str:
        content = "\n".join((camera, user, case_id, what, str(until))).encode()
        return hmac.new(await self._signing_key(), content, hashlib.sha256).hexdigest()

    async def _signing_key(self) -> bytes:
        if self._key is None:
            async with self._pool.connection() as connection:
                await connection.execute(
                    "insert into console_keys values ('camera', %s) on conflict do nothing",
                    [secrets.token_bytes(32)],
                )
            (row,) = await self._rows("select key from console_keys where name = 'camera'", [])
            self._key = bytes(row["key"])
        return self._key

    async def _follow(self) -> None:
        """Reads the cameras again when an import has changed them."""
        async with self._reading:
            if self._now() - self._looked < LOOK_AGAIN_S:
                return
            (row,) = await self._rows("select version from cameras_version", [])
            if row["version"] != self._version:
                cameras = await self._rows(
                    "select camera, name, lon, lat, bearing, angle, range_m, owner,"
                    " snapshot is not null as shows from cameras"
                    " where state = 'in-service' and lon is not null and lat is not null",
                    [],
                )
                columns = ("lon", "lat", "bearing", "angle", "range_m")
                given = [[_number(camera[name]) for camera in cameras] for name in columns]
                self._sight = await asyncio.to_thread(Sight, *given)
                self._cameras, self._version = cameras, row["version"]
            self._looked = self._now()

    async def _rows(self, query: str, values: Any) -> list[dict[str, Any]]:
        async with (
            self._pool.connection() as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            await cursor.execute(query.encode(), values)
            return list(await cursor.fetchall())


async def picture_of(address: str) -> Picture:
    """What a camera shows now. Raises NoPicture."""
    try:
        async with (
            asyncio.timeout(PICTURE_WITHIN_S),
            httpx.AsyncClient(timeout=PICTURE_WITHIN_S) as client,
            client.stream("GET", address) as answer,
        ):
            media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            if answer.status_code != 200 or media not in PICTURES:
                raise NoPicture(f"{answer.status_code} {media or 'of no type'}")
            content = bytearray()
            async for piece in answer.aiter_bytes():
                content += piece
                if len(content) > PICTURE_MAX_BYTES:
                    raise NoPicture(f"more than {PICTURE_MAX_BYTES // 2**20} MiB")
            return Picture(bytes(content), media)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise NoPicture(type(error).__name__) from None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
