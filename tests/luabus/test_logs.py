"""What is raised where a record is handled costs the record alone."""

from __future__ import annotations

import io
import logging
from typing import NoReturn

import pytest

from luabus.log_setup import CleanFormatter
from luabus.logs import Log
from tests.support.hostile import Abort


def test_a_record_has_the_text_and_asks_the_exception_nothing(caplog: pytest.LogCaptureFixture) -> None:
    log = Log("test")
    log.failure("%s failed", "it", error=ValueError("why"), level=logging.WARNING)
    (record,) = caplog.records
    assert record.getMessage() == "it failed"
    assert record.exc_info is None
    assert str(record.exc_text).endswith("ValueError: why")
    log.failure("not shown", error=ValueError(), level=logging.DEBUG - 1)
    assert len(caplog.records) == 1


def test_a_record_is_as_any_loggers(caplog: pytest.LogCaptureFixture) -> None:
    log = Log("test")
    log.warning("%s of %d", "one", 2)
    log.debug("not shown")
    (record,) = caplog.records
    assert (record.name, record.getMessage(), record.levelname) == ("test", "one of 2", "WARNING")
    assert (record.filename, record.funcName) == ("test_logs.py", "test_a_record_is_as_any_loggers")


def _break(where: str, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    def raises(*args: object, **named: object) -> NoReturn:
        raise error

    logger = logging.getLogger("test")
    if where == "filter":
        monkeypatch.setattr(logger, "filters", [raises])
    elif where == "emit":
        handler = logging.Handler()
        monkeypatch.setattr(handler, "emit", raises)
        monkeypatch.setattr(logger, "handlers", [handler])
    else:
        monkeypatch.setattr(logging, "_logRecordFactory", raises)


@pytest.mark.parametrize("where", ["filter", "emit", "factory"])
def test_a_log_that_raises_loses_the_record_alone(
    where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _break(where, monkeypatch, Abort)
    log = Log("test")
    log.failure("it failed", error=ValueError("why"))
    log.error("it failed")
    said = capsys.readouterr().err
    assert said.count("a log record is lost\n") == 2
    assert said.rstrip(": \n").endswith("Abort")


@pytest.mark.parametrize("where", ["filter", "emit"])
def test_what_ends_the_process_passes(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _break(where, monkeypatch, KeyboardInterrupt)
    log = Log("test")
    with pytest.raises(KeyboardInterrupt):
        log.failure("it failed", error=ValueError("why"))
    with pytest.raises(KeyboardInterrupt):
        log.error("it failed")


def test_the_programs_own_log_shows_the_traceback_below_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(CleanFormatter("%(message)s"))
    log = Log("luabus.own")
    monkeypatch.setattr(log.logger, "handlers", [handler])
    try:
        raise ValueError("why\x1b[2J")
    except ValueError as error:
        log.failure("it failed", error=error)
    first, *below = written.getvalue().splitlines()
    assert first == "it failed"
    assert below[0] == "    Traceback (most recent call last):"
    assert below[-1].startswith("    ValueError: why")
    assert "\x1b" not in written.getvalue()
