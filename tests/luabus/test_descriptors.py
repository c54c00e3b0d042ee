"""Limits of file descriptors, each tried in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")


def run(program: str) -> str:
    """What a program prints that has 256 descriptors and may have 1,000."""
    begin = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1000))\n"
    result = subprocess.run(
        [sys.executable, "-c", begin + textwrap.dedent(program)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_limit_is_raised_to_the_hard_one_and_remembered() -> None:
    program = """
        from luabus import descriptors
        print(descriptors.inherited())
        descriptors.raise_limit()
        descriptors.raise_limit()
        print(resource.getrlimit(resource.RLIMIT_NOFILE), descriptors.inherited())
    """
    assert run(program).split("\n") == ["None", "(1000, 1000) (256, 1000)"]


def test_there_is_room_for_what_the_limit_leaves() -> None:
    program = """
        import os
        from luabus.descriptors import RESERVE, room
        before = room(100_000)
        opened = [os.dup(0) for _ in range(10)]
        print(room(5), 150 < before <= 256 - RESERVE, before - room(100_000))
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 1000))
        print(room(100_000))
    """
    assert run(program).split("\n") == ["5 True 10", "1"]


def test_without_a_descriptor_whoever_waits_is_turned_away_once() -> None:
    program = """
        import os, socket
        from luabus.descriptors import ListeningSocket
        listening = ListeningSocket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(20)
        listening.setblocking(False)
        clients = [socket.socket() for _ in range(3)]
        held = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError:
            pass
        for client in clients:
            client.connect(listening.getsockname())
        for _ in range(3):
            try:
                print(listening.accept())
            except BlockingIOError as error:
                print("nobody", listening.shed)
        print([client.recv(1) for client in clients])
        os.close(held.pop()), os.close(held.pop())
        late = socket.socket()
        late.connect(listening.getsockname())
        os.close(held.pop())
        print(type(listening.accept()[0]).__name__)
        listening.close()
    """
    assert run(program).split("\n") == [
        "nobody 3",
        "nobody 3",
        "nobody 3",
        "[b'', b'', b'']",
        "socket",
    ]


def test_the_last_ones_are_scarce() -> None:
    program = """
        from luabus import descriptors
        print(descriptors.is_scarce(239), descriptors.is_scarce(240), descriptors.most())
        resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
        print(descriptors.is_scarce(39), descriptors.is_scarce(40), descriptors.most())
    """
    assert run(program).split("\n") == ["False True 1000", "False True 48"]
