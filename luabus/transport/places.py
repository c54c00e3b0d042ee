"""The places for connections, and who gives one up when there are too few: strangers must not keep members out."""

from __future__ import annotations

import time
from math import inf
from typing import Final

from luabus import descriptors
from luabus.errors import ProtocolError
from luabus.logs import Log
from luabus.transport.channel import Channel

log = Log("luabus.socket_mgr")

SAY_AGAIN_S: Final = 60.0
"""A flood of strangers is told once in this time."""


class Places:
    """At most `most` connections; fewer where the system allows fewer file descriptors.

    `refused`: connections that were turned away, at once or for newer ones; `refused_at`: when it was last (monotonic seconds).
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.refused = 0
        self.refused_at = -inf
        self._configured = most
        self._strangers: dict[
            int, Channel
        ] = {}  # accepted, and nothing is known of who it is; the oldest first
        self._told_at = -inf

    def limit(self) -> None:
        """See what the system allows, before somebody is accepted."""
        self.most = descriptors.room(self._configured)

    def has_one(self, taken: int) -> bool:
        """Whether one more connection may be accepted where `taken` are taken, be it in the place of the oldest stranger."""
        if taken < self.most:
            return True
        self.refused += 1
        self.refused_at = time.monotonic()
        if self.refused_at >= self._told_at + SAY_AGAIN_S:
            self._told_at = self.refused_at
            log.warning(
                "all %d places for connections are taken, %d of them by strangers in the handshake: the oldest of those give way;"
                " %d were turned away so far", self.most, len(self._strangers), self.refused,
            )  # fmt: skip
        return self._push_out()

    def _push_out(self) -> bool:
        while self._strangers:
            stranger = self._strangers.pop(next(iter(self._strangers)))
            if not stranger.is_closed:
                stranger.end(
                    ProtocolError("pushed out by newer connections before the handshake"), abort=True
                )
                return True
        return False

    def accepted(self, stranger: Channel) -> None:
        """Somebody has connected."""
        self._strangers[stranger.token] = stranger

    def known(self, token: int) -> None:
        """This one is a stranger no longer: the handshake is done, or the connection gone."""
        self._strangers.pop(token, None)
