"""Connections on sockets, by asyncio or blocking."""
