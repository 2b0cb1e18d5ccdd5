"""Credentials of gateways at the broker: add, rotate, revoke, list.

They stand in Mosquitto's own password file under the data folder, beside a file that says each one's zone; a
secret is shown once and kept only as a hash. A change replaces the file whole, and a running broker goes by
it when the call returns: who was revoked is disconnected at once. Secrets are 256 random bits, so the hash
needs no costly rounds: the broker checks a password in its only thread, and a thousand gateways that come
back at once must not stall it.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cityvigil import mosquitto, process
from cityvigil.errors import CannotRun

ROUNDS = 101  # Mosquitto's own default
KNOWN_WITHIN_S = 10
PROBE = "health-probe"
IDENTIFIER = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")


@dataclass(frozen=True)
class Gateway:
    gateway: str
    zone: str | None


def add(data: Path, gateway: str, zone: str | None = None) -> str:
    """Its secret. Raises CannotRun if it exists."""
    return add_many(data, {gateway: zone})[gateway]


def add_many(data: Path, zones: Mapping[str, str | None]) -> dict[str, str]:
    """All or none; the secret of each."""
    made = {gateway: secrets.token_urlsafe(32) for gateway in zones}
    with _changing(data) as accounts:
        for gateway in zones:
            _check(gateway)
            if gateway in accounts.hashes:
                raise CannotRun(
                    f"gateway {gateway} exists: `cityvigil gateways rotate {gateway}` gives a new secret"
                )
        accounts.hashes |= {gateway: hashed(secret) for gateway, secret in made.items()}
        accounts.zones |= zones
    return made


def rotate(data: Path, gateway: str) -> str:
    """A new secret; the old one is refused from now on, and a connection made with it ends."""
    secret = secrets.token_urlsafe(32)
    with _changing(data) as accounts:
        _must_exist(accounts, gateway)
        accounts.hashes[gateway] = hashed(secret)
    return secret


def revoke(data: Path, gateway: str) -> None:
    """Refused from now on; a live connection of it ends."""
    with _changing(data) as accounts:
        _must_exist(accounts, gateway)
        del accounts.hashes[gateway], accounts.zones[gateway]


def list_all(data: Path) -> list[Gateway]:
    zones = _Accounts.read(data).zones
    return [Gateway(gateway, zones[gateway]) for gateway in sorted(zones)]


def set_account(data: Path, user: str, password: str) -> None:
    """A service's account: in the password file, not among the gateways."""
    with _changing(data) as accounts:
        if not _matches(accounts.hashes.get(user), password):
            accounts.hashes[user] = hashed(password)


def hashed(secret: str, salt: bytes | None = None, rounds: int = ROUNDS) -> str:
    """Mosquitto's format 7: PBKDF2 with SHA-512."""
    salt = secrets.token_bytes(12) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", secret.encode(), salt, rounds)
    return f"$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _matches(known: str | None, secret: str) -> bool:
    if known is None:
        return False
    _, _, rounds, salt, _ = known.split("$")
    return secrets.compare_digest(known, hashed(secret, base64.b64decode(salt), int(rounds)))


@dataclass
class _Accounts:
    hashes: dict[str, str]
    zones: dict[str, str | None]

    @classmethod
    def read(cls, data: Path) -> _Accounts:
        home = data / mosquitto.NAME
        lines = _text(mosquitto.passwords_file(home)).splitlines()
        hashes = dict(line.split(":", 1) for line in lines if ":" in line)
        return cls(hashes, json.loads(_text(home / "gateways.json") or "{}"))

    def write(self, data: Path) -> None:
        home = data / mosquitto.NAME
        process.write_atomically(home / "gateways.json", json.dumps(self.zones, indent=0))
        lines = [f"{user}:{known}\n" for user, known in self.hashes.items()]
        process.write_atomically(mosquitto.passwords_file(home), "".join(lines))


@contextmanager
def _changing(data: Path) -> Iterator[_Accounts]:
    home = data / mosquitto.NAME
    if not home.is_dir():
        raise CannotRun(f"no stack under {data}: start it with `cityvigil stack up --data {data}`")
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        accounts = _Accounts.read(data)
        before = dict(accounts.hashes)
        yield accounts
        if accounts.hashes == before:
            return
        probe = secrets.token_urlsafe(16)
        accounts.hashes[PROBE] = hashed(probe)
        accounts.write(data)
        _make_known(data, probe)


def _make_known(data: Path, probe: str) -> None:
    """Returns once a running broker goes by the new accounts: when it lets in the probe's newest secret."""
    broker = process.find(data / "run", mosquitto.NAME)
    if broker is None:
        return
    mosquitto.reload(broker)
    port = mosquitto.port(data / mosquitto.NAME)
    known = process.wait(
        lambda: mosquitto.answers(port, PROBE, probe) or not process.is_alive(broker), KNOWN_WITHIN_S
    )
    if not known:
        raise CannotRun(
            f"mosquitto did not read its new accounts within {KNOWN_WITHIN_S} s: see `cityvigil stack logs`"
        )


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _check(gateway: str) -> None:
    if not IDENTIFIER.fullmatch(gateway):
        raise CannotRun(f"gateway {gateway!r}: expected lower case letters, digits and -, at most 64")


def _must_exist(accounts: _Accounts, gateway: str) -> None:
    if gateway not in accounts.zones:
        raise CannotRun(f"gateway {gateway} is not known: `cityvigil gateways list` shows who is")
