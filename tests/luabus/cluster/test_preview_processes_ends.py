from __future__ import annotations

from typing import Any

import pytest

from launcher.plan.spec import LifecycleSettings
from launcher.processes.exit_status import ExitStatus
from launcher.supervision.lifecycle import Lifecycle
from launcher.supervision.states import State
from luabus.cluster import preview_processes
from luabus.cluster.restart_policy import Policy, RestartPolicy
from luabus.cluster.signals import effect_of
from luabus.cluster.state import Process
from tests.dashboard.cluster import process

AGAIN = "it is started again, for its restart policy is"
DOWN = "it stays down, for its restart policy is"


def made(**more: Any) -> Process:
    return Process.read(process("mail.1", "2.1", **more))


def ways(signal: str, **more: Any) -> list[tuple[str, bool, bool]]:
    found = preview_processes.ways_by_signal(made(**more), signal, effect_of(signal))
    return [(str(one.text).rpartition(": ")[2], one.back, one.fails) for one in found]


@pytest.mark.parametrize(
    ("policy", "signal", "then"),
    [
        ("always", "SIGTERM", (f"{AGAIN} always.", True, False)),
        ("on-failure", "SIGTERM", (f"{DOWN} on-failure.", False, False)),
        ("on-failure", "SIGINT", (f"{DOWN} on-failure.", False, False)),
        ("never", "SIGTERM", (f"{DOWN} never.", False, False)),
        ("always", "SIGKILL", (f"{AGAIN} always.", True, False)),
        ("on-failure", "SIGKILL", (f"{AGAIN} on-failure.", True, False)),
        ("never", "SIGKILL", (f"{DOWN} never.", False, True)),
        ("never", "SIGUSR1", (f"{DOWN} never.", False, True)),
        ("", "SIGKILL", ("what follows, its restart policy says.", True, False)),
    ],
)
def test_what_follows_for_a_signal_and_a_policy(
    policy: str, signal: str, then: tuple[str, bool, bool]
) -> None:
    assert ways(signal, restart_policy=policy) == [then]


def test_one_that_has_crashed_too_often_is_not_promised_back() -> None:
    gone = ("it has crashed too often lately, and stays down as failed.", False, True)
    assert ways("SIGKILL", restarts_left=0) == [gone]
    assert ways("SIGTERM", restarts_left=0, state="starting") == [gone]
    # A clean end is no crash, however many there were.
    assert ways("SIGTERM", restarts_left=0, restart_policy="always") == [(f"{AGAIN} always.", True, False)]


def test_one_that_is_not_ready_yet_crashes_whatever_its_exit_code() -> None:
    assert ways("SIGTERM", state="starting") == [(f"{AGAIN} on-failure.", True, False)]


def test_of_another_program_both_ends_are_told() -> None:
    assert ways("SIGTERM", kind="command") == [
        (f"{AGAIN} on-failure.", True, False), (f"{DOWN} on-failure.", False, False),
    ]  # fmt: skip


def test_what_is_stopping_goes_where_it_was_going() -> None:
    assert ways("SIGKILL", state="stopping", wanted=False) == [
        ("It is being stopped already, and stays down.", False, False)
    ]
    assert ways("SIGKILL", state="stopping") == [("this only ends it sooner.", True, False)]


def test_one_that_stays_paused_is_replaced_where_the_launcher_looks() -> None:
    assert preview_processes.ways_in_silence(made(liveness_timeout_s=None)) == []
    (one,) = preview_processes.ways_in_silence(made(liveness_timeout_s=2.5, restart_policy="never"))
    assert str(one.text) == (
        "At no router for 2.5 s it is taken to have hung and is ended, which counts as a crash:"
        " it stays down, for its restart policy is never."
    )


def test_an_essential_one_that_fails_takes_the_cluster_with_it() -> None:
    one = made(essential=True, restart_policy="never")
    said = preview_processes.told(
        [(one, preview_processes.ways_by_signal(one, "SIGKILL", effect_of("SIGKILL")))]
    )
    assert str(said[-1]) == "mail.1 is essential: when it has failed, the whole cluster stops."
    assert (
        len(
            preview_processes.told(
                [(one, preview_processes.ways_by_signal(one, "SIGTERM", effect_of("SIGTERM")))]
            )
        )
        == 1
    )


@pytest.mark.parametrize("policy", ["always", "on-failure", "never"])
@pytest.mark.parametrize("crashes", range(5))
@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM"])
def test_what_is_said_is_what_the_launcher_does(
    policy: Policy, crashes: int, ready: bool, signal: str
) -> None:
    machine = Lifecycle(LifecycleSettings(RestartPolicy(policy)), chance=lambda: 0.5)
    machine.start(0.0)
    machine.clear(now := 0.0)
    for _ in range(crashes):
        machine.exited(now, ExitStatus(signal=9))
        now = machine.deadline or now
        machine.due(now)
        machine.start(now)  # a person does, where the policy does not
        machine.clear(now)
    if ready:
        machine.ready(now)
    state, left = str(machine.state), machine.restarts_left(now)
    ((_, back, fails),) = ways(signal, state=state, restart_policy=policy, restarts_left=left)
    machine.exited(now, ExitStatus(signal=9) if signal == "SIGKILL" else ExitStatus(code=0))
    assert (machine.state is State.BACKOFF, machine.state is State.FAILED) == (back, fails)
