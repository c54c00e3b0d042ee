"""Tokens, roles, session cookies and the limit on guesses. Pure but for the token files.

Each role has a token of its own in the run directory (0600). A session cookie carries the role, when the session began and when
the cookie ends, and the session's name, signed with a key made from that role's token: so a token that is replaced ends its
sessions, without a restart, and only the names of those that somebody logged out are kept (`ended_sessions.py`).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from luabus.errors import ConfigError
from luabus.private_files import (
    create_private,
    keep_out_of_git,
    private_folder,
    read_private,
    replace_private,
)

log = logging.getLogger("dashboard.tokens")

SESSION_S: Final = 12 * 3600
"""Lifetime of a session since it was last renewed."""
LONGEST_SESSION_S: Final = 7 * 24 * 3600
"""Lifetime of a session since the login, however often it was renewed."""
RENEW_AFTER_S: Final = 3600
TOKEN_BYTES: Final = 32
LEAST_TOKEN: Final = 16
"""Least length of a token that a person chose: a right token is never held up by the limit on guesses, so none may be within
reach of guessing."""
GUESSES: Final = 10
"""Number of different wrong tokens that one address may try in a row; then one per GUESS_EVERY_S."""
GUESS_EVERY_S: Final = 6.0
LOOK_EVERY_S: Final = 1.0
"""How often the token files are looked at."""
ADDRESSES: Final = 4096
"""Number of addresses remembered; the one that guessed longest ago is forgotten first."""


class Role(IntEnum):
    """Roles, each with the rights of the one before. A viewer reads; an operator also starts, stops, kills, scales and calls; an
    admin also changes registrations and masters, and closes connections."""

    viewer = 1
    operator = 2
    admin = 3


TOKEN_FILES: Final[Mapping[Role, str]] = {
    Role.viewer: "dashboard.viewer.token",
    Role.operator: "dashboard.operator.token",
    Role.admin: "dashboard.token",
}


def read_tokens(run_dir: Path) -> dict[Role, str]:
    """Read the tokens in `run_dir`; missing ones are created (0600). Raises `ConfigError` when that is not possible."""
    try:
        private_folder(run_dir)
        keep_out_of_git(run_dir)
        return {role: _read_or_make(run_dir / name) for role, name in TOKEN_FILES.items()}
    except OSError as error:
        raise ConfigError(
            f"the dashboard's tokens cannot be kept in {run_dir}: {error}", key="LUABUS_RUN_DIR"
        ) from None


def _read_or_make(path: Path) -> str:
    token = f"{secrets.token_urlsafe(TOKEN_BYTES)}\n".encode()
    if not create_private(path, token) and not read_private(path).strip():
        replace_private(path, token)  # a disk that was full has left it empty
    return _read(path)


def _read(path: Path) -> str:
    token = read_private(path).decode("utf-8", "replace").strip()
    if len(token) >= LEAST_TOKEN:
        return token
    fault = f"has {len(token)} characters, at least {LEAST_TOKEN} are needed" if token else "is empty"
    raise ConfigError(f"{path} {fault}: remove it, and a new token is made", key=str(path)) from None


@dataclass(frozen=True, slots=True)
class Claims:
    """What a cookie says, checked: whose rights, which session, when that began, the seconds until the cookie ends, and which
    token has signed it (`Tokens.mark`)."""

    role: Role
    name: str
    began: int
    left_s: float
    signed_by: str = ""

    @property
    def ends_at(self) -> int:
        """The absolute end."""
        return self.began + LONGEST_SESSION_S


class Tokens:
    """Checks tokens, creates and checks sessions; every comparison takes constant time."""

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

    def replace(self, tokens: Mapping[Role, str]) -> None:
        """From now on these are right, and sessions of others have ended."""
        self._tokens = {role: token.encode() for role, token in tokens.items()}

    def session(self, role: Role, now: float, of: Claims | None = None) -> str:
        """Value of a session cookie: role, begin, end, name, and the signature over them. `of` is the session that is renewed."""
        began, name = (int(now), secrets.token_urlsafe(9)) if of is None else (of.began, of.name)
        ends = min(int(now) + SESSION_S, began + LONGEST_SESSION_S)
        claims = f"{role.name}.{began}.{ends}.{name}"
        return f"{claims}.{self._sign(role, claims)}"

    def session_of(self, cookie: str, now: float) -> Claims | None:
        """The session of a cookie; None when it has expired or its signature is wrong."""
        claims, _, signature = cookie.rpartition(".")
        role, *rest = claims.split(".")
        if role not in Role.__members__ or len(rest) != 3:
            return None
        began, ends, name = rest
        if not hmac.compare_digest(
            signature.encode("utf-8", "surrogatepass"), self._sign(Role[role], claims).encode()
        ):
            return None
        left_s = int(ends) - now
        return Claims(Role[role], name, int(began), left_s, self.mark(Role[role])) if left_s > 0 else None

    def mark(self, role: Role) -> str:
        """Tells a role's token from the one before, and nothing else."""
        return hashlib.sha256(b"luabus dashboard token\0" + self._tokens[role]).hexdigest()[:16]

    def _sign(self, role: Role, claims: str) -> str:
        key = hashlib.sha256(b"luabus dashboard session\0" + self._tokens[role]).digest()
        return hmac.new(key, claims.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


class TokenFiles:
    """The token files of a run directory, looked at again and again: whoever replaces one has the new one count at once."""

    def __init__(self, run_dir: Path, tokens: Tokens) -> None:
        self._paths = {role: run_dir / name for role, name in TOKEN_FILES.items()}
        self._tokens = tokens
        self._current = read_tokens(run_dir)
        self._looked_at = float("-inf")
        self._seen = self._marks()
        tokens.replace(self._current)

    def look(self, now: float) -> None:
        """Reads what has changed, at most once in `LOOK_EVERY_S`. What cannot be used leaves the token as it was; a file that is
        gone is written anew."""
        if 0 <= now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        marks = self._marks()
        if marks == self._seen and None not in marks:
            return
        for role, path in self._paths.items():
            try:
                self._current[role] = _read(path)
            except FileNotFoundError:
                with contextlib.suppress(OSError):  # its folder comes back first
                    create_private(path, f"{self._current[role]}\n".encode())
            except (OSError, ConfigError) as error:
                log.error("the token of before stays valid: %s", error)
        self._seen = self._marks()
        self._tokens.replace(self._current)

    def _marks(self) -> list[tuple[int, int, int] | None]:
        return [_mark(path) for path in self._paths.values()]


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class GuessLimit:
    """Token bucket of guesses per address. The same wrong token again is no new guess: a forgotten script locks nobody out."""

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
