from __future__ import annotations

import os
import signal
import socket

from luabus import forks


class Watched:
    def __init__(self) -> None:
        self.descriptor = -1
        self.told = 0

    def forked(self) -> None:
        self.told += 1
        if self.descriptor >= 0:
            forks.let_go(self.descriptor)


def in_child(check: object) -> int:
    """The exit code of a child that ran `check()`: 0 when it was true."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            code = 0 if check() else 2  # type: ignore[operator]
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_what_is_watched_is_told_in_the_child_alone_and_once() -> None:
    watched = Watched()
    forks.watch(watched)
    assert in_child(lambda: watched.told == 1) == 0
    assert watched.told == 0
    assert in_child(lambda: in_child(lambda: watched.told == 1) == 0) == 0, "a grandchild has nothing of ours"


def test_the_other_end_sees_the_close_while_a_child_lives_and_its_number_is_not_used_again() -> None:
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    watched = Watched()
    watched.descriptor = ours.fileno()
    forks.watch(watched)
    pid = os.fork()
    if not pid:
        fresh = os.open(os.devnull, os.O_RDONLY)
        os.write(write, b"1" if fresh != ours.fileno() and not os.get_inheritable(ours.fileno()) else b"0")
        signal.pause()
    ours.close()
    theirs.settimeout(5)
    assert theirs.recv(1) == b""
    os.close(write)
    assert os.read(read, 1) == b"1"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(read)
    theirs.close()
