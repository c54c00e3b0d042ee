"""What verbs do to one process at a time, each step in its place in the queue; why one did not come about is its result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from launcher.supervision.instance import Instance
from launcher.supervision.operation_queue import Place
from launcher.supervision.states import SETTLED, State
from launcher.supervision.supervisor import Supervisor
from luabus.messages import Message

STOPPED, REMOVED = "report.was-stopped-meanwhile", "report.was-removed-meanwhile"
"""What overtook a verb, by its code."""

RESTARTED, TAKEN_OUT = Message("process.restarted"), Message("process.removed")
Failure = Message | None  # why a step did not come about

CAME_UP_OR_NOT = frozenset({State.RUNNING, State.BACKOFF, State.FAILED, State.EXITED})


class OperationSteps:
    """The steps on the instances of one supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def start_one(self, place: Place) -> Failure:
        async with place:
            if void := self._void(place):
                return void
            instance = self._supervisor.instances[place.name]
            instance.start()
            return await self._comes_up(instance, place)

    async def restart_one(self, place: Place, why: Message = RESTARTED) -> Failure:
        async with place:
            if void := self._void(place):
                return void
            instance = self._supervisor.instances[place.name]
            instance.stop(why, again=True)
            return await self._comes_up(instance, place)

    async def renew_one(self, place: Place) -> Failure:
        instance = self._supervisor.instances.get(place.name)
        if instance is not None and not instance.machine.wanted:
            return None  # stopped by hand: what changed holds from its next start on
        return await self.restart_one(place, Message("process.reloaded"))

    async def stop_one(self, place: Place, why: Message) -> Failure:
        async with place:
            await self._bring_down(place, why)
        return None

    async def remove_one(self, place: Place) -> Failure:
        async with place:
            if await self._bring_down(place, TAKEN_OUT):
                self._supervisor.forget(place.name)
        return None

    async def _bring_down(self, place: Place, why: Message) -> bool:
        """False when somebody removed it already."""
        instance = self._supervisor.instances.get(place.name)
        if instance is None:
            return False
        instance.stop(why)  # once more: a verb that was asked for later may have been first in the lane
        await instance.until(lambda: instance.state in SETTLED)
        return True

    async def _comes_up(self, instance: Instance, place: Place) -> Failure:
        """Waits until it is up, or will not be soon."""
        await self._supervisor.considered()
        await instance.until(
            lambda: (
                instance.state in CAME_UP_OR_NOT
                or instance.machine.stuck
                or not instance.machine.wanted
                or place.preempted is not None
            )
        )
        if void := self._void(place):
            return void
        if not instance.machine.wanted:
            return Message(STOPPED, name=instance.name)
        if instance.state is State.RUNNING or (
            instance.state is State.EXITED and not instance.spec.rules.must_report_ready
        ):
            return None
        return Message("report.did-not-come-up", name=instance.name, why=instance.machine.detail or "")

    def _void(self, place: Place) -> Failure:
        """Why there is nothing to do any more."""
        if place.name not in self._supervisor.instances:
            return place.preempted or Message(REMOVED, name=place.name)  # it was on its way out already
        return place.preempted

    async def each(
        self, places: Iterable[Place], step: Callable[[Place], Awaitable[Failure]]
    ) -> list[Message]:
        results = await asyncio.gather(*(step(place) for place in places))
        return [failure for failure in results if failure is not None]

    async def rolling(
        self, verb: str, places: Sequence[Place], step: Callable[[Place], Awaitable[Failure]]
    ) -> list[Message]:
        for index, place in enumerate(places):
            failure = await step(place)
            if failure is None:
                continue
            failures = [failure]
            if left := names_of(places[index + 1 :]):
                failures.append(Message("report.not-touched", names=left))
            self._supervisor.events.add(verb, place.name, Message("audit.aborted", why=failures))
            return failures
        return []


def names_of(places: Iterable[Place]) -> list[str]:
    """Whose places these are."""
    return [place.name for place in places]
