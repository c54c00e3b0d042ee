"""An instance in this terminal: which is meant, what it is given, and that its place is given back."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.cli.foreground_run import find_spec, shell_lines
from launcher.errors import UsageError
from tests.launcher.harness import ClusterRun, alive, until

CHAT = """
import os
import luabus

service = luabus.Service()

@service.rpc
def who():
    return [os.getpid(), os.environ.get("GREETING")]

@service.rpc
def look():
    x = 42
    breakpoint()
    return x
"""


class Terminal:
    """`run chat.2` in a terminal of its own."""

    def __init__(self, run: ClusterRun, *words: str) -> None:
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, "-m", "launcher", "-c", str(run.file), "run", *words])
        self._seen = ""

    def until(self, text: str, patience_s: float = 20.0) -> str:
        """Reads until there is this text; what was read."""
        deadline = time.monotonic() + patience_s
        while text not in self._seen:
            assert time.monotonic() < deadline, (text, self._seen)
            if select.select([self._end], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    self._seen += os.read(self._end, 4096).decode()
        before, _, self._seen = self._seen.partition(text)
        return before + text

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def wait(self) -> int:
        """Its exit code."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._end)
        return code


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRun]:
    run = ClusterRun(tmp_path_factory.mktemp("run") / "cluster")
    run.module("chat", CHAT)
    run.write({"chat": {"run": "chat:service", "group": 2, "instances": 2, "env": {"GREETING": "it's"}}})
    run.ok("up", "-d")
    yield run
    run.end()


def who(run: ClusterRun) -> list[object]:
    found: list[object] = json.loads(run.ok("call", "target:chat.2", "who").out)
    return found


def test_a_breakpoint_longer_than_routers_bear_silence_and_ctrl_c(run: ClusterRun) -> None:
    supervised = run.process("chat.2")["pid"]
    terminal = Terminal(run, "chat.2")
    told = terminal.until("chat.2 (2.2) is ready")
    assert re.search(r"\d\d:\d\d:\d\d,\d+ INFO", told), "nobody else writes the time here"
    assert not alive(supervised)
    row = run.process("chat.2")
    assert (row["state"], row["held"], row["pid"]) == ("exited", "lent", None)
    status = run("status")
    assert (status.code, "runs chat.2 in a terminal" in status.out) == (1, True)
    assert who(run)[1] == "it's"
    caller = subprocess.Popen(
        [sys.executable, "-m", "launcher", "-c", str(run.file), "call", "-t", "60", "target:chat.2", "look"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    terminal.until("(Pdb) ")
    stood_at = time.monotonic()
    until(lambda: time.monotonic() - stood_at > 5, "longer than 3.5 s")
    terminal.type("p x\n")
    terminal.until("42")
    terminal.type("c\n")
    assert caller.communicate(timeout=20)[0] == "42\n"
    refused = run("start", "chat.2")
    assert (refused.code, "in a terminal; end it there first" in refused.err) == (1, True)
    assert run("run", "chat.2").code == 1, "it is lent already"
    terminal.type("\x03")
    terminal.until("it is supervised again")
    assert terminal.wait() == 0
    until(lambda: run.process("chat.2")["ready"], "it is back")
    assert run.process("chat.2")["held"] is None


def test_a_terminal_that_is_killed_gives_the_place_back(run: ClusterRun) -> None:
    terminal = Terminal(run, "chat.2")
    terminal.until("is ready")
    here = who(run)[0]
    os.kill(terminal.pid, signal.SIGKILL)
    assert terminal.wait() == -signal.SIGKILL
    until(lambda: run.process("chat.2")["ready"], "it is back")
    assert isinstance(here, int)
    assert not alive(here)


def test_what_it_started_ends_with_it_however_it_ends(tmp_path: Path) -> None:
    """A port that a helper still holds would keep the supervised one from coming back."""
    run = ClusterRun(tmp_path / "cluster")
    helper = "trap '' TERM INT HUP; while :; do sleep 0.1; done"
    script = f'sh -c "{helper}" & echo helper $!; trap "" TERM; wait'
    run.write({"family": {"command": ["sh", "-c", script], "restart": {"stop_timeout": 0.3}}})
    run.ok("up", "-d")
    try:
        killed = subprocess.Popen(
            [sys.executable, "-m", "launcher", "-c", str(run.file), "run", "family"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        assert killed.stdout
        with killed.stdout:
            helper_pid = int(killed.stdout.readline().split()[1])
            killed.kill()
            killed.wait()
        until(lambda: run.process("family.1")["pid"], "the supervised one is back")
        assert not alive(helper_pid)
        assert run("run", "family.2").code == 2, "nobody has this name"
        terminal = Terminal(run, "family")
        terminal.until("helper ")
        helper_pid = int(terminal.until("\n"))
        run.ok("down")
        terminal.until("the cluster has stopped")
        assert terminal.wait() == 128 + signal.SIGKILL, "it does not heed SIGTERM"
        assert not alive(helper_pid)
    finally:
        run.end()


def test_kept_stopped_and_its_exit_code(run: ClusterRun) -> None:
    terminal = Terminal(run, "chat.2", "--keep-stopped")
    terminal.until("is ready")
    here = who(run)[0]
    assert isinstance(here, int)
    os.kill(here, signal.SIGKILL)
    terminal.until("chat.2 has ended here (SIGKILL)")
    assert terminal.wait() == 128 + signal.SIGKILL
    assert run.process("chat.2")["state"] == "exited"
    run.ok("start", "chat.2")


def test_which_process_is_meant(run: ClusterRun) -> None:
    assert find_spec(run.file, "chat.2")[1].name == "chat.2"
    assert find_spec(run.file, "chat.7")[1].env["LUABUS_INSTANCE"] == "7", "as `scale` would make it"
    assert find_spec(run.file, "router")[1].name == "router.1"
    with pytest.raises(UsageError, match=r"chat\.1, chat\.2"):
        find_spec(run.file, "chat")
    for name in ("chta.1", "chat.0", "chat.x", "chat.70000"):
        with pytest.raises(UsageError, match="there is no process or service"):
            find_spec(run.file, name)


def test_a_shell_reads_what_is_printed(tmp_path: Path) -> None:
    values = {"A": "it's", "B": "two\nlines $HOME `x` \\", "C": ""}
    script = "\n".join([*shell_lines({**values, "no-name": "x"}, export=True), "env -0"])
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    read = dict(entry.partition("=")[::2] for entry in done.stdout.split("\0"))
    assert {name: read[name] for name in values} == values
    assert "# no-name is no name for a shell" in script
