from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from luabus.errors import ConfigError
from luabus.log_setup import FORMAT, CleanFormatter, TraceFilter, setup_logging
from luabus.rpc.dispatcher import Dispatcher
from tests.support.streams import Pair


@contextmanager
def bare_root() -> Iterator[logging.Logger]:
    """The root logger as in a program that has not set up logging; entered in the test, after pytest set up its own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        yield root
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def test_sets_the_level_and_one_handler() -> None:
    with bare_root() as root:
        setup_logging("debug")
        assert root.level == logging.DEBUG
        assert len(root.handlers) == 1
        setup_logging("ERROR")
        assert (root.level, len(root.handlers)) == (logging.DEBUG, 1)


def test_a_program_that_set_up_logging_keeps_its_own() -> None:
    own = logging.NullHandler()
    with bare_root() as root:
        root.addHandler(own)
        setup_logging("INFO")
        assert root.handlers == [own]


def test_an_unknown_level_is_a_configuration_error_that_names_those_there_are() -> None:
    with bare_root() as root:
        with pytest.raises(ConfigError, match=r"LUABUS_LOG_LEVEL='loud'; there are: .*INFO") as caught:
            setup_logging("loud")
        assert root.handlers == []
    assert caught.value.key == "LUABUS_LOG_LEVEL"


async def test_what_a_handler_logs_carries_the_trace_id_of_its_message() -> None:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.addFilter(TraceFilter())
    handler.setFormatter(logging.Formatter(FORMAT))
    logger = logging.getLogger("tests.logs")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    dispatcher = Dispatcher()

    @dispatcher.rpc
    def speak(word: str) -> None:
        logger.info("%s", word)

    async with Pair() as pair:
        dispatcher.serve(pair.server)
        await pair.ask("speak", "traced", trace=0xABC)
        await pair.ask("speak", "untraced", trace=0)
    logger.info("outside")
    logger.removeHandler(handler)
    lines = text.getvalue().splitlines()
    assert "tests.logs [0000000000000abc]: traced" in lines[0]
    assert "tests.logs: untraced" in lines[1]
    assert "tests.logs: outside" in lines[2]


EVIL = "zz\nERROR   luabus.router: ALARM\r\x1b[2J\u202e\x9b31m\u2028\x85"


def logged(log: Callable[[logging.Logger], None]) -> str:
    """What a program that sets up logging with `setup_logging` writes."""
    out = io.StringIO()
    with bare_root() as root:
        setup_logging(supervised=True)
        root.handlers[0].setStream(out)  # type: ignore[attr-defined]
        log(logging.getLogger("luabus.router"))
    return out.getvalue()


@pytest.mark.parametrize(
    "log",
    [
        lambda log: log.warning("%s came", EVIL),
        lambda log: log.warning(EVIL),
        lambda log: log.getChild(EVIL).warning("x"),
    ],
    ids=["a value", "the text", "the name"],
)
def test_a_record_is_one_line_whatever_it_tells(log: Callable[[logging.Logger], None]) -> None:
    text = logged(log)
    assert len(text.splitlines()) == 1
    assert text.removesuffix("\n").isprintable()
    assert text.startswith("WARNING")


def test_no_line_of_a_traceback_passes_for_a_record() -> None:
    def log(log: logging.Logger) -> None:
        try:
            raise ValueError(EVIL)
        except ValueError:
            log.exception("failed")
        log.warning("with its stack", stack_info=True)

    lines = logged(log).splitlines()
    assert [line for line in lines if not line.startswith("    ")] == [
        "ERROR   luabus.router: failed",
        "WARNING luabus.router: with its stack",
    ]
    assert all(line.isprintable() for line in lines)
    assert "    Traceback (most recent call last):" in lines


def test_what_another_formatter_made_of_a_traceback_is_not_taken() -> None:
    try:
        raise ValueError(EVIL)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    theirs = logging.Formatter().format(record)
    assert "\nERROR" in theirs
    assert "\nERROR" not in CleanFormatter().format(record)
    assert logging.Formatter().format(record) == theirs
