"""luabus: a star-routed RPC bus for clusters of small services.

The names below are the public ones. They are imported at first use, so that `import luabus` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luabus.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from luabus.client.bus import Bus
    from luabus.client.connect import connect
    from luabus.client.routes import Route
    from luabus.environment import Environment
    from luabus.errors import (
        AuthError,
        BadArguments,
        ConfigError,
        ConnectionLost,
        Forbidden,
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
    from luabus.ids import ServiceId
    from luabus.protocol.hashing import hash_key, key_of
    from luabus.protocol.principal import Principal
    from luabus.router.server import Router
    from luabus.rpc.context import Caller, caller
    from luabus.rpc.dispatcher import Dispatcher
    from luabus.secret import read_secret
    from luabus.service.service import Service
    from luabus.transport.blocking import Conversation
    from luabus.transport.channel import Reason
    from luabus.transport.listener import Listener
    from luabus.transport.manager import SocketMgr, create_socket_mgr, new_event_loop
    from luabus.transport.security import Security
    from luabus.transport.stream import Stream

_HOMES = {
    "transport.blocking": ("Conversation",),
    "client.bus": ("Bus",),
    "client.connect": ("connect",),
    "client.routes": ("Route",),
    "rpc.dispatcher": ("Dispatcher",),
    "rpc.context": ("Caller", "caller"),
    "environment": ("Environment",),
    "secret": ("read_secret",),
    "errors": (
        "AuthError", "BadArguments", "ConfigError", "ConnectionLost", "Forbidden", "FrameTooLarge", "IdInUse", "LuabusError",
        "NoMaster", "NoRoute", "NotConnected", "Overloaded", "PeerLost", "ProtocolError", "Refused", "RemoteError",
        "RequestTimeout", "RouterLost", "StaleEpoch", "UnknownMethod",
    ),
    "protocol.hashing": ("hash_key", "key_of"),
    "protocol.principal": ("Principal",),
    "ids": ("ServiceId",),
    "router.server": ("Router",),
    "service.service": ("Service",),
    "transport.listener": ("Listener",),
    "transport.manager": ("SocketMgr", "create_socket_mgr", "new_event_loop"),
    "transport.channel": ("Reason",),
    "transport.security": ("Security",),
    "transport.stream": ("Stream",),
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
    "Forbidden",
    "FrameTooLarge",
    "IdInUse",
    "Listener",
    "LuabusError",
    "NoMaster",
    "NoRoute",
    "NotConnected",
    "Overloaded",
    "PeerLost",
    "Principal",
    "ProtocolError",
    "Reason",
    "Refused",
    "RemoteError",
    "RequestTimeout",
    "Route",
    "Router",
    "RouterLost",
    "Security",
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
