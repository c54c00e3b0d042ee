"""Starting processes: what they are given, how their output and end are heard, what cannot be started."""

from __future__ import annotations

import asyncio
import errno
import os
import pwd
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.processes import process_tag, spawn_posix
from launcher.processes.backend import SpawnError, SpawnRequest
from launcher.processes.exit_status import ExitStatus
from launcher.processes.local import Spawner
from launcher.processes.pipes import OUTPUT_RATE
from launcher.processes.spawn_posix import PosixSpawner
from launcher.processes.spawn_threads import ThreadSpawner
from luabus import descriptors
from tests.launcher.harness import CHILD, child


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.text = {"out": bytearray(), "err": bytearray()}
        self.ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()

    def output(self, stream: str, chunk: bytes) -> None:
        self.text[stream] += chunk

    def exited(self, status: ExitStatus) -> None:
        self.ended.set_result(status)

    @property
    def lines(self) -> list[str]:
        return self.text["out"].decode().splitlines()


@pytest.fixture(params=["fork", "threads"])
async def spawner(request: pytest.FixtureRequest) -> AsyncIterator[Spawner]:
    loop = asyncio.get_running_loop()
    made = PosixSpawner(loop, adopt=False) if request.param == "fork" else ThreadSpawner(loop)
    yield made
    made.close()


def order(*words: str, **more: object) -> SpawnRequest:
    return replace(
        SpawnRequest(tuple(child(*words)), {"HELLO": "you", "PATH": os.environ["PATH"]}, "/"), **more
    )  # type: ignore[arg-type]


async def run(spawner: Spawner, what: SpawnRequest) -> tuple[Heard, ExitStatus]:
    heard = Heard()
    started = spawner.spawn(what, heard)
    status = await asyncio.wait_for(heard.ended, 10)
    started.close()
    return heard, status


async def test_output_end_and_environment(spawner: Spawner) -> None:
    heard, status = await run(spawner, order("say=one", "err=two", "env=HELLO", "env=HOME", "exit=3"))
    assert heard.lines == ["one", "HELLO=you", "HOME=None"]
    assert heard.text["err"] == b"two\n"
    assert (status.code, str(status)) == (3, "exit code 3")


async def test_all_output_comes_before_the_end(spawner: Spawner) -> None:
    heard, _ = await run(spawner, order("lines=5000", "exit=0"))
    assert len(heard.lines) == 5000


async def test_an_end_by_signal_has_its_name(spawner: Spawner) -> None:
    _, status = await run(spawner, order("kill=SIGSEGV"))
    assert str(status) == "SIGSEGV"


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"argv": ("./no-such-program",)}, "there is no program './no-such-program'"),
        ({"argv": (str(CHILD.parent),)}, "may not be executed"),
        ({"cwd": "/no/such/folder"}, "its folder /no/such/folder does not exist"),
        ({"rlimits": {"nofiles": (1, 1)}}, "there is no resource limit 'nofiles'; allowed: "),
        (
            {"rlimits": {"core": (0, 0), "nofile": (300, 200)}},
            r"could not be given rlimits: nofile = \[300, 200\]: current limit exceeds maximum limit",
        ),
        ({"user": "no-such-user"}, "there is no user 'no-such-user' on this machine"),
    ],
)
async def test_what_cannot_be_started_says_why(wrong: dict[str, object], text: str) -> None:
    spawner = PosixSpawner(asyncio.get_running_loop(), adopt=False)
    try:
        with pytest.raises(SpawnError, match=text):
            spawner.spawn(order("exit=0", **wrong), Heard())
    finally:
        spawner.close()


def refuse(number: int) -> Callable[..., object]:
    def call(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    return call


def at(count: int, call: Callable[..., object], refusal: Callable[..., object]) -> Callable[..., object]:
    """`call`, but `refusal` the time after `count` times."""
    calls = iter([call] * count + [refusal])
    return lambda *args, **options: next(calls)(*args, **options)


async def test_when_the_system_has_none_left_nothing_is_left_of_the_try(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each step of a start in turn: pipes, watching them, files to hand over, fork, what the child does, exec."""
    loop = asyncio.get_running_loop()
    spawner = PosixSpawner(loop, adopt=False)
    key = tmp_path / "key"
    key.write_text("key")
    what = order("exit=0", opened={"KEY": str(key)})
    steps: list[tuple[object, str, Callable[..., object]]] = [
        (os, "pipe", refuse(errno.EMFILE)),
        (os, "pipe", at(1, os.pipe, refuse(errno.ENFILE))),
        (os, "set_blocking", refuse(errno.ENOMEM)),
        (loop, "add_reader", refuse(errno.ENOSPC)),
        (loop, "add_reader", at(1, loop.add_reader, refuse(errno.ENOMEM))),
        (os, "open", refuse(errno.EMFILE)),
        (subprocess, "Popen", refuse(errno.EAGAIN)),
        (subprocess, "Popen", refuse(errno.ENOMEM)),
        (subprocess, "Popen", refuse(errno.ETXTBSY)),
        (signal, "pthread_sigmask", refuse(errno.ENOMEM)),
        (descriptors, "is_scarce", lambda descriptor: True),
        (process_tag, "limit", refuse(errno.EIO)),
    ]
    for owner, name, broken in steps:
        before = set(os.listdir("/dev/fd"))
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, broken)
            with pytest.raises(SpawnError) as refused:
                spawner.spawn(replace(what, owner="run/x"), Heard())
        assert refused.value.passing, (name, refused.value)
        assert set(os.listdir("/dev/fd")) == before, name
        assert not list(spawner.own)
    with pytest.raises(SpawnError, match="none cannot be opened: No such file") as final:
        spawner.spawn(order("exit=0", opened={"KEY": str(tmp_path / "none")}), Heard())
    assert not final.value.passing
    _, status = await run(spawner, what)
    spawner.close()
    assert status.success


async def test_what_a_child_may_not_have_for_want_of_processes_may_come() -> None:
    error = OSError(errno.EAGAIN, "")
    assert spawn_posix.refusal(order(), error, b"11 user = 'x': no more").passing == (errno.EAGAIN == 11)
    refused = spawn_posix.refusal(order(), subprocess.SubprocessError(""), b"1 nice = -5: not permitted")
    assert str(refused).endswith("could not be given nice = -5: not permitted")
    assert not refused.passing


async def test_a_program_that_is_being_written(tmp_path: Path) -> None:
    program = tmp_path / "program"
    shutil.copy("/bin/true", program)
    spawner = PosixSpawner(asyncio.get_running_loop(), adopt=False)
    try:
        with program.open("ab"), pytest.raises(SpawnError, match="Text file busy") as refused:
            spawner.spawn(order(argv=(str(program),)), Heard())
        assert refused.value.passing
    finally:
        spawner.close()


async def test_a_mask_and_a_limit_that_is_none() -> None:
    spawner = PosixSpawner(asyncio.get_running_loop(), adopt=False)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    limits = {"core": (resource.RLIM_INFINITY, hard)} if hard == resource.RLIM_INFINITY else {}
    heard, _ = await run(spawner, order(argv=("sh", "-c", "umask; ulimit -c"), umask=0o027, rlimits=limits))
    spawner.close()
    assert heard.lines[0] == "0027"
    assert not limits or heard.lines[1] == "unlimited"


async def test_limits_and_priority() -> None:
    spawner = PosixSpawner(asyncio.get_running_loop(), adopt=False)
    what = order(
        "rlimit=nofile",
        "rlimit=core",
        "nice",
        "exit=0",
        rlimits={"nofile": (100, 200), "core": (0, 0)},
        nice=7,
    )
    heard, _ = await run(spawner, what)
    spawner.close()
    assert heard.lines == ["nofile (100, 200)", "core (0, 0)", "nice 7"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there are no tags")
async def test_what_it_starts_is_tagged(spawner: Spawner) -> None:
    marked = order("exit=0", argv=("sh", "-c", "env -i setsid grep locks /proc/self/limits"))
    heard, _ = await run(spawner, replace(marked, owner="run/x"))
    tagged = str(process_tag.number("run/x")) in heard.lines[0]
    assert tagged is isinstance(spawner, PosixSpawner)


async def test_another_user() -> None:
    """Root may become anybody; others run it as themselves, which they may say, and as nobody else."""
    own = pwd.getpwuid(os.geteuid())
    other = pwd.getpwnam("nobody")
    spawner = PosixSpawner(asyncio.get_running_loop(), adopt=False)
    # The interpreter of a test may lie where nobody may look: any program will do.
    look = order("exit=0", argv=("/bin/sh", "-c", "id -u; id -g"))
    heard, _ = await run(spawner, replace(look, user=own.pw_name))
    assert heard.lines == [str(os.geteuid()), str(os.getegid())]
    if own.pw_uid == 0:
        heard, _ = await run(spawner, replace(look, user=other.pw_name))
        assert heard.lines == [str(other.pw_uid), str(other.pw_gid)]
    else:
        with pytest.raises(SpawnError, match="only root may run it as user 'nobody'"):
            spawner.spawn(replace(look, user=other.pw_name), Heard())
    spawner.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG")
async def test_a_flood_is_slowed_and_does_not_starve_the_loop() -> None:
    spawner = PosixSpawner(asyncio.get_running_loop(), adopt=False)
    heard = Heard()
    started = spawner.spawn(order("flood=0"), heard)
    loop = asyncio.get_running_loop()
    began = before = loop.time()
    pauses = []
    while loop.time() - began < 1.0:
        await asyncio.sleep(0.02)
        pauses.append(loop.time() - before)
        before = loop.time()
    took = before - began
    os.kill(started.pid, signal.SIGKILL)
    await heard.ended
    started.close()
    spawner.close()
    # The median: what other programs take of the machine shows in some of them.
    assert sorted(pauses)[len(pauses) // 2] < 0.2, pauses
    assert len(heard.text["out"]) <= (took + 2) * OUTPUT_RATE  # a second's worth at the start, one at the end


async def test_it_gets_the_limit_of_open_files_that_the_launcher_was_started_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    monkeypatch.setattr(descriptors, "_inherited", (222, hard))
    spawner = PosixSpawner(asyncio.get_running_loop(), adopt=False)
    try:
        for rlimits, soft in (({}, 222), ({"nofile": (111, hard)}, 111)):
            heard, _ = await run(spawner, order("rlimit=nofile", "exit=0", rlimits=rlimits))
            assert heard.lines == [f"nofile ({soft}, {hard})"]
    finally:
        spawner.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
async def test_a_file_is_opened_for_a_user_who_could_not(tmp_path: Path) -> None:
    """He reads it by the path in the variable, also what was written into it later; but in no other way."""
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    key = folder / "mail.key"
    key.write_text("the key\n")
    key.chmod(0o600)
    os.chown(key, 65534, -1)
    spawner = PosixSpawner(asyncio.get_running_loop(), adopt=False)
    try:
        script = f'cat "$KEY"; cat "$KEY"; cat {key} 2>/dev/null || echo no; id -u'
        what = SpawnRequest(
            ("/bin/sh", "-c", script), {"PATH": "/usr/bin:/bin"}, "/", user="nobody", opened={"KEY": str(key)}
        )
        heard, status = await run(spawner, what)
        assert heard.lines == ["the key", "the key", "no", "65534"]
        assert status.success
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(SpawnError):
            spawner.spawn(replace(what, opened={"KEY": str(folder / "absent")}), Heard())
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        spawner.close()
