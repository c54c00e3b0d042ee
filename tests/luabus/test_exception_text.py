"""What an exception says of itself is had whatever its class does, within limits."""

from __future__ import annotations

import time

import pytest

from luabus.exception_text import (
    FATAL,
    LONGEST_TRACEBACK,
    is_a,
    name_of,
    plain,
    repr_of,
    text_of,
    traceback_of,
)
from tests.support.hostile import (
    ERRORS,
    Classless,
    HostileNumber,
    HostileText,
    Nameless,
    Pretender,
    Unspeakable,
    chain,
)


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


def test_a_text_or_number_of_another_class_is_had_as_the_built_in_one() -> None:
    text, number = plain(HostileText("mail")), plain(HostileNumber(7))
    assert (type(text), text, type(number), number) == (str, "mail", int, 7)
    assert plain(True) is True
    assert plain(None) is None
