from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from luabus.errors import ConfigError
from luabus.log_setup import FORMAT, TraceFilter, setup_logging
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
