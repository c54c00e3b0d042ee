"""Lease stores: one row per group, kept where every candidate can reach it.

    sqlite:///relative/path  sqlite:////absolute/path    the embedded default, for one machine
    postgresql://user@host:5432/database                 pip install 'luabus[postgresql]'
    redis://host:6379/0      rediss://... (TLS)          pip install 'luabus[redis]'
    etcd://host:2379,host2:2379   etcds://... (TLS)      pip install 'luabus[etcd]'

`docs/masters.md` says which to take, and `luabus.lease.stores.address` where credentials come from.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Final, cast

from luabus.errors import ConfigError
from luabus.lease.stores.address import parse, redact
from luabus.lease.stores.base import (
    DEFAULT_NAMESPACE,
    DEFAULT_TIMEOUT_S,
    LeaseRow,
    LeaseStore,
    LeaseStoreError,
)

__all__ = [
    "LeaseRow",
    "LeaseStore",
    "LeaseStoreError",
    "client_library",
    "load_store",
    "open_store",
    "redact",
]

_KEY: Final = "lease.store"

# scheme -> (module, class, client library, extra that installs it)
_STORES: Final = {
    "sqlite": ("luabus.lease.stores.sqlite", "SqliteStore", "sqlite3", ""),
    "postgresql": ("luabus.lease.stores.postgres", "PostgresStore", "psycopg", "postgresql"),
    "postgres": ("luabus.lease.stores.postgres", "PostgresStore", "psycopg", "postgresql"),
    "redis": ("luabus.lease.stores.redis", "RedisStore", "redis", "redis"),
    "rediss": ("luabus.lease.stores.redis", "RedisStore", "redis", "redis"),
    "etcd": ("luabus.lease.stores.etcd", "EtcdStore", "aiohttp", "etcd"),
    "etcds": ("luabus.lease.stores.etcd", "EtcdStore", "aiohttp", "etcd"),
}


def open_store(
    url: str, *, namespace: str = DEFAULT_NAMESPACE, timeout_s: float = DEFAULT_TIMEOUT_S
) -> LeaseStore:
    """The store that `url` names. Connects to nothing yet.

    `namespace` keeps several clusters on one server apart: give the cluster's name. Every operation ends within
    `timeout_s` seconds. Raises `ConfigError` when the URL is not understood, its password file cannot be read, or the
    client library is not installed.
    """
    scheme, _, rest = url.partition("://")
    store = getattr(load_store(url), _entry(url)[1])
    if scheme.lower() == "sqlite":
        path = rest.removeprefix("/")
        if rest == path or not path:
            raise ConfigError(f"the lease store {url!r} names no file: write sqlite:///PATH", key=_KEY)
        return cast(LeaseStore, store(path, namespace=namespace, timeout_s=timeout_s))
    return cast(LeaseStore, store(parse(url), namespace=namespace, timeout_s=timeout_s))


def client_library(url: str) -> str:
    """The Python package by which the store that `url` names is reached. Raises `ConfigError`."""
    return _entry(url)[2]


def load_store(url: str) -> ModuleType:
    """The module of the store that `url` names, imported with its client library. Raises `ConfigError`."""
    module_name, _, library, extra = _entry(url)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != library:
            raise
        raise ConfigError(
            f"the lease store {redact(url)!r} needs the Python package {library!r}: pip install 'luabus[{extra}]'",
            key=_KEY,
        ) from None


def _entry(url: str) -> tuple[str, str, str, str]:
    scheme, separator, _ = url.partition("://")
    entry = _STORES.get(scheme.lower())
    if not separator or entry is None:
        from difflib import get_close_matches  # slow to import, and only for errors

        close = get_close_matches(scheme.lower(), _STORES, n=1)
        hint = (
            f"did you mean {close[0]}://...?"
            if close
            else "allowed: sqlite:///PATH, postgresql://, redis://, etcd://"
        )
        raise ConfigError(f"the lease store {redact(url)!r} is of no known kind; {hint}", key=_KEY)
    return entry
