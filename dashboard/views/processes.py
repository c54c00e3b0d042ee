"""How a process is shown: why it is as it is, and what it said last."""

from __future__ import annotations

import re
from typing import Final

from dashboard.views.formatting import unstyled
from luabus.cluster.state import Process
from luabus.messages import Message

_ROUTINE: Final = re.compile(r"\b(TRACE|DEBUG|INFO|NOTICE)\b")
_LEVEL_WITHIN: Final = 60
"""Characters at the beginning of a line, in which a log has its level."""


def why(process: Process) -> Message | None:
    """Why it is in its state; None for one that runs, or is over and meant to be."""
    return None if process.state in ("running", "exited") or not process.detail else process.reason


def last_word(process: Process) -> str:
    """The last line that it wrote to stderr before it ended badly by itself: as a rule the error. Empty when there is none, or
    when it went about its work until then."""
    if process.exit is None:
        return ""
    lines = (unstyled(line).strip() for line in reversed(process.exit.stderr))
    last = next((line for line in lines if line), "")
    return "" if _ROUTINE.search(last[:_LEVEL_WITHIN]) else last
