from __future__ import annotations

from typing import Any

from dashboard.views.processes import last_word, why
from luabus.cluster.state import Process
from tests.dashboard.cluster import process


def supervised(**more: Any) -> Process:
    return Process.read(process("mail.1", "2.1", **more))


def test_why_it_is_as_it_is() -> None:
    detail = "exit code 1; starts again in 2.0 s"
    assert str(why(supervised(state="backoff", detail=detail))) == detail
    assert [why(supervised(state=state, detail="stopped")) for state in ("running", "exited")] == [None, None]


def test_the_last_word_is_the_last_line_that_says_something() -> None:
    stderr = ["Traceback (most recent call last):", "\x1b[31mKeyError: 'x'\x1b[0m", "  "]
    assert last_word(supervised(exit={"code": 1, "text": "exit code 1", "stderr": stderr})) == "KeyError: 'x'"
    routine = ["WARNING luabus.link: slow", "INFO    luabus.link: connected to router.2"]
    assert last_word(supervised(exit={"signal": "SIGKILL", "text": "SIGKILL", "stderr": routine})) == ""
    assert last_word(supervised(exit={"code": 0, "text": "exit code 0"})) == last_word(supervised()) == ""
