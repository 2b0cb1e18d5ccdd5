"""Pushes over HTTP: CTWing (China Telecom), OneNET (China Mobile), and what cameras' analytics saw.

    POST /push/ctwing/SECRET      reports as JSON; the secret in the address is the proof
    GET, POST /push/onenet        the address check and reports, signed base64(md5(token + nonce + msg))
    POST /push/video              events; HTTP Basic, a gateway and the password that the registry has for it

200 only when Kafka has the report or its rejection; 503 while Kafka is slow, so that the platform sends
again. A body has a limit in bytes and in time. It serves no page and tells a stranger nothing; who may
reach it over TLS is for the settings or a proxy to say.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import secrets
from collections.abc import Callable, Sequence

import msgspec
from prometheus_client import Counter
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ingest.admission import Admission, Arrival
from ingest.formats import ctwing, onenet, video
from ingest.formats.enclosed import enclosed
from ingest.formats.result import Item
from ingest.room import Room
from schemas.clock import CityClock

log = logging.getLogger(__name__)

BODY_BYTES = 1 << 20
BODY_WITHIN_S = 20.0
STORED_WITHIN_S = 10.0
RETRY_AFTER_S = "5"

PUSHES = Counter("cityvigil_ingest_pushes_total", "pushes over HTTP, by answer", ["platform", "status"])


class _Signed(msgspec.Struct):
    """OneNET's envelope. `msg` keeps the bytes that were signed."""

    msg: msgspec.Raw
    nonce: str = ""
    signature: str | None = None
    msg_signature: str | None = None


_signed = msgspec.json.Decoder(_Signed)


def signature(token: str, nonce: str, msg: str) -> str:
    """As OneNET signs.

    >>> signature("token", "abcd", "hello")
    'QjBcsElk2JNU8e3o+OhreA=='
    """
    digest = hashlib.md5(f"{token}{nonce}{msg}".encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


class Pushes:
    """The routes and what stands behind them. `secret` is OneNET's token and the end of CTWing's address."""

    def __init__(
        self, secret: str, *, admission: Admission, room: Room, clock: CityClock, now: Callable[[], int]
    ) -> None:
        if len(secret) < 16:
            raise ValueError("expected a secret of at least 16 characters")
        self._secret = secret
        self._admission, self._room, self._clock, self._now = admission, room, clock, now

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/push/ctwing/{secret}", self._ctwing, methods=["POST"]),
                Route("/push/onenet", self._onenet_check, methods=["GET"]),
                Route("/push/onenet", self._onenet, methods=["POST"]),
                Route("/push/video", self._video, methods=["POST"]),
            ]
        )

    async def _ctwing(self, request: Request) -> Response:
        if not self._is_secret(str(request.path_params["secret"])):
            return _said("ctwing", 403)
        body = await _body(request)
        if isinstance(body, Response):
            return body
        city_us = self._clock.city_us(self._now())
        return await self._store("ctwing", request, body, ctwing.decode(body, None, city_us, enclosed))

    async def _onenet_check(self, request: Request) -> Response:
        """What the platform asks when the address is entered there: `msg` back, if the token is right."""
        asked = request.query_params
        msg, nonce = asked.get("msg", ""), asked.get("nonce", "")
        if not self._is_signed(asked.get("signature", "").replace(" ", "+"), nonce, msg):
            return _said("onenet", 403)
        return PlainTextResponse(msg[:1_000])

    async def _onenet(self, request: Request) -> Response:
        body = await _body(request)
        if isinstance(body, Response):
            return body
        try:
            came = _signed.decode(body)
            msg = bytes(came.msg).decode()
            if msg.startswith('"'):
                msg = msgspec.json.decode(came.msg, type=str)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _said("onenet", 400)
        if not self._is_signed(came.signature or came.msg_signature or "", came.nonce, msg):
            return _said("onenet", 403)
        return await self._store("onenet", request, body, onenet.decode(body, None, self._now()))

    async def _video(self, request: Request) -> Response:
        gateway, password = _basic(request.headers.get("authorization", ""))
        if not self._admission.lets_in(gateway, password):
            return _said("video", 401)
        body = await _body(request)
        if isinstance(body, Response):
            return body
        items = video.decode(body, None, self._clock.city_us(self._now()))
        return await self._store("video", request, body, items, gateway)

    async def _store(
        self,
        platform: str,
        request: Request,
        body: bytes,
        items: Sequence[Item],
        gateway: str | None = None,
    ) -> Response:
        """`gateway` where the push itself has proven whose it is."""
        if self._room.is_full:
            return _said(platform, 503)
        sender = f"{platform}/{request.client.host if request.client else 'unknown'}"
        came = Arrival(platform, items, body, f"http/{platform}", sender, self._now(), gateway)
        admitted = self._admission.admit(came)
        try:
            async with asyncio.timeout(STORED_WITHIN_S):
                await asyncio.shield(admitted.stored)
        except TimeoutError:
            return _said(platform, 503)  # it goes on; what comes again is known by what it says
        return _said(platform, 200)

    def _is_secret(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._secret.encode())

    def _is_signed(self, given: str, nonce: str, msg: str) -> bool:
        return secrets.compare_digest(given.encode(), signature(self._secret, nonce, msg).encode())


def _basic(header: str) -> tuple[str, str]:
    """User and password of HTTP Basic; empty where there is none."""
    scheme, _, said = header.partition(" ")
    try:
        user, _, password = (
            base64.b64decode(said if scheme.lower() == "basic" else "").decode().partition(":")
        )
    except ValueError:
        return "", ""
    return user, password


async def _body(request: Request) -> bytes | Response:
    """The whole body, or the answer to one that is too long, too slow or broken off."""
    platform = request.url.path.split("/")[2]
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > BODY_BYTES:
                    return _said(platform, 413)
                chunks.append(chunk)
    except TimeoutError:
        return _said(platform, 408)
    except ClientDisconnect:
        return _said(platform, 400)
    return b"".join(chunks)


def _said(platform: str, status: int) -> Response:
    PUSHES.labels(platform, str(status)).inc()
    headers = {"Retry-After": RETRY_AFTER_S} if status == 503 else {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="cityvigil"'
    if status in (408, 413):
        headers["Connection"] = "close"
    return Response(status_code=status, headers=headers)
