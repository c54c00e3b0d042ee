"""Logging of luabus processes: one line a record, with the trace id of the call being handled."""

from __future__ import annotations

import logging

from luabus.errors import ConfigError
from luabus.rpc.context import current

FORMAT = "%(asctime)s %(levelname)-7s %(name)s%(trace)s: %(message)s"
SUPERVISED_FORMAT = "%(levelname)-7s %(name)s%(trace)s: %(message)s"
"""Under the launcher, which writes the time in front of every line."""


class TraceFilter(logging.Filter):
    """Gives each record a `trace`: ` [0123456789abcdef]` inside a handler whose message carries one, else nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        call = current.get()
        record.trace = f" [{call.trace:016x}]" if call is not None and call.trace else ""
        return True


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
    handler.setFormatter(logging.Formatter(SUPERVISED_FORMAT if supervised else FORMAT))
    root.addHandler(handler)
    root.setLevel(level.upper())
