"""Probes: is a foreign process up, ready, alive? With the meanings they have in Kubernetes.

`startup` holds back the other two until it has succeeded once; its failure replaces the process. `ready` says whether it is
ready, and may take that back. `liveness` replaces the process when it fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from launcher.plan.spec import ProbeSpec, ProcessSpec
from launcher.processes.backend import Backend, SpawnError, SpawnRequest, passes
from launcher.processes.exit_status import ExitStatus
from luabus.cluster.reach import open_connection
from luabus.host_addresses import parse_address
from luabus.messages import Message
from luabus.visible import visible

_TAIL_BYTES: Final = 4096

FIRST_PERIOD_S: Final = 0.1
"""Until the first success tries follow each other quickly: from this, doubling up to a second or the period."""

Execute = Callable[[tuple[str, ...], float], Awaitable[str]]
"""Runs a command within so many seconds; returns why it failed, or an empty text. Raises `SpawnError` when it could not be
run, for a reason that says nothing of the process."""

TROUBLE_S: Final = 1.0
"""Probes that ended by what nobody expected begin anew after so long."""
LAST_LINE: Final = 200
"""Characters of the last line that a command said, in the reason why it failed."""


@dataclass(frozen=True)
class Verdicts:
    """Who is told what the probes found."""

    started: Callable[[], None]
    ready: Callable[[bool, str], None]
    unhealthy: Callable[[Message], None]
    trouble: Callable[[str], None] = lambda _: None
    """The process could not be asked, which says nothing of it."""


class Prober:
    """All probes of one run of one process. `line` is fed with its output."""

    def __init__(self, spec: ProcessSpec, verdicts: Verdicts, execute: Execute) -> None:
        self._verdicts = verdicts
        self._execute = execute
        self._patterns: list[tuple[re.Pattern[bytes], asyncio.Event]] = []
        self.failure = ""
        """Why the startup or readiness probe failed when it was tried last; empty when it did not, or was not yet."""
        self._rests = 0
        self._awake = asyncio.Event()
        self._awake.set()
        self._trouble = ""
        self._startup, self._ready, self._liveness = (
            self._prepare(probe) for probe in (spec.startup, spec.ready, spec.liveness)
        )
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"probes of {spec.name}")

    def line(self, text: bytes) -> None:
        """A line of output, for `log` probes."""
        for pattern, seen in self._patterns:
            if not seen.is_set() and pattern.search(text):
                seen.set()

    def rest(self) -> None:
        """From now on nothing is asked, and what was asked already does not count."""
        self._rests += 1
        self._awake.clear()

    def go_on(self) -> None:
        """After `rest`: the next try comes after a whole period, and no earlier failure counts."""
        self._awake.set()

    def close(self) -> None:
        """Ends all probing at once."""
        self._task.cancel()

    def _prepare(self, probe: ProbeSpec | None) -> _Prepared | None:
        if probe is None:
            return None
        if probe.kind != "log":
            return _Prepared(probe, None)
        seen = asyncio.Event()
        self._patterns.append((re.compile(str(probe.target).encode()), seen))
        return _Prepared(probe, seen)

    async def _run(self) -> None:
        """Whatever comes in between, somebody goes on asking."""
        while True:
            try:
                await self._ask()
                return
            except Exception as error:
                self._tell_trouble(f"its probes begin anew: {type(error).__name__}: {error}")
                await asyncio.sleep(TROUBLE_S)

    async def _ask(self) -> None:
        if self._startup is not None:
            failure = await self._until_success(self._startup)
            if failure:
                self._verdicts.unhealthy(Message("process.startup-probe-failed", why=failure))
                return
            self._startup = None
        self._verdicts.started()
        async with asyncio.TaskGroup() as group:
            if self._ready is not None:
                group.create_task(self._watch_ready(self._ready))
            if self._liveness is not None:
                group.create_task(self._watch_liveness(self._liveness))

    async def _until_success(self, probe: _Prepared) -> str:
        """Empty on success; the failure after `failure_threshold` periods without one."""
        if probe.seen is not None:
            await probe.seen.wait()
            return ""
        loop = asyncio.get_running_loop()
        spec = probe.spec
        await asyncio.sleep(spec.initial_delay)
        give_up = loop.time() + spec.period * spec.failure_threshold
        pause, successes = FIRST_PERIOD_S, 0
        while True:
            failure = await self._try(spec)
            successes = 0 if failure != "" else successes + 1
            self.failure = self._trouble if failure is None else failure
            if successes >= spec.success_threshold:
                return ""
            if failure and loop.time() >= give_up:
                return failure
            await asyncio.sleep(min(pause, spec.period))
            pause = min(pause * 2, 1.0)

    async def _watch_ready(self, probe: _Prepared) -> None:
        while await self._until_success(probe):
            pass  # not ready yet is no failure: start_timeout bounds it
        self._verdicts.ready(True, "")
        if probe.seen is not None:
            return
        spec = probe.spec
        ready, row = True, 0
        while True:
            await asyncio.sleep(spec.period)
            failure = await self._counted(spec)
            if failure is None:
                row = 0
                continue
            self.failure = failure
            row = row + 1 if bool(failure) == ready else 0
            if row >= (spec.failure_threshold if ready else spec.success_threshold):
                ready, row = not ready, 0
                self._verdicts.ready(ready, failure)

    async def _watch_liveness(self, probe: _Prepared) -> None:
        spec, failures = probe.spec, 0
        await asyncio.sleep(spec.initial_delay)
        while True:
            await asyncio.sleep(spec.period)
            failure = await self._counted(spec)
            if failure is None:
                failures = 0
                continue
            failures = failures + 1 if failure else 0
            if failures >= spec.failure_threshold:
                code = "process.liveness-probe-failed"
                if failures > 1:
                    code = "process.liveness-probe-failed-times"
                self._verdicts.unhealthy(Message(code, count=failures, why=failure))
                return

    async def _counted(self, spec: ProbeSpec) -> str | None:
        """As `_try`; None when there was a `rest` meanwhile, after its end."""
        rests = self._rests
        failure = await self._try(spec) if self._awake.is_set() else None
        await self._awake.wait()
        return failure if rests == self._rests else None

    async def _try(self, spec: ProbeSpec) -> str | None:
        """Empty on success, or the failure; None when the process could not be asked."""
        try:
            failure = await self._try_once(spec)
        except (SpawnError, OSError, RuntimeError, MemoryError) as error:
            if isinstance(error, OSError) and not passes(error):
                return f"{spec.target}: {error.strerror or error}"
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            self._tell_trouble(f"could not be probed: {reason}")
            return None
        self._trouble = ""
        return failure

    async def _try_once(self, spec: ProbeSpec) -> str:
        if spec.kind == "exec":
            return await self._execute(tuple(spec.target), spec.timeout)
        attempt = try_http if spec.kind == "http" else try_tcp
        try:
            async with asyncio.timeout(spec.timeout):
                return await attempt(str(spec.target), spec.timeout)
        except TimeoutError:
            return f"{spec.target} did not answer within {spec.timeout:g} s"
        except ValueError as error:
            return f"{spec.target}: {error}"

    def _tell_trouble(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._verdicts.trouble(trouble)


@dataclass(frozen=True)
class _Prepared:
    spec: ProbeSpec
    seen: asyncio.Event | None
    """Set when the line of a `log` probe came."""


async def run_command(backend: Backend, request: SpawnRequest, timeout_s: float) -> str:
    """Runs `request` to its end; returns why it failed, with the last line that it said, or an empty text.

    It is killed when it takes longer, and what it started in any case. Raises `SpawnError` when it cannot be started.
    """
    command = request.argv[0]
    ending = _Ending(asyncio.get_running_loop().create_future())
    handle = backend.spawn(request, ending)
    try:
        async with asyncio.timeout(timeout_s):
            status = await asyncio.shield(ending.status)
    except TimeoutError:
        return f"{command} did not end within {timeout_s:g} s{ending.said}"
    finally:
        handle.kill_all()
        handle.close()
    return "" if status.success else f"{command} ended with {status}{ending.said}"


class _Ending:
    """A Listener that wants the end, and the last words before it."""

    def __init__(self, status: asyncio.Future[ExitStatus]) -> None:
        self.status = status
        self._tail = b""

    @property
    def said(self) -> str:
        """`: the last line`, if there was one."""
        lines = [line for line in self._tail.splitlines() if line.strip()]
        text = visible(lines[-1].decode("utf-8", "backslashreplace").strip()) if lines else ""
        return f": {text if len(text) <= LAST_LINE else text[:LAST_LINE] + '...'}" if text else ""

    def output(self, stream: str, chunk: bytes) -> None:
        self._tail = (self._tail + chunk)[-_TAIL_BYTES:]

    def exited(self, status: ExitStatus, left_behind: Sequence[int]) -> None:
        if not self.status.done():
            self.status.set_result(status)

    def gone(self) -> None:
        """The backend sees to that."""


async def try_tcp(target: str, timeout_s: float | None = None) -> str:
    """Connects to `HOST:PORT`; each address of a name has its turn within `timeout_s`. Returns "", or raises OSError."""
    _, writer = await open_connection(*parse_address(target), timeout_s)
    await _shut(writer)
    return ""


async def try_http(url: str, timeout_s: float | None = None) -> str:
    """GET; 200 to 399 is success. Returns an empty text or what was wrong, or raises OSError or ValueError."""
    parts = urlsplit(url)
    if not parts.hostname:
        return f"{url} names no host"
    reader, writer = await open_connection(parts.hostname, parts.port or 80, timeout_s)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\nUser-Agent: luabus-cluster\r\n\r\n"
        writer.write(request.encode())
        status = (await reader.readline()).decode("latin-1").split(" ", 2)
    finally:
        await _shut(writer)
    if len(status) < 2 or not status[0].startswith("HTTP/") or not status[1].isdigit():
        return f"{url} did not answer in HTTP"
    return "" if 200 <= int(status[1]) < 400 else f"{url} answered {status[1]}"


async def _shut(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
