"""One stream as the switch sees it: what may be sent there, what it waits for, what was counted."""

from __future__ import annotations

from typing import Final

from luabus.ids import CLIENT_BASE
from luabus.limits import DEFAULT_FRAME_LIMIT

NO_ROUTE: Final = "no_route"
NO_MASTER: Final = "no_master"
OVERLOADED: Final = "overloaded"
LATE: Final = "late_reply"
CROWDED: Final = "crowded"
"""Not why a frame from this port was lost, but why one of so many bytes for it was."""

Trouble = str | bytes | tuple[str, int]
"""What went wrong: in words, as an ERROR frame that it answered with, or as the reason and route of what was lost. It is noted
where every microsecond counts, and put into words (`trouble`) when somebody looks."""


class Port:
    """One stream as the switch sees it.

    `out`: bytes to be written, `room`: bytes that may still be appended (the shell renews it at each flush), `frame_limit`: the
    longest frame taken from it, in bytes after the header, `owed`: bytes of answers among those that wait (they pass also
    without room, up to `send_limit`), `outstanding`: its requests in flight and the port (or, for a
    broadcast, the ports) that will answer, `last_error`: what went wrong last for the one at the other end. Counters are totals.
    """

    __slots__ = (
        "bytes_in", "bytes_out", "frame_limit", "frames_in", "frames_out", "id", "last_error", "out", "outstanding", "owed",
        "room", "send_limit", "token", "undeliverable",
    )  # fmt: skip

    def __init__(self, token: int, room: int, frame_limit: int = DEFAULT_FRAME_LIMIT) -> None:
        self.token = token
        self.id = CLIENT_BASE | token
        self.room = self.send_limit = room
        self.owed = 0
        self.frame_limit = frame_limit
        self.out: list[bytes] = []
        self.outstanding: dict[int, Port | set[Port]] = {}
        self.undeliverable: dict[str, int] = {}
        self.last_error: Trouble | None = None
        self.frames_in = self.frames_out = self.bytes_in = self.bytes_out = 0

    def deliver(
        self, route: int, key: int, source: int, sequence: int, data: bytes, start: int, end: int
    ) -> None:
        """A frame for this process; its meta and body are `data[start:end]`."""
        raise NotImplementedError

    def flush(self) -> None:
        """Write `out`."""
        raise NotImplementedError

    def count_lost(self, reason: str, route: int, frames: int = 1) -> None:
        """Count frames *from* this port, by `route`, that reached nobody."""
        self.undeliverable[reason] = self.undeliverable.get(reason, 0) + frames
        self.note((reason, route))

    def note(self, trouble: Trouble) -> None:
        """This went wrong last."""
        self.last_error = trouble


class Sink(Port):
    """Where frames go that go nowhere: it has no room, so they are refused and counted under `reason`."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        super().__init__(0, -1)
        self.reason = reason


NOBODY: Final = Sink(NO_ROUTE)
"""Where frames go whose target is not there."""
NO_MASTER_NOW: Final = Sink(NO_MASTER)
"""Where frames go to the master of a group that has none."""
