"""Routes and methods for the shell, as click asks for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from launcher.cli.main import cli

FILE = """
[services.chat]
group = 2
instances = 2
run = "rooms.chat:service"
[services.web]
command = ["x"]
"""
CHAT = """
@service.rpc
def say(): ...
@service.rpc(thread=True)
async def stats(): ...
def helper(): ...
"""


@pytest.fixture
def complete(tmp_path: Path) -> object:
    (tmp_path / "cluster.toml").write_text(FILE)
    (tmp_path / "rooms").mkdir()
    (tmp_path / "rooms" / "chat.py").write_text(CHAT)

    def ask(*words: str) -> list[str]:
        shell = ShellComplete(cli, {}, "luabus-cluster", "_X")
        given = ["-c", str(tmp_path / "cluster.toml"), *words]
        return [item.value for item in shell.get_completions(given[:-1], given[-1])]

    return ask


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["call", "ra"], ["random:"]),
        (["call", "random:c"], ["random:chat"]),
        (["call", "hash:c"], ["hash:chat:"]),
        (["call", "target:chat."], ["target:chat.1", "target:chat.2"]),
        (["call", "target:chat.1", "s"], ["say", "stats"]),
        (["call", "hash:chat:bob", ""], ["say", "stats"]),
        (["call", "random:web", ""], []),
        (["call", "random:nobody", ""], []),
        (["kill", "chat.1", "-s", "HU"], ["HUP"]),
        (["kill", "chat.1", "-s", "SIGHU"], ["SIGHUP"]),
        (["kill", "web"], ["web", "web.1"]),
        (["routes", "ch"], ["chat"]),
        (["status", "chat."], ["chat.1", "chat.2"]),
        (["run", "web."], ["web.1"]),
    ],
)
def test_what_is_completed(complete: object, words: list[str], completed: list[str]) -> None:
    assert complete(*words) == completed  # type: ignore[operator]


def test_a_module_that_is_no_python_completes_nothing(complete: object, tmp_path: Path) -> None:
    (tmp_path / "rooms" / "chat.py").write_text("def (")
    assert complete("call", "random:chat", "") == []  # type: ignore[operator]
