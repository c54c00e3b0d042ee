"""How a process is shown: what can be done with it in its state, and why it is as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from dashboard.views.formatting import unstyled
from luabus.cluster.state import Process
from luabus.messages import Message

ORDER: Final = ("restart", "start", "stop", "kill")

_ROUTINE: Final = re.compile(r"\b(TRACE|DEBUG|INFO|NOTICE)\b")
_LEVEL_WITHIN: Final = 60
"""Characters at the beginning of a line, in which a log has its level."""


def verbs_of(process: Process) -> tuple[str, ...]:
    """What makes sense now, in the order of the buttons."""
    match process.state:
        case "running" | "starting":
            found = {"restart", "stop"}
        case "stopping":
            # While one is restarted nothing of this changes.
            found = {"start"} if process.wanted is False else {"restart", "stop"}
        case "backoff":
            found = {"start", "stop"}
        case _:
            found = {"start"}
    if process.pid:
        found.add("kill")
    return tuple(verb for verb in ORDER if verb in found)


def verbs_of_all(processes: Iterable[Process]) -> tuple[str, ...]:
    """What makes sense for any of a service's processes; a signal goes to one at a time."""
    found = {verb for process in processes for verb in verbs_of(process)} - {"kill"}
    return tuple(verb for verb in ORDER if verb in found)


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
