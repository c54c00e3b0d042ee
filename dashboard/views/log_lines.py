"""How a line of a log looks; `static/log.js` says the same of those that come later."""

from __future__ import annotations

from typing import Final

from dashboard.model.answers import LogLine
from luabus.cluster.log_level import is_routine

_CLASSES: Final = {
    "DEBUG": "line-quiet",
    "WARNING": "line-warn",
    "ERROR": "line-bad",
    "CRITICAL": "line-bad",
}
_STREAMS: Final = {"out": "stdout", "err": "stderr"}


def line_class(line: LogLine) -> str:
    """Its level's; `line-err` for what went to stderr and is of no level that is routine; `line-own` for the launcher's words."""
    if line.stream == "sys":
        return "line-own"
    names = [_CLASSES.get(line.level or "", "")]
    if line.stream == "err" and not is_routine(line.level):
        names.append("line-err")
    return " ".join(filter(None, names))


def line_hint(line: LogLine) -> str:
    """When, stream and level, as the whole of what is known."""
    return " · ".join(filter(None, (line.time, _STREAMS.get(line.stream, ""), line.level or "")))
