"""Who may do what: tokens, roles, session cookies and the limit on guesses. Pure but for the token files.

Each role has a token of its own in the run directory (0600). A session cookie carries the role and when it ends, signed with a
key made from that role's token: a token that is replaced ends its sessions, and the dashboard keeps no list of them.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Final

from luabus.errors import ConfigError

SESSION_S: Final = 12 * 3600
"""A session ends so long after it was last renewed."""
RENEW_AFTER_S: Final = 3600
TOKEN_BYTES: Final = 32
LEAST_TOKEN: Final = 16
"""Characters that a token of a person's own choice has at least: a right one is never held up by the limit on guesses, so none
may be within reach of guessing."""
GUESSES: Final = 10
"""Different wrong tokens that one address may try in a row; then one per GUESS_EVERY_S."""
GUESS_EVERY_S: Final = 6.0
ADDRESSES: Final = 4096
"""Addresses remembered at once; the one that guessed longest ago is forgotten first."""


class Role(IntEnum):
    """Each may what the one before may. A viewer looks; an operator also starts, stops, kills, scales and sends; an admin also
    changes registrations and masters, and ends connections."""

    viewer = 1
    operator = 2
    admin = 3


TOKEN_FILES: Final[Mapping[Role, str]] = {
    Role.viewer: "dashboard.viewer.token",
    Role.operator: "dashboard.operator.token",
    Role.admin: "dashboard.token",
}


def read_tokens(run_dir: Path) -> dict[Role, str]:
    """The tokens in `run_dir`; those that are missing are made (0600). Raises `ConfigError` when that is not possible."""
    try:
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return {role: _read_or_make(run_dir / name) for role, name in TOKEN_FILES.items()}
    except OSError as error:
        raise ConfigError(
            f"the dashboard's tokens cannot be kept in {run_dir}: {error}", key="LUABUS_RUN_DIR"
        ) from None


def _read_or_make(path: Path) -> str:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        token = path.read_text("utf-8").strip()
        if len(token) >= LEAST_TOKEN:
            return token
        fault = f"has {len(token)} characters, at least {LEAST_TOKEN} are needed" if token else "is empty"
        raise ConfigError(f"{path} {fault}: remove it, and a new token is made", key=str(path)) from None
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(token + "\n")
    return token


class Tokens:
    """Checks tokens, makes and checks sessions. Compares in constant time, whatever is wrong with what was sent."""

    def __init__(self, tokens: Mapping[Role, str]) -> None:
        self._tokens = {role: token.encode() for role, token in tokens.items()}

    def role_of(self, token: str) -> Role | None:
        """The highest role whose token this is."""
        given = token.encode("utf-8", "surrogatepass")
        highest: Role | None = None
        for role, right in sorted(self._tokens.items()):
            # No early end: how long this takes must not tell which token came close.
            if hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(right).digest()):
                highest = role
        return highest

    def session(self, role: Role, now: float) -> str:
        """A cookie's value: role, end, a random part, and the signature over them."""
        claims = f"{role.name}.{int(now + SESSION_S)}.{secrets.token_urlsafe(9)}"
        return f"{claims}.{self._sign(role, claims)}"

    def role_of_session(self, cookie: str, now: float) -> tuple[Role, float] | None:
        """The role of a session and the seconds it still has; None when it is over or not ours."""
        claims, _, signature = cookie.rpartition(".")
        parts = claims.split(".")
        if (
            len(parts) != 3
            or parts[0] not in Role.__members__
            or not parts[1].isascii()
            or not parts[1].isdigit()
        ):
            return None
        role = Role[parts[0]]
        if not hmac.compare_digest(
            signature.encode("utf-8", "surrogatepass"), self._sign(role, claims).encode()
        ):
            return None
        left = int(parts[1]) - now
        return (role, left) if left > 0 else None

    def _sign(self, role: Role, claims: str) -> str:
        key = hashlib.sha256(b"luabus dashboard session\0" + self._tokens[role]).digest()
        return hmac.new(key, claims.encode(), hashlib.sha256).hexdigest()


class GuessLimit:
    """A bucket of guesses per address. The same wrong token again is no new guess: a forgotten script locks nobody out."""

    def __init__(self, guesses: int = GUESSES, every_s: float = GUESS_EVERY_S) -> None:
        self._guesses = guesses
        self._every_s = every_s
        self._spent: OrderedDict[str, tuple[float, float, bytes]] = OrderedDict()

    def wait_s(self, address: str, now: float) -> float:
        """Seconds until this address may guess again; 0 when it may now."""
        spent, at, _ = self._spent.get(address, (0.0, now, b""))
        spent = max(0.0, spent - (now - at) / self._every_s)
        return max(0.0, (spent - self._guesses + 1) * self._every_s)

    def wrong(self, address: str, token: str, now: float) -> None:
        """Count a wrong token."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        spent, at, last = self._spent.pop(address, (0.0, now, b""))
        spent = max(0.0, spent - (now - at) / self._every_s)
        self._spent[address] = (spent + (digest != last), now, digest)
        while len(self._spent) > ADDRESSES:
            self._spent.popitem(last=False)
