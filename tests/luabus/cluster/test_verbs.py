from __future__ import annotations

from typing import Any

import pytest

from luabus.cluster.preview_processes import PREVIEWS
from luabus.cluster.state import Process
from luabus.cluster.verbs import BY_NAME, VERBS, Takes, Verb, launchers, offered, offered_to_all
from luabus.messages import known_codes
from tests.dashboard.cluster import process


def made(**more: Any) -> Process:
    return Process.read(process("mail.1", "2.1", **more))


def names(verbs: tuple[Verb, ...]) -> tuple[str, ...]:
    return tuple(verb.name for verb in verbs)


def test_every_verb_has_one_row() -> None:
    assert len(BY_NAME) == len(VERBS)


def test_every_verb_of_the_launcher_for_pages_has_a_preview() -> None:
    assert {verb.name for verb in launchers() if verb.role is not None} == set(PREVIEWS)


def test_every_verb_has_its_texts() -> None:
    codes = {verb.help for verb in launchers() if verb.takes is not Takes.NOTHING}
    codes |= {verb.audit for verb in launchers()}
    assert codes - known_codes("en") == set()


@pytest.mark.parametrize(
    ("state", "pid", "verbs"),
    [
        ("running", 9, "restart stop pause kill"), ("starting", 9, "restart stop kill"), ("starting", None, "restart stop"),
        ("stopping", 9, "restart stop kill"), ("stopping", None, "restart stop"), ("backoff", None, "start stop"),
        ("exited", None, "start"), ("failed", None, "start"),
    ],
)  # fmt: skip
def test_what_makes_sense_in_each_state(state: str, pid: int | None, verbs: str) -> None:
    assert names(offered(made(state=state, pid=pid))) == tuple(verbs.split())


def test_one_that_is_to_stay_down_can_only_be_hurried_or_started_again() -> None:
    assert names(offered(made(state="stopping", wanted=False))) == ("start", "kill")


def test_a_service_takes_what_makes_sense_for_any_of_its_processes() -> None:
    over = made(state="exited", pid=None)
    assert names(offered_to_all([over, over])) == ("start",)
    assert names(offered_to_all([made(), made()])) == ("restart", "stop", "pause")
    assert names(offered_to_all([made(), over])) == ("restart", "start", "stop", "pause")


def test_what_is_paused_can_be_resumed_and_ended() -> None:
    assert names(offered(made(held="paused", held_by="ann"))) == ("restart", "stop", "resume", "kill")
