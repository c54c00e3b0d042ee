"""Keys: what the two ends of a connection prove themselves with. Each role has its own, derived from the cluster's secret. Pure.

    key = HMAC-SHA256(secret, "service:mail")      likewise "admin", "client", "router:router.1", "launcher:demo"

The secret itself proves nothing and is no key. Who holds it can derive every key; who holds a key, none but that.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final, NamedTuple, cast, get_args

from luabus.errors import ConfigError, ProtocolError
from luabus.protocol.principal import Principal, Role

KEY_SIZE: Final = 32
"""Bytes of a key."""
MAX_NAME: Final = 100
"""Characters of a principal's name."""

_NAMELESS: Final = frozenset({"admin", "client"})


class Credential(NamedTuple):
    """Who somebody is, and the key that proves it; None where no proof is asked for."""

    principal: Principal
    key: bytes | None = None

    def __repr__(self) -> str:  # the key is for nobody's log
        return f"Credential({self.principal})"


def derive(secret: bytes, principal: Principal) -> bytes:
    """The key of `principal` in the cluster that has this secret."""
    return hmac.new(secret, str(principal).encode(), sha256).digest()


def principal_of(role: object, name: object) -> Principal:
    """As the other end says it. Raises `ProtocolError` for a role that there is not, or a name that cannot be printed."""
    if role not in get_args(Role):
        raise ProtocolError(
            f"the peer says that its role is {_cut(role)}; there are: {', '.join(get_args(Role))}"
        )
    if not isinstance(name, str) or len(name) > MAX_NAME or not name.isprintable():
        raise ProtocolError(
            f"a {role}'s name is printable and has at most {MAX_NAME} characters, not {_cut(name)}"
        )
    if role in _NAMELESS and name:
        raise ProtocolError(f"a {role} has no name, and the peer says {name!r}")
    if role == "service" and not name:
        raise ProtocolError("a service says its name")
    return Principal(cast("Role", role), name)


def format_key(principal: Principal, key: bytes) -> str:
    """The one line of a key file: `service:mail 9a0c...`."""
    return f"{principal} {key.hex()}"


def parse_key(line: str, what: str = "the key") -> Credential:
    """Reads what `format_key` wrote. Raises `ConfigError`, which does not show the key."""
    said, digits = (*line.rsplit(None, 1), "", "")[:2]
    role, colon, name = said.strip().partition(":")
    try:
        key = bytes.fromhex(digits)
        principal = principal_of(role, name)
    except (ValueError, ProtocolError):
        key, principal = b"", Principal("client")
    if len(key) != KEY_SIZE or (colon and not name):
        raise ConfigError(
            f"{what} is not one line such as `service:mail` and {2 * KEY_SIZE} hexadecimal digits",
            key="key_file",
        )
    return Credential(principal, key)


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_NAME else text[:MAX_NAME] + "..."
