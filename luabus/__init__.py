"""luabus: a star-routed RPC bus for clusters of small services.

The names below are the public ones. They are imported at first use, so that `import luabus` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luabus.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from luabus.blocking import Conversation
    from luabus.bus import Bus
    from luabus.client import connect
    from luabus.dispatch import Dispatcher
    from luabus.environment import Environment, read_secret
    from luabus.errors import (
        AuthError,
        BadArguments,
        ConfigError,
        ConnectionLost,
        FrameTooLarge,
        IdInUse,
        LuabusError,
        NoMaster,
        NoRoute,
        NotConnected,
        Overloaded,
        PeerLost,
        ProtocolError,
        Refused,
        RemoteError,
        RequestTimeout,
        RouterLost,
        StaleEpoch,
        UnknownMethod,
    )
    from luabus.hashing import hash_key, key_of
    from luabus.ids import ServiceId
    from luabus.incoming import Caller, caller
    from luabus.router import Router
    from luabus.routes import Route
    from luabus.service import Service
    from luabus.socket_mgr import Listener, SocketMgr, create_socket_mgr, new_event_loop
    from luabus.stream import Reason, Stream

_HOMES = {
    "blocking": ("Conversation",),
    "bus": ("Bus",),
    "client": ("connect",),
    "routes": ("Route",),
    "dispatch": ("Dispatcher",),
    "incoming": ("Caller", "caller"),
    "environment": ("Environment", "read_secret"),
    "errors": (
        "AuthError", "BadArguments", "ConfigError", "ConnectionLost", "FrameTooLarge", "IdInUse", "LuabusError", "NoMaster",
        "NoRoute", "NotConnected", "Overloaded", "PeerLost", "ProtocolError", "Refused", "RemoteError", "RequestTimeout",
        "RouterLost", "StaleEpoch", "UnknownMethod",
    ),
    "hashing": ("hash_key", "key_of"),
    "ids": ("ServiceId",),
    "router": ("Router",),
    "service": ("Service",),
    "socket_mgr": ("Listener", "SocketMgr", "create_socket_mgr", "new_event_loop"),
    "stream": ("Reason", "Stream"),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AuthError",
    "BadArguments",
    "Bus",
    "Caller",
    "ConfigError",
    "ConnectionLost",
    "Conversation",
    "Dispatcher",
    "Environment",
    "FrameTooLarge",
    "IdInUse",
    "Listener",
    "LuabusError",
    "NoMaster",
    "NoRoute",
    "NotConnected",
    "Overloaded",
    "PeerLost",
    "ProtocolError",
    "Reason",
    "Refused",
    "RemoteError",
    "RequestTimeout",
    "Route",
    "Router",
    "RouterLost",
    "Service",
    "ServiceId",
    "SocketMgr",
    "StaleEpoch",
    "Stream",
    "UnknownMethod",
    "__version__",
    "caller",
    "connect",
    "create_socket_mgr",
    "hash_key",
    "key_of",
    "new_event_loop",
    "read_secret",
]


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'luabus' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"luabus.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
