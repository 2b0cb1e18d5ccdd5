"""Time-based one-time codes (RFC 6238: SHA-1, 6 digits, 30 s), the second factor of a log-in.

Pure: the secret and the time are arguments. That a code works only once is kept by dispatch/people.py,
which remembers the newest step used.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct

STEP_S = 30


def code_at(secret: str, step: int) -> str:
    """The code of a 30-second step.

    >>> code_at("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 1)
    '287082'
    """
    try:
        key = base64.b32decode(secret, casefold=True)
    except binascii.Error as error:
        raise ValueError(f"second factor: expected a base32 secret: {error}") from None
    digest = hmac.new(key, struct.pack(">Q", step), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    (number,) = struct.unpack(">I", digest[offset : offset + 4])
    return f"{(number & 0x7FFFFFFF) % 1_000_000:06d}"


def matching_step(secret: str, code: str, unix_s: float, after: int = 0) -> int | None:
    """The step whose code this is: now, the one before or after (clocks differ), never one up to `after`."""
    now = int(unix_s) // STEP_S
    for step in (now, now - 1, now + 1):
        if step > after and hmac.compare_digest(code_at(secret, step), code):
            return step
    return None
