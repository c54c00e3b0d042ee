"""What is done by hand at a router, and who may: administrators, by the key that a connection proved.

`configure` tells it the cluster's groups and permissions; `promote` and `ask` reach a service on its own stream, where it takes
such words from routers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from luabus.errors import BadArguments, ConfigError, Forbidden, NoMaster, NoRoute, Refused
from luabus.ids import CLIENT_BASE, ROUTER_GROUP, ServiceId
from luabus.limits import REQUEST_TIMEOUT_S
from luabus.logs import Log
from luabus.messages import Message
from luabus.protocol.principal import Principal
from luabus.router.announcer import Announcer
from luabus.router.counters import Counters
from luabus.routing.access import CLIENT_CLASS, class_of
from luabus.routing.cluster_document import ClusterDocument
from luabus.routing.ownership import Ownership
from luabus.rpc.context import caller
from luabus.transport.manager import SocketMgr
from luabus.transport.stream import Stream

log = Log("luabus.router")

P = ParamSpec("P")
R = TypeVar("R")

ASKED: Final = ("methods", "lease", "ping")
"""What an administrator may ask of a service: it answers without touching what the service does."""
HAND_OVER_S: Final = 15.0
"""Seconds that a master may take to give its lease up."""
FORBIDDEN_LEAST: Final = 10
"""So many refusals of one caller by one callee within a minute are an alarm."""


class Steering:
    """The words of one router that only administrators may use, and the rules for all others."""

    def __init__(self, router: str, mgr: SocketMgr, announcer: Announcer, counters: Counters) -> None:
        self.groups = Ownership(mgr.switch.table)
        self._router = router
        self._mgr = mgr
        self._announcer = announcer
        self._counters = counters
        mgr.switch.refused = self._refused

    # --- who may ----------------------------------------------------------------------------------------------

    def admins_only(self, word: Callable[P, R]) -> Callable[P, R]:
        """`word`, for callers who may steer; others get `Forbidden`."""

        @wraps(word)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            access = self.groups.document.access
            principal = caller().stream.principal
            if not access.may_steer(principal):
                allowed = ["admin", *sorted(access.admin)]
                method = f"luabus.{word.__name__}"
                told = Message(
                    "refusal.only-admins", caller=str(principal), method=method, router=self._router,
                    allowed=", ".join(allowed),
                )  # fmt: skip
                raise Forbidden.coded(
                    told, caller=str(principal), callee=self._router, method=method, allowed=allowed
                )
            return word(*args, **kwargs)

        return guarded

    def check_join(self, principal: Principal, target: ServiceId, name: str, mode: str) -> str:
        """The name by which a connection with this principal joins as `target`. Raises `Forbidden` for one that its key does not
        let be that, `Refused` for a group that is another's, or that nobody knows."""
        if principal.role not in ("admin", "launcher", "service"):
            raise self._not_as(principal, target, [])
        if principal.role == "service":
            known = self.groups.names.get(target.group, "")
            if (name or principal.name) != principal.name or (known and known != principal.name):
                raise self._not_as(principal, target, [known or name])
            name = principal.name
            if not known:
                raise Refused.coded(
                    Message("refusal.unknown-group", name=name, group=target.group, router=self._router)
                )
        clash = self.groups.clash(target.group, name, mode)
        if clash is not None:
            who = name or str(principal)
            alarm = Message("alarm.join-refused", name=f"{who}.{target.instance}", why=clash)
            if self._counters.repeated(alarm, "group"):
                log.error("%s: ALARM: %s", self._router, alarm)
            raise Refused.coded(clash)
        return name

    def _not_as(self, principal: Principal, target: ServiceId, allowed: list[str]) -> Forbidden:
        label = target.named(self.groups.names)
        told = Message("refusal.may-not-join-as", caller=str(principal), name=label)
        return Forbidden.coded(
            told,
            caller=str(principal),
            callee=label,
            method="luabus.join",
            allowed=[name for name in allowed if name],
        )

    def _refused(self, error: Forbidden, frames: int) -> None:
        """The switch let frames go nowhere."""
        self._alarm(Message("alarm.forbidden", caller=error.caller, callee=error.callee), frames)

    def _alarm(self, message: Message, times: int) -> None:
        if self._counters.repeated(message, "forbidden", times=times, least=FORBIDDEN_LEAST):
            log.warning("%s: ALARM: %s", self._router, message)

    # --- what the cluster is ----------------------------------------------------------------------------------

    def begin(self, cluster: ClusterDocument) -> None:
        """What is known at the start."""
        self.groups.configure(cluster)
        self._mgr.switch.guard(cluster.access)

    def configure(self, document: Any) -> None:
        """The groups that there are and who may call whom, from now on: `{"groups", "access"}`, as in the file that routers read
        at their start. Raises `Refused` for one that cannot be: nothing is changed then."""
        try:
            facts = ClusterDocument.of(document)
        except ConfigError as error:
            raise Refused.coded(
                Message("refusal.no-cluster-document", why=Message.verbatim(str(error)))
            ) from None
        if facts == self.groups.document:
            return
        self.groups.configure(facts)
        self._mgr.switch.guard(facts.access)
        for stream in self._members():
            self.tell_access(stream, stream.id)
        self._announcer.changed()
        log.info("%s: told of %d groups", self._router, len(facts.groups))

    # --- methods: each member enforces its own ----------------------------------------------------------------

    def tell_access(self, stream: Stream, service_id: int, name: str = "") -> None:
        """Tell a member who may call which of its methods. Before it can be reached: it judges by this each call that comes this
        way. `name`: its group's, where that is not in the table yet."""
        names, access = self.groups.names, self.groups.document.access
        own = name or names.get(service_id >> 16, "")
        rules = access.methods.get(own, {})
        told: dict[str, Any] = {"methods": {}, "groups": {}, "clients": {}}
        if rules:
            told["methods"] = {method: sorted(allowed) for method, allowed in rules.items()}
            told["groups"] = names
            told["clients"] = dict(self._named_clients())
        self._announcer.tell(stream, "luabus.access", told)

    def opened(self, stream: Stream) -> None:
        """A connection stands: members that judge callers must know of which class it is, should it call without an id: they
        let it by that, and refuse it by that name."""
        self._tell_caller(stream, class_of(stream.principal))

    def gone(self, stream: Stream) -> None:
        """A connection has ended: another may be given its id."""
        self._tell_caller(stream, "")

    def _tell_caller(self, stream: Stream, name: str) -> None:
        if class_of(stream.principal) != CLIENT_CLASS:
            for member in self._judges():
                self._announcer.tell(member, "luabus.caller", CLIENT_BASE | stream.token, name)

    def renamed(self) -> None:
        """A group has another name: those who judge by names must know it."""
        for member in self._judges():
            self.tell_access(member, member.id)

    def _judges(self) -> Iterator[Stream]:
        """The members of groups that have methods which not all may use."""
        table, methods = self._mgr.switch.table, self.groups.document.access.methods
        for number, name in self.groups.names.items():
            if methods.get(name):
                for member in table.group(number).members:
                    if isinstance(member, Stream) and member.is_open:
                        yield member

    def _named_clients(self) -> Iterator[tuple[int, str]]:
        """Connections without an id that are of another class than `client`."""
        for stream in self._mgr.streams.values():
            if (
                stream.is_open
                and stream.id >= CLIENT_BASE
                and (name := class_of(stream.principal)) != CLIENT_CLASS
            ):
                yield CLIENT_BASE | stream.token, name

    def _members(self) -> list[Stream]:
        return [stream for stream in self._mgr.streams.values() if stream.is_open and stream.id < CLIENT_BASE]

    def forbade(self, known: str, method: str, times: int) -> None:
        """The calling member has refused so many calls of a method by a class of callers, by the rules that it was told."""
        stream = caller().stream
        if self._mgr.switch.table.where(stream.id) is not stream:
            raise BadArguments("only a member tells whom it has refused", method="luabus.forbade")
        callee = self.groups.names.get(stream.id >> 16, str(stream.id >> 16))
        self._alarm(Message("alarm.forbidden", caller=known, callee=f"{callee}'s {method}"), times)

    # --- words to a service -----------------------------------------------------------------------------------

    async def promote(self, service_id: int | str, by: str = "") -> None:
        """Have the master of the instance's group hand its lease over to it.

        Raises `NoRoute` when the instance is not there, `NoMaster` when nobody holds the lease, `Refused` when the group elects
        no master.
        """
        target, heir = self._there(service_id)
        group = self._mgr.switch.table.group(target.group)
        master = group.master_at()
        if not group.elected:
            label = target.named(self.groups.names)
            raise Refused.coded(Message("refusal.group-elects-no-master", group=group.label, name=label))
        if not isinstance(master, Stream):
            raise NoMaster(f"group {group.label} has no master that could hand over", group=target.group)
        if group.master == target:
            return
        await heir.request("luabus.ping")
        log.info(
            "%s: %s is asked to hand over to %s%s",
            self._router,
            master.name,
            target,
            f" for {by}" if by else "",
        )
        await master.request("luabus.hand_over", int(target), by, timeout=HAND_OVER_S)

    async def ask(self, service_id: int | str, word: str, timeout: float = REQUEST_TIMEOUT_S) -> Any:
        """What an instance says of itself: its `methods`, its `lease`, or a `ping`. Raises `NoRoute` when it is not there."""
        if word not in ASKED:
            raise Refused.coded(
                Message("refusal.no-such-word", word=repr(word)[:100], known=", ".join(ASKED))
            )
        _, stream = self._there(service_id)
        seconds = (
            timeout if type(timeout) in (int, float) and 0 < timeout <= HAND_OVER_S else REQUEST_TIMEOUT_S
        )
        return await stream.request(f"luabus.{word}", timeout=seconds)

    def _there(self, service_id: int | str) -> tuple[ServiceId, Stream]:
        groups = {name: number for number, name in self.groups.names.items()}
        target = ServiceId.parse_service(service_id, groups)
        where = self._mgr.switch.table.where(target) if target.group != ROUTER_GROUP else None
        if not isinstance(where, Stream):
            label = target.named(self.groups.names)
            raise NoRoute(f"nobody is there for target {label}", route=f"target:{label}")
        return target, where
