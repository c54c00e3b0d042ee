"""Probes against real sockets and processes, and what they make of a service."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from launcher.plan.spec import Kind, LifecycleSettings, ProbeSpec, ProcessSpec, ReadyBy
from launcher.processes.backend import SpawnError, SpawnRequest
from launcher.processes.linux import direct_children
from launcher.processes.local import LocalBackend
from launcher.supervision import probes
from launcher.supervision.probes import Prober, Verdicts, run_command, try_http, try_tcp
from tests.launcher.harness import ClusterRun, child, until
from tests.support.fake_backend import FakeBackend
from tests.support.ports import free_ports

FAST = {"period": 0.02, "timeout": 0.5}


@asynccontextmanager
async def server(answer: bytes | None) -> AsyncIterator[str]:
    """Answers each request with `answer`; None never answers."""
    release = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await release.wait()
        elif await reader.readline():
            writer.write(answer)
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        release.set()
        listener.close()
        await listener.wait_closed()


async def test_tcp_succeeds_when_somebody_listens() -> None:
    async with server(b"") as address:
        assert await try_tcp(address) == ""
    with pytest.raises(OSError):
        await try_tcp(address)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", ""), (b"HTTP/1.1 302 Found\r\n\r\n", ""), (b"HTTP/1.1 404 no\r\n\r\n", "answered 404"),
        (b"HTTP/1.1 503 no\r\n\r\n", "answered 503"), (b"220 smtp\r\n", "did not answer in HTTP"),
        (b"", "did not answer in HTTP"),
    ],
)  # fmt: skip
async def test_http_succeeds_with_200_to_399(answer: bytes, said: str) -> None:
    async with server(answer) as address:
        assert said in await try_http(f"http://{address}/healthz")


class Told:
    """What a Prober says, as a queue."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self.verdicts = Verdicts(
            lambda: self.said.put_nowait(("started",)),
            lambda ready, why: self.said.put_nowait(("ready", ready, why)),
            lambda why: self.said.put_nowait(("unhealthy", str(why))),
            lambda what: self.said.put_nowait(("trouble", what)),
        )

    async def next(self) -> tuple[Any, ...]:
        return await asyncio.wait_for(self.said.get(), 5)


def spec(**probes: ProbeSpec) -> ProcessSpec:
    return ProcessSpec(
        "x.1", "x", Kind.COMMAND, ("x",), {}, ".", LifecycleSettings(), ReadyBy.PROBE, **probes
    )  # type: ignore[arg-type]


@asynccontextmanager
async def probing(results: list[str], **probes: ProbeSpec) -> AsyncIterator[tuple[Prober, Told]]:
    """Exec probes take their results from the list; its last stays."""
    told = Told()

    async def execute(command: tuple[str, ...], timeout: float) -> str:
        return results.pop(0) if len(results) > 1 else results[0]

    prober = Prober(spec(**probes), told.verdicts, execute)
    try:
        yield prober, told
    finally:
        prober.close()
        await asyncio.sleep(0)


async def test_ready_can_be_taken_back_and_given_again() -> None:
    results = ["no", "", "bad", "bad", "bad", ""]
    async with probing(results, ready=ProbeSpec("exec", ("x",), failure_threshold=3, **FAST)) as (_, told):
        said = [await told.next() for _ in range(4)]
    assert said == [("started",), ("ready", True, ""), ("ready", False, "bad"), ("ready", True, "")]


async def test_liveness_fails_after_its_threshold_in_a_row() -> None:
    results = ["", "bad", "", "bad", "bad"]
    async with probing(results, liveness=ProbeSpec("exec", ("x",), failure_threshold=2, **FAST)) as (_, told):
        assert await told.next() == ("started",)
        assert await told.next() == ("unhealthy", "liveness probe failed 2 times: bad")
    assert results == ["bad"]


async def run(*command: str, timeout_s: float = 5.0) -> str:
    backend = LocalBackend(adopt=False)
    backend.open()
    try:
        request = SpawnRequest(command, {"PATH": os.environ["PATH"]}, "/", helper=True, owner="run/x.1/1")
        failure = await run_command(backend, request, timeout_s)
        async with asyncio.timeout(10):
            while direct_children():  # noqa: ASYNC110 - its end is heard by nobody any more
                await asyncio.sleep(0.01)
        return failure
    finally:
        backend.close()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo fine; exit 0", ""),
        ("echo trying; echo connection refused >&2; exit 1", "sh ended with exit code 1: connection refused"),
        ("printf 'half a line'; exit 2", "sh ended with exit code 2: half a line"),
        ("exit 3", "sh ended with exit code 3"),
        (r"printf '\033[31mred\r\n\n'; exit 1", r"sh ended with exit code 1: \x1b[31mred"),
        ("seq -s, 1000; exit 1", f"sh ended with exit code 1: {','.join(map(str, range(1, 99)))}"[:80]),
        ("kill -9 $$", "sh ended with SIGKILL"),
    ],
)
async def test_the_last_line_that_a_probe_said_is_part_of_the_reason(script: str, why: str) -> None:
    failure = await run("sh", "-c", script)
    assert failure == why or (len(why) == 80 and failure.startswith(why) and len(failure) < 240)


async def test_one_that_takes_too_long_has_said_something_too() -> None:
    failure = await run("sh", "-c", "echo waits for the lock; sleep 100", timeout_s=0.5)
    assert failure == "sh did not end within 0.5 s: waits for the lock"


async def test_one_that_cannot_be_started_has_not_failed() -> None:
    backend = FakeBackend()
    backend.error = SpawnError("there is no program 'x'")
    with pytest.raises(SpawnError):
        await run_command(backend, SpawnRequest(("x",), {}, "/", helper=True), 1.0)


@pytest.mark.parametrize(
    "trouble",
    [
        SpawnError("none left", passing=True),
        OSError(errno.EMFILE, "none left"),
        MemoryError("none left"),
        RuntimeError("none left"),
    ],
)
async def test_who_cannot_be_asked_has_not_failed_and_is_asked_again(trouble: Exception) -> None:
    results: list[str | Exception] = ["", trouble, trouble, trouble, "bad"]
    told = Told()

    async def execute(command: tuple[str, ...], timeout: float) -> str:
        result = results.pop(0) if len(results) > 1 else results[0]
        if isinstance(result, Exception):
            raise result
        return result

    probe = ProbeSpec("exec", ("x",), failure_threshold=2, **FAST)
    prober = Prober(spec(liveness=probe), told.verdicts, execute)
    try:
        assert await told.next() == ("started",)
        assert await told.next() == ("trouble", "could not be probed: none left")  # said once
        assert await told.next() == ("unhealthy", "liveness probe failed 2 times: bad")
        assert results == ["bad"]
    finally:
        prober.close()
        await asyncio.sleep(0)


async def test_probes_that_end_by_what_nobody_expected_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "TROUBLE_S", 0.01)
    results: list[str | Exception] = [KeyError("x"), ""]
    told = Told()

    async def execute(command: tuple[str, ...], timeout: float) -> str:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    prober = Prober(spec(ready=ProbeSpec("exec", ("x",), period=100.0)), told.verdicts, execute)
    try:
        assert await told.next() == ("started",)
        assert (await told.next())[0] == "trouble"
        assert await told.next() == ("started",)
        assert await told.next() == ("ready", True, "")
    finally:
        prober.close()
        await asyncio.sleep(0)


async def test_what_fails_while_it_rests_does_not_count_nor_what_failed_before() -> None:
    results = ["bad", "bad", ""]
    asked = asyncio.Event()

    async def execute(command: tuple[str, ...], timeout: float) -> str:
        asked.set()
        await asyncio.sleep(0)
        return results.pop(0) if len(results) > 1 else results[0]

    told = Told()
    probe = ProbeSpec("exec", ("x",), failure_threshold=2, **FAST)
    prober = Prober(spec(liveness=probe), told.verdicts, execute)
    try:
        assert await told.next() == ("started",)
        await asyncio.wait_for(asked.wait(), 5)
        prober.rest()  # during the first try
        asked.clear()
        await asyncio.sleep(probe.period * 3)
        assert not asked.is_set()
        prober.go_on()
        for _ in range(3):
            asked.clear()
            await asyncio.wait_for(asked.wait(), 5)
        assert told.said.empty()
    finally:
        prober.close()
        await asyncio.sleep(0)


async def test_startup_holds_the_others_back() -> None:
    startup = ProbeSpec("exec", ("x",), failure_threshold=100, **FAST)
    async with probing(["no", "no", ""], startup=startup, ready=ProbeSpec("log", "up")) as (prober, told):
        prober.line(b"we are up")
        assert await told.next() == ("started",)
        assert await told.next() == ("ready", True, "")


async def test_startup_that_fails_replaces_the_process() -> None:
    async with probing(["no"], startup=ProbeSpec("exec", ("x",), failure_threshold=2, **FAST)) as (_, told):
        assert await told.next() == ("unhealthy", "startup probe failed: no")


async def test_success_threshold_wants_successes_in_a_row() -> None:
    results = ["", "no", "", "", "again"]
    async with probing(
        results, ready=ProbeSpec("exec", ("x",), success_threshold=2, failure_threshold=1, **FAST)
    ) as (_, told):
        assert await told.next() == ("started",)
        assert await told.next() == ("ready", True, "")
        assert await told.next() == ("ready", False, "again")


async def test_one_that_does_not_answer_in_time_has_failed() -> None:
    async with server(None) as address:
        probe = ProbeSpec("http", f"http://{address}/", failure_threshold=1, period=0.02, timeout=0.05)
        async with probing([""], startup=probe) as (_, told):
            assert "did not answer within 0.05 s" in (await told.next())[1]


# -- in a cluster ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRun]:
    run = ClusterRun(tmp_path_factory.mktemp("probes") / "cluster")
    port = free_ports()
    url = f"http://127.0.0.1:{port}/healthz"
    beat = {"period": 0.1, "failure_threshold": 2}
    exec_probe = {
        "exec": [*child("fail-if=sick"), "exit=0"],
        "period": 0.2,
        "timeout": 5.0,
        "failure_threshold": 1,
    }
    run.write(
        {
            "web": {
                "command": child(f"listen={port}", "wait"), "cwd": ".", "startup": {"tcp": port}, "ready": {"http": url, **beat},
            },
            "worker": {"command": child("wait"), "cwd": ".", "ready": exec_probe},
            "lively": {"command": child("wait"), "cwd": ".", "liveness": exec_probe, "restart": {"backoff": 0.05}},
        }
    )  # fmt: skip
    run.ok("up", "-d")
    yield run
    run.end()


def test_ready_by_tcp_http_and_exec(cluster: ClusterRun) -> None:
    assert cluster.status()["state"] == "healthy"


def test_not_ready_any_more_is_shown_and_passes(cluster: ClusterRun) -> None:
    unwell = cluster.folder / "unwell"
    unwell.touch()
    until(lambda: not cluster.process("web.1")["ready"], "it is not ready")
    row = cluster.process("web.1")
    assert row["state"] == "running"
    status = cluster("status")
    assert (status.code, "web.1 runs, but is not ready" in status.out) == (1, True)
    unwell.unlink()
    until(lambda: cluster.process("web.1")["ready"], "it is ready again")
    assert cluster.process("web.1")["pid"] == row["pid"]


def test_liveness_replaces(cluster: ClusterRun) -> None:
    sick = cluster.folder / "sick"
    sick.touch()
    until(lambda: cluster.process("lively.1")["restarts"], "it is replaced")
    sick.unlink()
    assert "liveness probe failed once" in cluster.log("lively.1")
