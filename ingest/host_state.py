"""What Sparkplug 3.0 has a host application say of itself: `spBv1.0/STATE/cityvigil`, retained.

Online once the session hears everything that edge nodes say, with the time of the connection; offline as
the connection's will, with the same time, and at an orderly end, with its own. Who says that we are offline
while we are not, such as the will of a connection that we lost before this one, is contradicted. Pure: the
session sends.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

HOST = "cityvigil"
TOPIC = f"spBv1.0/STATE/{HOST}"


class _State(msgspec.Struct):
    online: bool
    timestamp: Annotated[int, msgspec.Meta(ge=0)] = 0


_state = msgspec.json.Decoder(_State)


def said(online: bool, since_us: int) -> bytes:
    """The state of a connection that began then.

    >>> said(True, 1_486_144_502_122_000)
    b'{"online":true,"timestamp":1486144502122}'
    """
    return msgspec.json.encode(_State(online, since_us // 1_000))


def is_offline(payload: bytes) -> bool:
    """Whether a message on our topic says that we are not there.

    >>> is_offline(said(False, 0)), is_offline(said(True, 0)), is_offline(b"OFFLINE")
    (True, False, False)
    """
    try:
        return not _state.decode(payload).online
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
