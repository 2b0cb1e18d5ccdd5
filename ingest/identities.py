"""Which gateway a sender is that does not log in: by what it calls itself in its frames.

A gateway of the registry says so itself (`identity`, "hj212/88888880000006"), or its id is the protocol and
the identity in lower case (`hj212-88888880000006`). Nobody becomes a gateway of another protocol by its
name: an account of the MQTT broker cannot be claimed by a line of text.
"""

from __future__ import annotations

import re

from schemas.registry import Registry

_NOT_IN_AN_ID = re.compile(r"[^a-z0-9]+")
ID_LIMIT = 64


def default_id(protocol: str, identity: str) -> str:
    """The gateway's id unless the registry says otherwise.

    >>> default_id("hj212", "0873HHMZWSLH02")
    'hj212-0873hhmzwslh02'
    """
    plain = _NOT_IN_AN_ID.sub("-", identity.lower()).strip("-")
    return f"{protocol}-{plain}"[:ID_LIMIT]


class Identities:
    """Looks into the registry as it is; the table of what gateways say of themselves is made again when the
    registry has changed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made_of = (-1, -1)
        self._said: dict[str, str] = {}

    def gateway_of(self, protocol: str, identity: str | None) -> str | None:
        """None if no gateway of the registry is called so."""
        if not identity:
            return None
        gateways = self._registry.gateways
        now = (self._registry.version, len(gateways))
        if now != self._made_of:
            self._made_of = now
            self._said = {
                entry.identity.lower(): entry.gateway for entry in gateways.values() if entry.identity
            }
        said = self._said.get(f"{protocol}/{identity}".lower())
        if said is not None:
            return said
        name = default_id(protocol, identity)
        return name if name in gateways else None
