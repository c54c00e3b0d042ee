from __future__ import annotations

from typing import Any

import pytest

from dashboard.views.processes import last_word, verbs_of, verbs_of_all, why
from luabus.cluster.state import Process
from tests.dashboard.cluster import process


def made(**more: Any) -> Process:
    return Process.read(process("mail.1", "2.1", **more))


@pytest.mark.parametrize(
    ("state", "pid", "verbs"),
    [
        ("running", 9, "restart stop kill"), ("starting", 9, "restart stop kill"), ("starting", None, "restart stop"),
        ("stopping", 9, "restart stop kill"), ("stopping", None, "restart stop"), ("backoff", None, "start stop"),
        ("exited", None, "start"), ("failed", None, "start"),
    ],
)  # fmt: skip
def test_what_makes_sense_in_each_state(state: str, pid: int | None, verbs: str) -> None:
    assert verbs_of(made(state=state, pid=pid)) == tuple(verbs.split())


def test_one_that_is_to_stay_down_can_only_be_hurried_or_started_again() -> None:
    assert verbs_of(made(state="stopping", wanted=False)) == ("start", "kill")


def test_a_service_takes_what_makes_sense_for_any_of_its_processes() -> None:
    over = made(state="exited", pid=None)
    assert verbs_of_all([over, over]) == ("start",)
    assert verbs_of_all([made(), made()]) == ("restart", "stop")
    assert verbs_of_all([made(), over]) == ("restart", "start", "stop")


def test_why_it_is_as_it_is() -> None:
    detail = "exit code 1; starts again in 2.0 s"
    assert why(made(state="backoff", detail=detail)) == detail
    assert [why(made(state=state, detail="stopped")) for state in ("running", "exited")] == ["", ""]


def test_the_last_word_is_the_last_line_that_says_something() -> None:
    stderr = ["Traceback (most recent call last):", "\x1b[31mKeyError: 'x'\x1b[0m", "  "]
    assert last_word(made(exit={"code": 1, "text": "exit code 1", "stderr": stderr})) == "KeyError: 'x'"
    routine = ["WARNING luabus.link: slow", "INFO    luabus.link: connected to router.2"]
    assert last_word(made(exit={"signal": "SIGKILL", "text": "SIGKILL", "stderr": routine})) == ""
    assert last_word(made(exit={"code": 0, "text": "exit code 0"})) == last_word(made()) == ""
