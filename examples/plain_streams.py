"""The streams under everything else, driven by a game's own frame loop: no asyncio, no launcher, no services.

    python examples/plain_streams.py

A server and two players, here in one process. The server registers each player who joins, and so becomes a router: what a
player forwards to the group reaches the other one without the server looking at it.
"""

from __future__ import annotations

import luabus

PLAYERS = 9  # the group; the players are 9.1 and 9.2
FRAME_MS = 5


def serve() -> tuple[luabus.SocketMgr, int]:
    """The server's manager, and the port it listens at."""
    mgr = luabus.create_socket_mgr(max_connections=100)

    def accepted(stream: luabus.Stream) -> None:
        def called(msg: str, *args: object) -> None:
            if msg == "join":
                mgr.register(f"{PLAYERS}.{args[0]}", stream.token)
                stream.call("welcome", f"there are {len(mgr.streams)} of us, you come from {stream.ip}")

        stream.on_call = called
        stream.on_error = lambda error: print("server: a player left:", error)

    listener = mgr.listen("127.0.0.1", 0)
    listener.on_accept = accepted
    return mgr, listener.port


class Player:
    """One end of a stream, and what it heard."""

    def __init__(self, number: int, port: int) -> None:
        self.number = number
        self.heard: list[tuple[object, ...]] = []
        self.mgr = luabus.create_socket_mgr(max_connections=1)
        self.stream = self.mgr.connect("127.0.0.1", port, timeout_ms=1000)
        self.stream.set_timeout(5000)
        self.stream.on_connect = self.connected
        self.stream.on_call = self.called
        self.stream.on_error = lambda error: print(f"player {number}: {error}")

    def connected(self, result: str) -> None:
        print(f"player {self.number}: connect: {result}")
        self.stream.call("join", self.number)

    def called(self, msg: str, *args: object) -> None:
        print(f"player {self.number}: {msg}{args}")
        self.heard.append((msg, *args))

    def has_heard(self, msg: str) -> bool:
        return any(heard[0] == msg for heard in self.heard)


def main() -> list[Player]:
    server, port = serve()
    players = [Player(1, port), Player(2, port)]
    managers = [server, *(player.mgr for player in players)]

    def frames_until(done: str) -> None:
        while not all(player.has_heard(done) for player in players):
            for mgr in managers:  # a game would also draw here
                mgr.wait(FRAME_MS)

    frames_until("welcome")
    for player in players:
        player.stream.forward_broadcast(PLAYERS, "moved", player.number, 3.5, 7.25)
    frames_until("moved")
    players[0].stream.forward_target(f"{PLAYERS}.2", "wave")
    players[1].stream.forward_target(f"{PLAYERS}.1", "wave")
    frames_until("wave")

    for mgr in reversed(managers):
        mgr.shutdown()
    return players


if __name__ == "__main__":
    main()
