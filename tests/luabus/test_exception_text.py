"""What an exception says of itself is had whatever its class does, within limits."""

from __future__ import annotations

import logging
import time
from typing import NoReturn

import pytest

from luabus.exception_text import (
    FATAL,
    LONGEST_TRACEBACK,
    is_a,
    log_failure,
    name_of,
    repr_of,
    text_of,
    traceback_of,
)
from tests.support.hostile import ERRORS, Abort, Classless, Nameless, Pretender, Unspeakable, chain


@pytest.mark.parametrize("what", ERRORS)
def test_every_exception_has_a_name_a_text_and_a_traceback(what: str) -> None:
    error = ERRORS[what]()
    assert name_of(type(error)).isidentifier()
    text_of(error).encode()
    assert name_of(type(error)) in traceback_of(error)
    assert len(traceback_of(error)) <= LONGEST_TRACEBACK


def test_an_exception_is_what_its_class_is_and_not_what_it_says() -> None:
    assert not is_a(Pretender(), FATAL)
    assert not is_a(Classless(), FATAL)
    assert is_a(Classless(), Classless)
    assert is_a(SystemExit(), FATAL)


def test_what_cannot_be_shown_is_told_as_such() -> None:
    assert repr_of(Unspeakable()) == "(a Unspeakable whose text cannot be had: Abort)"
    assert name_of(Nameless) == "Nameless"


def test_what_ends_the_process_passes() -> None:
    class Ends:
        def __str__(self) -> str:
            raise SystemExit(7)

    with pytest.raises(SystemExit):
        text_of(Ends())


def test_a_short_chain_is_told_in_full_and_a_long_one_by_its_end() -> None:
    text = traceback_of(chain(2))
    assert "ValueError: the first" in text
    assert "The above exception was the direct cause" in text
    started = time.process_time()
    text = traceback_of(chain(20_000))
    assert time.process_time() - started < 1
    assert "number 19999" in text
    assert "the first" not in text
    assert len(text) == LONGEST_TRACEBACK


def test_a_log_record_has_the_text_and_asks_the_exception_nothing(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("test")
    log_failure(log, "%s failed", "it", error=ValueError("why"), level=logging.WARNING)
    (record,) = caplog.records
    assert record.getMessage() == "it failed"
    assert record.exc_info is None
    assert str(record.exc_text).endswith("ValueError: why")
    log_failure(log, "not shown", error=ValueError(), level=logging.DEBUG - 1)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("where", ["filter", "emit", "factory"])
def test_a_log_that_raises_loses_the_record_alone(
    where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logging.getLogger("test.raises")

    def raises(*args: object, **named: object) -> NoReturn:
        raise Abort

    if where == "filter":
        monkeypatch.setattr(log, "filters", [raises])
    elif where == "emit":
        handler = logging.Handler()
        monkeypatch.setattr(handler, "emit", raises)
        monkeypatch.setattr(log, "handlers", [handler])
    else:
        monkeypatch.setattr(logging, "_logRecordFactory", raises)
    log_failure(log, "it failed", error=ValueError("why"))
    said = capsys.readouterr().err
    assert said.startswith("a log record is lost\n")
    assert said.rstrip(": \n").endswith("Abort")
