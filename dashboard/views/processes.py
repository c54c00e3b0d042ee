"""Views of a process: the reason of its state, and its last line of stderr."""

from __future__ import annotations

from dashboard.views.formatting import unstyled
from luabus.cluster.log_level import is_routine, level_of
from luabus.cluster.state import Process
from luabus.messages import Message


def why(process: Process) -> Message | None:
    """Reason of the state; None for a process that runs, or has exited as it should."""
    return None if process.state in ("running", "exited") or not process.detail else process.reason


def last_word(process: Process) -> str:
    """The last line that it wrote to stderr before it ended badly by itself: as a rule the error. Empty when there is none, or
    when it went about its work until then."""
    if process.exit is None:
        return ""
    lines = (unstyled(line).strip() for line in reversed(process.exit.stderr))
    last = next((line for line in lines if line), "")
    return "" if is_routine(level_of(last)) else last
