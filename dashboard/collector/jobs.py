"""Jobs: long operations of the launcher such as a rolling restart or a scaling, with progress and outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from dashboard.model.answers import Job
from luabus.cluster.snapshot import Snapshot
from luabus.cluster.state import Process

AT_ONCE_S: Final = 0.3
"""An operation that is refused fails within this; one that takes longer has begun."""
KEPT: Final = 20
SHOWN_S: Final = 15.0
"""How long a job is shown after it succeeded; twenty times as long after it failed."""


@dataclass
class _Running:
    number: int
    verb: str
    name: str
    begun: float
    wanted: int | None
    before: Mapping[str, int | None]
    task: asyncio.Task[Any] = field(repr=False)
    ended: float | None = None
    ok: bool = True
    text: str = ""
    reached: int | None = None
    """Final progress; None while it may change."""


class Jobs:
    """Runs jobs: `begin` starts one and waits a moment for a refusal; subscribers are called as one goes on and when it ends."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._jobs: list[_Running] = []
        self._next = 1
        self._following: set[asyncio.Task[None]] = set()
        self._subscribers: list[Callable[[], None]] = []
        self._look: Callable[[], Awaitable[Snapshot]] | None = None

    def subscribe(
        self, changed: Callable[[], None], *, look: Callable[[], Awaitable[Snapshot]] | None = None
    ) -> None:
        """Call `changed` when a job goes on or ends; `look` polls the cluster for its final progress."""
        self._subscribers.append(changed)
        self._look = look or self._look

    def _changed(self) -> None:
        for subscriber in self._subscribers:
            subscriber()

    async def begin(
        self,
        verb: str,
        name: str,
        work: Coroutine[Any, Any, Any],
        snapshot: Snapshot,
        wanted: int | None = None,
    ) -> tuple[int, Any]:
        """Start a job; returns its number, and the result if it is done within AT_ONCE_S. Raises what it raised by then."""
        task = asyncio.create_task(work, name=f"dashboard {verb} {name}")
        before = {process.name: process.pid for process in _targets(snapshot, name)}
        job = _Running(self._next, verb, name, self._now(), wanted, before, task)
        self._next += 1
        done, _ = await asyncio.wait({task}, timeout=AT_ONCE_S)
        if done:
            return job.number, task.result()
        self._jobs = [*self._jobs, job][-KEPT:]
        following = asyncio.create_task(self._follow(job), name=f"end of {verb} {name}")
        self._following.add(following)
        following.add_done_callback(self._following.discard)
        self._changed()
        return job.number, None

    async def _follow(self, job: _Running) -> None:
        await asyncio.wait({job.task})
        self._end(job)
        if self._look is not None and not job.task.cancelled():
            job.reached = _progress(job, await self._look())[0]
            self._changed()

    def _end(self, job: _Running) -> None:
        job.ended = self._now()
        if job.task.cancelled():
            job.ok, job.text = False, "the dashboard ended"
        elif (error := job.task.exception()) is not None:
            job.ok, job.text = False, str(error)
        elif isinstance(result := job.task.result(), Mapping):
            job.ok, job.text = bool(result.get("ok", True)), str(result.get("text", ""))
        self._changed()

    def shown(self, snapshot: Snapshot) -> tuple[Job, ...]:
        """Jobs that run, and those that ended lately."""
        now = self._now()
        return tuple(
            _shown(job, snapshot)
            for job in self._jobs
            if job.ended is None or now - job.ended < SHOWN_S * (1 if job.ok else 20)
        )

    def kept(self, snapshot: Snapshot) -> tuple[Job, ...]:
        """All that can be asked for by number, also those that ended long ago."""
        return tuple(_shown(job, snapshot) for job in self._jobs)

    async def stop(self) -> None:
        """Cancel the waiting; the launcher finishes what it has begun."""
        for job in self._jobs:
            job.task.cancel()
        await asyncio.gather(*(job.task for job in self._jobs), return_exceptions=True)
        await asyncio.gather(*self._following, return_exceptions=True)


def _targets(snapshot: Snapshot, name: str) -> list[Process]:
    return [process for process in snapshot.processes if name in (process.name, process.service)]


def _progress(job: _Running, snapshot: Snapshot) -> tuple[int, int]:
    """Number of processes in the desired state, and of all concerned."""
    now = _targets(snapshot, job.name)
    total = job.wanted if job.wanted is not None else len(job.before)
    if job.verb == "stop":
        done = sum(process.pid is None for process in now)
    elif job.verb == "restart":
        done = sum(
            process.state == "running" and process.pid != job.before.get(process.name) for process in now
        )
    else:
        done = sum(process.state == "running" for process in now)
    if job.verb == "scale" and job.wanted is not None and len(job.before) > job.wanted:
        total, done = len(job.before) - job.wanted, len(job.before) - len(now)
    return min(done, total), total


def _shown(job: _Running, snapshot: Snapshot) -> Job:
    done, total = _progress(job, snapshot)
    if job.reached is not None:
        done = job.reached
    state: Literal["running", "done", "failed"] = (
        "running" if job.ended is None else "done" if job.ok else "failed"
    )
    return Job(
        number=job.number,
        verb=job.verb,
        name=job.name,
        state=state,
        done=total if state == "done" else done,
        total=total,
        text=job.text if state == "failed" else "",
    )
