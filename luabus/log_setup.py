"""Logging of luabus processes: one line a record, with the trace id of the call being handled.

What a record tells may come from others, so it can neither begin a line that looks like a record nor drive the terminal that
shows it: see `CleanFormatter`.
"""

from __future__ import annotations

import logging

from luabus.errors import ConfigError
from luabus.logs import OwnTraceback
from luabus.rpc.context import current
from luabus.visible import visible

FORMAT = "%(asctime)s %(levelname)-7s %(name)s%(trace)s: %(message)s"
SUPERVISED_FORMAT = "%(levelname)-7s %(name)s%(trace)s: %(message)s"
"""Under the launcher, which writes the time in front of every line."""


class TraceFilter(logging.Filter):
    """Gives each record a `trace`: ` [0123456789abcdef]` inside a handler whose message carries one, else nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        call = current.get()
        record.trace = f" [{call.trace:016x}]" if call is not None and call.trace else ""
        return True


class CleanFormatter(logging.Formatter):
    """One line a record, `visible`; a traceback comes below it, indented, so that no line of it passes for a record."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return visible(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        return indented(super().formatException(ei))  # type: ignore[arg-type]

    def formatStack(self, stack_info: str) -> str:
        return indented(super().formatStack(stack_info))

    def format(self, record: logging.LogRecord) -> str:
        kept, record.exc_text = record.exc_text, None  # another formatter's, which did not clean it
        if isinstance(kept, OwnTraceback):
            record.exc_text = indented(kept)
        try:
            return super().format(record)
        finally:
            record.exc_text = kept


def indented(text: str) -> str:
    """Lines that belong to the one above them."""
    return "\n".join(f"    {visible(line)}" for line in text.split("\n"))


def setup_logging(level: str = "INFO", *, supervised: bool = False) -> None:
    """Log to stderr, unless the program has set up logging itself. Raises `ConfigError` for an unknown level."""
    names = logging.getLevelNamesMapping()
    if level.upper() not in names:
        raise ConfigError(
            f"LUABUS_LOG_LEVEL={level!r}; there are: {', '.join(names)}", key="LUABUS_LOG_LEVEL"
        )
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler()
    handler.addFilter(TraceFilter())
    handler.setFormatter(CleanFormatter(SUPERVISED_FORMAT if supervised else FORMAT))
    root.addHandler(handler)
    root.setLevel(level.upper())
