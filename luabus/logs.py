"""luabus' own loggers. What a program's filters and handlers raise there costs the record, and nothing else.

A log is written in the midst of everything: of a frame, of a change of master. `SystemExit` and `KeyboardInterrupt` pass.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Any

from luabus.exception_text import FATAL, traceback_of


class OwnTraceback(str):
    """A traceback that `Log.failure` has made: a formatter need not ask whose it is."""

    __slots__ = ()


class Log(logging.LoggerAdapter[logging.Logger]):
    """The logger of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name))

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """As a `Logger` does; the other methods come here."""
        if self.isEnabledFor(level):
            try:
                self.logger.log(level, msg, *args, stacklevel=2, **options)  # not this line: its caller's
            except FATAL:
                raise
            except BaseException as error:
                _report(error)

    def failure(self, text: str, *args: Any, error: BaseException, level: int = logging.ERROR) -> None:
        """Log `text` with the error's traceback, within its limit. Raises nothing of what the error's class does."""
        if not self.isEnabledFor(level):
            return
        told = OwnTraceback(traceback_of(error).rstrip("\n"))
        try:
            record = self.logger.makeRecord(self.name, level, __file__, 0, text, args, None)
            record.exc_text = told  # a formatter writes this, and asks the exception nothing
            self.logger.handle(record)
        except FATAL:
            raise
        except BaseException as another:
            _report(another)


def _report(error: BaseException) -> None:
    """A record is lost, for `error` was raised where it was handled: say so on stderr, as `logging` does."""
    with suppress(Exception):
        sys.stderr.write(f"a log record is lost\n{traceback_of(error)}")
