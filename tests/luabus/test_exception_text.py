"""What an exception says of itself is had whatever its class does, within limits."""

from __future__ import annotations

import io
import logging
import time

import pytest

from luabus.exception_text import (
    LONGEST_TRACEBACK,
    log_failure,
    name_of,
    plain,
    repr_of,
    text_of,
    traceback_of,
)
from luabus.log_setup import CleanFormatter
from tests.support.hostile import ERRORS, HostileNumber, HostileText, Nameless, Unspeakable, chain


@pytest.mark.parametrize("what", ERRORS)
def test_every_exception_has_a_name_a_text_and_a_traceback(what: str) -> None:
    error = ERRORS[what]()
    assert name_of(type(error)).isidentifier()
    text_of(error).encode()
    assert name_of(type(error)) in traceback_of(error)
    assert len(traceback_of(error)) <= LONGEST_TRACEBACK


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


def test_the_programs_own_log_shows_the_traceback_below_the_record() -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(CleanFormatter("%(message)s"))
    log = logging.Logger("own")
    log.addHandler(handler)
    try:
        raise ValueError("why\x1b[2J")
    except ValueError as error:
        log_failure(log, "it failed", error=error)
    first, *below = written.getvalue().splitlines()
    assert first == "it failed"
    assert below[0] == "    Traceback (most recent call last):"
    assert below[-1].startswith("    ValueError: why")
    assert "\x1b" not in written.getvalue()


def test_a_text_or_number_of_another_class_is_had_as_the_built_in_one() -> None:
    text, number = plain(HostileText("mail")), plain(HostileNumber(7))
    assert (type(text), text, type(number), number) == (str, "mail", int, 7)
    assert plain(True) is True
    assert plain(None) is None
