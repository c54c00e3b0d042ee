"""Does something answer there? For probes and tools of those who watch over a cluster."""

from __future__ import annotations

from luabus.transport.dialing import open_connection

__all__ = ["open_connection"]
