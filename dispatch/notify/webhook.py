"""The webhook channel: a notice is posted as JSON to one address, with its key in `Idempotency-Key`.

An answer of 2xx is delivered. No connection, no answer in time, 408, 425, 429 and 5xx are worth another
try; any other answer says that this notice will never be taken. Redirects are not followed: notices
name places and people, and go only where the operator said.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

import httpx

from dispatch.notify.channel import Failed, Outgoing

_AGAIN = frozenset({408, 425, 429})


class Webhook:
    """An async context manager: holds connections open between notices."""

    name = "webhook"

    def __init__(self, address: str, timeout_s: float = 10.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(timeout=timeout_s, headers={"User-Agent": "cityvigil"})

    async def __aenter__(self) -> Webhook:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def send(self, notice: Outgoing) -> Failed | None:
        headers = {"Idempotency-Key": notice.key}
        body = {**notice.payload, "key": notice.key, "attempt": notice.attempt}
        try:
            async with asyncio.timeout(self._timeout_s):  # httpx's own is per phase
                answer = await self._client.post(self._address, json=body, headers=headers)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            return Failed(f"{self._address}: {error}", retry=False)
        except TimeoutError:
            return Failed(f"{self._address}: no answer in {self._timeout_s:g} s", retry=True)
        except httpx.TransportError as error:
            return Failed(f"{self._address}: {type(error).__name__} {error}".rstrip(), retry=True)
        if answer.is_success:
            return None
        again = answer.status_code in _AGAIN or answer.is_server_error
        return Failed(f"{self._address} answered {answer.status_code}", retry=again)
