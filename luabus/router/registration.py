"""Who is registered at a router: services join and leave, masters claim their epochs, and people change entries by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from luabus.errors import BadArguments, IdInUse, Refused, StaleEpoch
from luabus.ids import CLIENT_BASE, ROUTER_GROUP, ServiceId
from luabus.limits import EPOCH_LEAP
from luabus.logs import Log
from luabus.messages import Message
from luabus.router.announcer import Announcer
from luabus.router.counters import Counters
from luabus.router.steering import Steering
from luabus.routing.views import group_page
from luabus.rpc.context import caller
from luabus.transport.manager import SocketMgr
from luabus.transport.stream import Stream

log = Log("luabus.router")


class Registry:
    """A router's table, as its RPC methods change it. `steering`: whose groups are, and who may be what.

    `joined(stream)` is called when a connection has joined; while `draining()` none may.
    """

    def __init__(
        self,
        router: str,
        mgr: SocketMgr,
        announcer: Announcer,
        counters: Counters,
        steering: Steering,
        joined: Callable[[Stream], None],
        draining: Callable[[], bool],
    ) -> None:
        self._router = router
        self._mgr = mgr
        self._table = mgr.switch.table
        self._announcer = announcer
        self._counters = counters
        self._steering = steering
        self._groups = steering.groups
        self._joined = joined
        self._draining = draining

    @property
    def names(self) -> dict[int, str]:
        """The groups' names by number."""
        return self._groups.names

    def label(self, stream: Stream) -> str:
        """What to call a connection."""
        return stream.name or str(ServiceId(stream.id))

    # --- what services call -----------------------------------------------------------------------------------

    def join(
        self,
        service_id: int,
        name: str,
        incarnation: int,
        mode: str = "",
        epochs: Mapping[int, int] | None = None,
        process: int = 0,
        follow: bool = False,
    ) -> dict[str, Any]:
        """Register the calling connection as `service_id`. Raises `IdInUse` when a newer incarnation lives, or the same in
        another `process` (a random number; 0: none is the same), `Forbidden` when the key that it proved is another service's,
        `Refused` when the group's number, name or mode is another's.

        `epochs`: the highest that the caller knows per group, so that a router which starts anew refuses what it refused before.
        Raises `BadArguments` for a group that is unknown here. `follow`: tell it who is live in its group, before this is
        answered and with each change.
        """
        stream = caller().stream
        target = ServiceId.parse_service(service_id)
        if target.group == ROUTER_GROUP:
            raise Refused.coded(Message("refusal.group-of-routers", group=ROUTER_GROUP))
        if self._draining():
            raise Refused.coded(Message("refusal.router-is-stopping", router=self._router))
        table = self._table
        for group in epochs or ():
            if group not in table.groups and group != target.group:
                known = ", ".join(map(str, sorted(table.groups))) or "none"
                text = f"epochs[{group}]: there is no group {group} at {self._router}, only {known}"
                raise BadArguments(text, path=f"epochs[{group}]", method="luabus.join")
        name = self._steering.check_join(stream.principal, target, name, mode)
        self._steering.tell_access(stream, target, name)
        former = table.put(target, stream, incarnation=incarnation, process=process)
        if self._groups.joined(target.group, name, mode, stream):
            self._steering.renamed()
        for group, epoch in (epochs or {}).items():
            # Whoever holds a service's key alone knows its own group's lease, and of others what routers said.
            if stream.principal.role != "service" or group == target.group:
                table.know_epoch(group, epoch)
        if stream.id not in (target, CLIENT_BASE | stream.token):
            self._leave_as(stream, stream.id)
        self._mgr.switch.attach(stream, target)
        self._joined(stream)
        stream.rename(target.named(self.names))
        if isinstance(former, Stream):
            reason = IdInUse(
                f"{target.named(self.names)} was registered by a newer process",
                service_id=target,
                incarnation=incarnation,
                holder=incarnation,
            )
            log.warning(
                "%s: %s comes from a newer process; the old connection %d is closed",
                self._router,
                target,
                former.token,
            )
            former.dismiss(reason)
        self._announcer.changed()
        if follow:
            self._announcer.follow(stream, target.group)
        return {"router": self._router, "token": stream.token}

    def _leave_as(self, stream: Stream, service_id: int) -> None:
        """A connection is one service: it has joined as another one before."""
        stream.claimed = 0
        if self._table.where(service_id) is stream:
            if self._table.group(service_id >> 16).expects(service_id):
                self._table.vacate(service_id)
            else:
                self._table.remove(service_id)

    def leave(self) -> None:
        """The calling connection wants no new traffic; what it was sent before arrives before this answer."""
        self._table.lost(caller().stream, orderly=True)
        self._groups.tidy()
        self._announcer.changed()

    def master(self, epoch: int) -> None:
        """The caller holds its group's lease with `epoch`. Raises `StaleEpoch`; two ids with one epoch raise an alarm too.

        A lower epoch is a master of the past, such as one that was frozen: refused, and no more than that.
        """
        stream = caller().stream
        service_id = self._caller_id()
        stream.claimed = max(stream.claimed, epoch)
        before = self._table.group(service_id.group).epoch
        try:
            changed = self._table.claim(service_id, epoch, time.monotonic())
        except StaleEpoch as error:
            if error.epoch == error.highest or abs(error.epoch - error.highest) > EPOCH_LEAP:
                self._counters.alarm(error.reported or Message.verbatim(str(error)), "epoch")
            else:
                log.warning("%s: %s", self._router, error)
            raise
        if abs(epoch - before) > EPOCH_LEAP:
            log.warning(
                "%s: %s insists on epoch %d and is believed; %d is forgotten",
                self._router,
                stream.name,
                epoch,
                before,
            )
        if changed:
            log.info("%s: %s is master with epoch %d", self._router, stream.name, epoch)
            self._announcer.changed()

    def stand(self) -> None:
        """The caller stands for election: that its group has no master is worth telling, also when it never had one."""
        if self._table.stand(self._caller_id().group):
            self._announcer.changed()

    def resign(self, epoch: int) -> None:
        """The caller is master no longer."""
        if self._table.resign(self._caller_id(), epoch):
            self._announcer.changed()

    def _caller_id(self) -> ServiceId:
        """As whom the caller is registered. Raises `Refused` for one that is not, or no more."""
        stream = caller().stream
        if stream.id >= CLIENT_BASE:
            raise Refused.coded(Message("refusal.only-services-are-masters"))
        if self._table.where(stream.id) is not stream:
            raise Refused.coded(
                Message("refusal.registered-no-more", name=self.label(stream), router=self._router)
            )
        return ServiceId(stream.id)

    def report(self, problem: Any) -> None:
        """The caller says what is wrong with itself; it is an alarm until "" comes, or the connection ends."""
        self._counters.problem(caller().stream, problem)

    # --- by hand ----------------------------------------------------------------------------------------------

    def register(
        self, service_id: int | str, token: int | str | None, is_master: bool = False
    ) -> dict[str, Any]:
        """Change the table by hand: a live entry over the connection `token`, 0 a vacancy, None removes the entry.

        "own" is the connection that joined as this id. Raises `Refused`: an unknown token, entry or group, or `is_master` in a
        group that elects its master by lease.
        """
        names = self.names
        target = ServiceId.parse_service(service_id, {name: number for number, name in names.items()})
        if not self._groups.knows(target.group):
            hint = Message("hint.known", names=", ".join(sorted(names.values())) or "none")
            raise Refused.coded(Message("refusal.no-such-group", name=repr(str(target.group)), hint=hint))
        return self.change(target, token, is_master)

    def change(
        self, service_id: int | str, token: int | str | None, is_master: bool = False
    ) -> dict[str, Any]:
        """As `register`, also in a group that nobody knows yet: for the program that runs this router. Returns the group with the
        one entry that is the next from this id on, however many it has."""
        table = self._table
        groups = {name: number for number, name in self.names.items()}
        target = ServiceId.parse_service(service_id, groups)
        label = target.named(self.names)
        if target.group == ROUTER_GROUP:
            raise Refused.coded(Message("refusal.router-is-not-registered", name=label))
        group = table.groups.get(target.group)
        if is_master and group is not None and group.elected:
            named = group.name or str(target.group)
            raise Refused.coded(Message("refusal.group-elects-master", group=named, name=label))
        if is_master and not token:
            raise Refused.coded(Message("refusal.master-without-connection", name=label))
        if token is None:
            if not table.remove(target):
                raise Refused.coded(Message("refusal.no-entry", router=self._router, name=label))
        elif token == 0:
            table.vacate(target)
        else:
            stream = self._by_token(target, label, token)
            table.put(target, stream, incarnation=self._incarnation_of(target))
            if is_master:
                table.set_master(target)
            elif group is not None and group.master == target and not group.elected:
                table.clear_master(target.group)
        log.warning("%s: %s registered by hand: token %r, master %s", self._router, label, token, is_master)
        self._announcer.changed()
        return group_page(table.group(target.group), target - 1, 1)

    def close(self, token: int) -> str:
        """End one connection; returns its name. Raises `Refused` for an unknown token."""
        stream = self._mgr.streams.get(token)
        if stream is None:
            raise Refused.coded(Message("refusal.no-connection", router=self._router, token=token))
        stream.dismiss(Refused.coded(Message("refusal.closed-by-admin")))
        self._counters.note_closed(stream, "closed by an administrator")
        return self.label(stream)

    def _by_token(self, target: ServiceId, label: str, token: int | str) -> Stream:
        streams = [stream for stream in self._mgr.streams.values() if stream.is_open]
        if token == "own":
            for stream in streams:
                if stream.id == target:
                    return stream
            raise Refused.coded(Message("refusal.nobody-joined", router=self._router, name=label))
        for stream in streams:
            if stream.token == token:
                return stream
        known = ", ".join(f"{stream.token} ({self.label(stream)})" for stream in streams[:20])
        raise Refused.coded(
            Message(
                "refusal.no-connection-it-has", router=self._router, token=repr(token), known=known or "none"
            )
        )

    def _incarnation_of(self, target: ServiceId) -> int:
        entry = self._table.group(target.group).entries.get(target)
        return entry.incarnation if entry else 0
