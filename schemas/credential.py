"""What a registered gateway proves itself by where no broker lets it in: a password, kept as a hash.

For lines and pushes whose protocol carries a password of its own (HJ 212's PW, SL 651's, HTTP Basic). The
registry holds only the hash, so neither its topic nor an export shows what was agreed. Such passwords are
short and often travel in the clear: this keeps a neighbour from speaking as another station by mistake, and
is no defence against who can listen.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

MARK = "pbkdf2$"
ROUNDS = 1_000
LONGEST = 256


def hashed(password: str, salt: bytes) -> str:
    """As the registry keeps it.

    >>> known = hashed("123456", b"salt")
    >>> is_hash(known), matches(known, "123456"), matches(known, "654321"), matches(known, None)
    (True, True, False, False)
    """
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ROUNDS)
    return f"{MARK}{base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def is_hash(text: str) -> bool:
    """Whether this is what `hashed` gives, as an export has it, and no password."""
    try:
        salt, _, digest = text.removeprefix(MARK).partition("$")
        return text.startswith(MARK) and bool(base64.b64decode(salt)) and len(base64.b64decode(digest)) == 32
    except ValueError:
        return False


def matches(known: str, password: str | None) -> bool:
    """Whether this password was hashed into `known`, which is a hash."""
    if password is None or len(password) > LONGEST:
        return False
    salt = base64.b64decode(known.removeprefix(MARK).partition("$")[0])
    return hmac.compare_digest(known, hashed(password, salt))
