"""Where frames go that reach nobody, and the reasons by which they are counted."""

from __future__ import annotations

from typing import Final

from luabus.errors import Forbidden
from luabus.protocol.port import Port

NO_ROUTE: Final = "no_route"
NO_MASTER: Final = "no_master"
OVERLOADED: Final = "overloaded"
FORBIDDEN: Final = "forbidden"
LATE: Final = "late_reply"
CROWDED: Final = "crowded"
"""Not why a frame from this port was lost, but why one of so many bytes for it was."""


class Sink(Port):
    """A port without credit: frames for it are refused and counted under `reason`. `forbidden`: the error of a caller whom the
    callee does not let in."""

    __slots__ = ("forbidden", "reason")

    def __init__(self, reason: str, forbidden: Forbidden | None = None) -> None:
        super().__init__(0, -1)
        self.reason = reason
        self.forbidden = forbidden


NOBODY: Final = Sink(NO_ROUTE)
"""Next hop of frames whose target is not there."""
NO_MASTER_NOW: Final = Sink(NO_MASTER)
"""Next hop of frames to the master of a group that has none."""
