"""How a process ended, and signals by name."""

from __future__ import annotations

import pytest

from launcher.processes.exit_status import ExitStatus, signal_name, signal_number


@pytest.mark.parametrize(
    ("status", "text", "success"),
    [
        (ExitStatus.from_wait(0), "exit code 0", True),
        (ExitStatus.from_wait(3), "exit code 3", False),
        (ExitStatus.from_wait(-9), "SIGKILL", False),
        (ExitStatus.from_wait(-40), "signal 40", False),
        (ExitStatus(reason="no such program"), "no such program", False),
        (ExitStatus(), "unknown end", False),
    ],
)
def test_an_end_in_words(status: ExitStatus, text: str, success: bool) -> None:
    assert (str(status), status.success) == (text, success)
    assert status.as_map()["text"] == text


def test_the_map_has_the_signal_by_name() -> None:
    assert ExitStatus.from_wait(-15).as_map() == {"code": None, "signal": "SIGTERM", "text": "SIGTERM"}


@pytest.mark.parametrize("name", ["SIGKILL", "KILL", "kill", " sigkill ", "9"])
def test_signals_are_found_however_they_are_written(name: str) -> None:
    assert signal_number(name) == 9
    assert signal_name(9) == "SIGKILL"


def test_a_mistyped_signal_is_said_with_the_closest_one() -> None:
    with pytest.raises(ValueError, match=r'did you mean "SIGTERM"\?$'):
        signal_number("SIGTRM")


@pytest.mark.parametrize("name", ["SIGFOO", "", "0", "65", "-9"])
def test_an_unknown_signal_lists_the_usual_ones(name: str) -> None:
    with pytest.raises(ValueError, match=r"usual are .*SIGTERM"):
        signal_number(name)
