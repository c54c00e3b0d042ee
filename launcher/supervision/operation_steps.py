"""What an operation does to one process, in its turn, and how it goes from one process to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from launcher.supervision.instance import Instance, was_killed
from launcher.supervision.operation_queue import Turn
from launcher.supervision.states import SETTLED, State
from launcher.supervision.supervisor import Supervisor
from luabus.messages import Message

STOPPED, REMOVED = "report.was-stopped-meanwhile", "report.was-removed-meanwhile"
"""What overtook a verb, by its code."""

RESTARTED, TAKEN_OUT = Message("process.restarted"), Message("process.removed")
Failure = Message | None  # why a step did not come about

CAME_UP_OR_NOT = frozenset({State.RUNNING, State.BACKOFF, State.FAILED, State.EXITED})
DONE_OR_NOT = CAME_UP_OR_NOT - {State.RUNNING}


class OperationSteps:
    """On the processes of one supervisor. Each step returns why it did not come about, or None."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def start_one(self, turn: Turn) -> Failure:
        """Starts what is not up, and waits until it is, or will not be soon."""
        async with turn:
            if void := self._void(turn):
                return void
            instance = self._supervisor.instances[turn.name]
            instance.start()
            return await self._comes_up(instance, turn)

    async def restart_one(self, turn: Turn, why: Message = RESTARTED) -> Failure:
        """Stops it and starts it again."""
        async with turn:
            if void := self._void(turn):
                return void
            instance = self._supervisor.instances[turn.name]
            instance.stop(why, again=True)
            failure = await self._comes_up(instance, turn)
            turn.note = was_killed(instance)
            return failure

    async def renew_one(self, turn: Turn) -> Failure:
        """Restarts it for what changed in the file."""
        instance = self._supervisor.instances.get(turn.name)
        if instance is not None and not instance.machine.wanted:
            return None  # stopped by hand: what changed holds from its next start on
        return await self.restart_one(turn, Message("process.reloaded"))

    async def stop_one(self, turn: Turn, why: Message) -> Failure:
        """Waits until nothing of it lives."""
        async with turn:
            await self._bring_down(turn, why)
        return None

    async def remove_one(self, turn: Turn) -> Failure:
        """Waits until nothing of it lives, and drops it."""
        async with turn:
            if await self._bring_down(turn, TAKEN_OUT):
                self._supervisor.forget(turn.name)
        return None

    async def _bring_down(self, turn: Turn, why: Message) -> bool:
        """False when somebody removed it already."""
        instance = self._supervisor.instances.get(turn.name)
        if instance is None:
            return False
        instance.stop(why)  # once more: a verb that was asked for later may have been first in the lane
        await instance.until(lambda: instance.state in SETTLED)
        turn.note = was_killed(instance)
        return True

    async def _comes_up(self, instance: Instance, turn: Turn) -> Failure:
        """Waits until it is up, or will not be soon; for the completion of a job that others wait for."""
        await self._supervisor.considered()
        await instance.until(
            lambda: (
                instance.state in (DONE_OR_NOT if instance.spec.awaited else CAME_UP_OR_NOT)
                or instance.machine.stuck
                or not instance.machine.wanted
                or turn.preempted is not None
            )
        )
        if void := self._void(turn):
            return void
        if not instance.machine.wanted:
            return Message(STOPPED, name=instance.name)
        if instance.state is State.RUNNING or (
            instance.state is State.EXITED and instance.machine.completed and instance.spec.rules.job
        ):
            return None
        return Message("report.did-not-come-up", name=instance.name, why=instance.machine.detail or "")

    def _void(self, turn: Turn) -> Failure:
        """Why there is nothing to do any more."""
        if turn.name not in self._supervisor.instances:
            return turn.preempted or Message(REMOVED, name=turn.name)  # it was on its way out already
        return turn.preempted

    async def each(self, turns: Iterable[Turn], step: Callable[[Turn], Awaitable[Failure]]) -> list[Message]:
        """All at once; what did not come about."""
        results = await asyncio.gather(*(step(turn) for turn in turns))
        return [failure for failure in results if failure is not None]

    async def rolling(
        self, verb: str, turns: Sequence[Turn], step: Callable[[Turn], Awaitable[Failure]]
    ) -> list[Message]:
        """One after the other, and none after one that failed; what did not come about."""
        for index, turn in enumerate(turns):
            failure = await step(turn)
            if failure is None:
                continue
            failures = [failure]
            if left := names_of(turns[index + 1 :]):
                failures.append(Message("report.not-touched", names=left))
            self._supervisor.events.add(verb, turn.name, Message("audit.aborted", why=failures))
            return failures
        return []


def notes_of(turns: Iterable[Turn]) -> list[Message]:
    """What is told of them beside what did not come about."""
    return [turn.note for turn in turns if turn.note is not None]


def names_of(turns: Iterable[Turn]) -> list[str]:
    """Of the processes, in order."""
    return [turn.name for turn in turns]
