"""Where a lease store is: its URL taken apart, its credentials found, and never printed.

User name and password are looked for in this order:

1. in the URL: `postgresql://user:password@host/db` (percent-encoded where needed);
2. in the environment: `LUABUS_LEASE_USER`, `LUABUS_LEASE_PASSWORD`;
3. in a file: the URL's `?password_file=PATH`, or `LUABUS_LEASE_PASSWORD_FILE`; its text without the last line end;
4. PostgreSQL only: what libpq finds by itself (`PGPASSWORD`, `~/.pgpass`, ...).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from luabus.errors import ConfigError

_KEY = "lease.store"
_SECRET_PARAMETERS = ("password", "passwd", "token", "secret", "sslpassword")
_AUTHORITY = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Address:
    """A store's URL in parts. Neither `repr` nor `str` shows a secret."""

    scheme: str
    hosts: str  # `host:port`, or several with commas between
    path: str  # without the leading slash
    parameters: Mapping[str, str] = field(repr=False)
    user: str | None
    password: str | None = field(repr=False)

    def __str__(self) -> str:
        return redact(self.url(with_credentials=False))

    def url(self, *, with_credentials: bool) -> str:
        """The URL for a client library. With credentials it must not be printed."""
        login = ""
        if with_credentials and (self.user or self.password):
            login = quote(self.user or "", safe="")
            if self.password is not None:
                login += ":" + quote(self.password, safe="")
            login += "@"
        query = "?" + urlencode(self.parameters) if self.parameters else ""
        return f"{self.scheme}://{login}{self.hosts}/{self.path}{query}"


def parse(url: str, environ: Mapping[str, str] | None = None) -> Address:
    """Take a store's URL apart and find its credentials. Raises `ConfigError`."""
    environ = os.environ if environ is None else environ
    match = _AUTHORITY.fullmatch(url)
    authority = match["authority"] if match else ""
    try:
        if authority.count("[") != authority.count("]"):
            raise ValueError("an IPv6 address needs both brackets")
        # Without the authority: newer versions of urlsplit refuse several hosts of which one is an IPv6 address.
        parts = urlsplit(f"{match['scheme']}host{match['rest']}" if match else url)
        parameters = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise ConfigError(f"the lease store {redact(url)!r} is no URL: {error}", key=_KEY) from None
    login, _, hosts = authority.rpartition("@")
    user, colon, password = login.partition(":")
    password_file = parameters.pop("password_file", "")
    return Address(
        scheme=parts.scheme.lower(),
        hosts=hosts,
        path=parts.path.removeprefix("/"),
        parameters=parameters,
        user=unquote(user) or environ.get("LUABUS_LEASE_USER") or None,
        password=unquote(password) if colon else _find_password(password_file, environ),
    )


def _find_password(password_file: str, environ: Mapping[str, str]) -> str | None:
    if environ.get("LUABUS_LEASE_PASSWORD"):
        return environ["LUABUS_LEASE_PASSWORD"]
    path = password_file or environ.get("LUABUS_LEASE_PASSWORD_FILE", "")
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ConfigError(f"the lease store's password file {path!r}: {reason}", key=_KEY) from None


def redact(url: str) -> str:
    """`url` fit for printing: user name and password replaced by `***`, and so are parameters that hold secrets."""
    match = _AUTHORITY.fullmatch(url)
    if match is None:
        return url
    _login, at, hosts = match["authority"].rpartition("@")
    rest = match["rest"]
    if not at and "@" in rest:  # an unquoted `/`, `?` or `#` in the password: show nothing of it
        hosts, rest, at = rest.rpartition("@")[2], "", "@"
    path, question, query = rest.partition("?")
    shown = "&".join(
        f"{name}=***" if name.lower() in _SECRET_PARAMETERS else f"{name}{equals}{value}"
        for name, equals, value in (parameter.partition("=") for parameter in query.split("&"))
    )
    return f"{match['scheme']}{'***@' if at else ''}{hosts}{path}{question}{shown}"
