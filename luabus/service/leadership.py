"""A service's part in its group's mastership: the candidate's terms told to the routers, and fencing on arrival.

The candidate (`luabus.lease.candidate`) decides by the lease alone whether this process is master. Here the routers learn of it,
again each second, so that one which comes back or missed it knows; and what they know (a higher epoch, no master) goes back to
the candidate.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from luabus import tasks
from luabus.client.bus import Bus
from luabus.client.membership import Identity
from luabus.client.routes import Route
from luabus.errors import LuabusError, NoMaster, StaleEpoch
from luabus.ids import CLIENT_BASE, ServiceId
from luabus.lease.candidate import Candidate, CandidateSnapshot
from luabus.lease.lease_options import LeaseOptions
from luabus.limits import EPOCH_LEAP, HEARTBEAT_S, MOMENT_S
from luabus.logs import Log
from luabus.messages import Message
from luabus.protocol.frames import Kind
from luabus.rpc.context import CallContext

log = Log("luabus.mastership")


class Leadership:
    """Stands for election as `identity`.

    `on_master` runs when the routers have been told, `on_slave` while they are, in turn. A term that a router refuses is never
    begun.
    """

    def __init__(
        self,
        bus: Bus,
        identity: Identity,
        options: LeaseOptions,
        *,
        on_master: Callable[[], Awaitable[None]],
        on_slave: Callable[[], Awaitable[None]],
    ) -> None:
        self._bus = bus
        self._identity = identity
        self._name = f"{identity.name}.{identity.service_id.instance}"
        self._on_master = on_master
        self._on_slave = on_slave
        self._term = 0
        self._told = 0  # the epoch that the routers have been told
        self._begun = False  # `on_master` was called last
        self._reported: Message | None = None
        self._end_subscription: Callable[[], None] = lambda: None
        self._announcer: asyncio.Task[None] | None = None
        self._candidate = Candidate(
            identity.service_id.group,
            identity.service_id,
            identity.incarnation,
            options,
            on_master=self._became_master,
            on_slave=self._became_slave,
        )

    async def start(self) -> None:
        """Take part from now on. Does not wait for the store."""
        self._bus.speak_with_epoch(self._spoken, self.epoch)
        self._end_subscription = self._bus.on_names(self._heard)
        self._candidate.raise_floor(self._bus.epochs.get(self._identity.service_id.group, 0))
        await self._bus.membership.stand()
        await self._candidate.start()
        self._announcer = tasks.start(self._announce(), name="luabus master announcer")

    async def stop(self) -> None:
        """Be no master any more, tell the routers, give the lease up, and tell the others of the group that it is free."""
        if self._announcer is not None:
            await tasks.end([self._announcer], MOMENT_S)
            self._announcer = None
        self._end_subscription()
        held = self._candidate.snapshot().holder == self._identity.service_id
        await self._candidate.stop()
        if held:
            self._hint(self._bus.broadcast(self._identity.service_id.group))

    def is_master(self) -> bool:
        """Whether this process is master at this moment; computed from the lease's deadline at each use."""
        return self._candidate.is_master()

    def epoch(self) -> int:
        """The epoch under which it is master now; 0 when it is not."""
        return self._candidate.epoch if self._candidate.is_master() else 0

    def _spoken(self) -> int:
        """The epoch that messages carry."""
        epoch = self.epoch()
        return epoch if epoch == self._told else 0

    def snapshot(self) -> CandidateSnapshot:
        """What the candidate knows, to be shown."""
        return self._candidate.snapshot()

    async def hand_over(self, transferee: ServiceId, by: str = "") -> None:
        """Give the lease up in favour of `transferee`. Raises `NoMaster` when this process does not hold it."""
        if not self.is_master():
            raise NoMaster(f"{self._name} is not master", group=self._identity.service_id.group)
        log.info("%s hands mastership over to %s%s", self._name, transferee, f" for {by}" if by else "")
        await self._candidate.hand_over(transferee)
        self._hint(self._bus.target(transferee))

    def poll_now(self) -> None:
        """Somebody says that the lease has been given up: look now, not at the next `renew`."""
        self._candidate.poll_now()

    def gate(self, kind: int) -> LuabusError | None:
        """A master handles nothing that was sent to the master after its lease."""
        if kind == Kind.MASTER and not self.is_master():
            return NoMaster(f"{self._name} is not master", group=self._identity.service_id.group)
        return None

    async def _became_master(self, epoch: int) -> None:
        log.info("%s is master with epoch %d", self._name, epoch)
        self._term = epoch
        await self._claim(epoch)
        if self.epoch() == epoch:
            self._told = epoch
            self._begun = True
            await self._on_master()

    async def _became_slave(self) -> None:
        log.info("%s is master no longer", self._name)
        begun, self._begun = self._begun, False
        # At once, not one after the other: a router that hangs must not keep `on_slave` waiting.
        await asyncio.gather(
            self._bus.membership.resign_master(self._term), *([self._on_slave()] if begun else [])
        )

    async def _claim(self, epoch: int) -> None:
        highest = await self._bus.membership.claim_master(epoch)
        if highest and self.epoch() == epoch:
            log.error("a router knows epoch %d of this group already; epoch %d is given up", highest, epoch)
            self._candidate.raise_floor(max(highest, epoch + 1))

    def _heard(self, group: dict[str, Any]) -> None:
        """A router says who is master of which group."""
        if group["group"] != self._identity.service_id.group:
            return
        if group["master"] != self._identity.service_id and group["epoch"] > self._candidate.epoch:
            self._candidate.raise_floor(group["epoch"])

    @staticmethod
    def _hint(to: Route) -> None:
        """Spare those who may take the lease now the wait for their next look."""
        with contextlib.suppress(LuabusError):
            to.send("luabus.look")

    async def _announce(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            with contextlib.suppress(LuabusError):
                epoch = self.epoch()
                if epoch:
                    await self._claim(epoch)
                await self._report()

    async def _report(self) -> None:
        """Tell the routers while the store cannot be reached, so that whoever looks sees it."""
        problem = self._candidate.snapshot().problem
        if problem or self._reported:
            await self._bus.membership.report(problem)
        self._reported = problem


def fence(bus: Bus, call: CallContext) -> LuabusError | None:
    """Nobody obeys a master of the past: refuse what was sent under an epoch lower than one we know of. Nor one of a future that
    no router has told of, or who is in no group."""
    if not call.epoch:
        return None
    group = call.source >> 16
    highest = bus.epochs.get(group, 0)
    if call.source < CLIENT_BASE and highest <= call.epoch <= highest + EPOCH_LEAP:
        bus.epochs[group] = call.epoch
        return None
    return StaleEpoch(
        f"{ServiceId(call.source)} speaks as master of epoch {call.epoch}; group {group} is at {highest}",
        group=group, epoch=call.epoch, highest=highest,
    )  # fmt: skip
