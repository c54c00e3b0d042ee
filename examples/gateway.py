"""Where players come in: any gateway will do, and news go to all of them.

Callers say `bus.random("gateway")` to log somebody in, `bus.target("gateway.2")` to reach a player where he is, and
`bus.broadcast("gateway")` for what everybody should hear.
"""

from __future__ import annotations

import luabus

service = luabus.Service("gateway")

players: dict[str, tuple[int, int]] = {}
news: list[str] = []


@service.rpc
def login(account: str) -> str:
    """Let the player in; returns this gateway's id, where he is from now on."""
    players[account] = (0, 0)
    return str(service.service_id)


@service.rpc
def move(account: str, x: int, y: int) -> None:
    """A step of a player; sent one-way, so nobody waits for it."""
    players[account] = (x, y)


@service.rpc
def announce(text: str) -> None:
    """Show a text to every player here."""
    news.append(text)
    del news[:-10]


@service.rpc
def online() -> int:
    """How many players are here."""
    return len(players)


if __name__ == "__main__":
    service.run()
