"""Masters on the bus: services and routers in one loop over a real SQLite lease, and what each of them refuses."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import luabus
from luabus import admin
from luabus.client.routes import Route
from luabus.cluster.state import GroupState
from luabus.errors import (
    ConnectionLost,
    NoMaster,
    NoRoute,
    ProtocolError,
    Refused,
    RequestTimeout,
    StaleEpoch,
    UnknownMethod,
)
from luabus.ids import ServiceId
from luabus.lease.candidate import lease_clock
from luabus.limits import MAX_EPOCH
from luabus.protocol import codec
from luabus.protocol.frames import FLAG_META, FLAG_REQUEST, Kind, make_route
from luabus.router.server import Router
from tests.support.bus import document
from tests.support.lease_servers import SqliteFile
from tests.support.raw import RawPeer
from tests.support.waiting import until

CHIEF, RECORDER = 1, 9
GROUPS = {"chief": CHIEF, "recorder": RECORDER}
TTL = 1.0


class Node:
    """A `chief`, and what its hooks and handlers were called with."""

    def __init__(self, cluster: Cluster, instance: int, renew: float) -> None:
        self.service = luabus.Service(
            "chief", group=CHIEF, instance=instance, routers=cluster.addresses, groups=GROUPS, lease=cluster.file.url,
            lease_ttl=max(TTL, 4 * renew), lease_renew=renew,
        )  # fmt: skip
        self.told: list[int] = []  # epochs begun; 0: master no longer
        self.go_on = asyncio.Event()
        self.waiting = asyncio.Event()
        self.service.on_master(lambda: self.told.append(self.service.epoch()))
        self.service.on_slave(lambda: self.told.append(0))
        self.service.rpc(self.who)
        self.service.rpc(self.slowly)

    @property
    def name(self) -> str:
        return f"chief.{self.service.service_id & 0xFFFF}" if self.service.service_id else "chief"

    def who(self) -> list[int]:
        return [int(self.service.service_id or 0), self.service.epoch()]

    async def slowly(self) -> int:
        """Waits to be told to go on; then tells the recorder, and returns its epoch."""
        self.waiting.set()
        await self.go_on.wait()
        self.service.bus.target("recorder.1").send("wrote", "slowly")
        return self.service.epoch()

    async def master(self, above: int = 0) -> int:
        """Wait until it is one, and has been told; the epoch."""
        await until(lambda: self.told and self.told[-1] > above, what=f"a reign above {above}: {self.told}")
        return self.told[-1]

    def speak(self, epoch: int) -> Any:
        """A request to the recorder under any epoch."""
        stream = self.service.bus.preferred
        assert stream is not None
        route = make_route(Kind.TARGET, FLAG_REQUEST | FLAG_META, 0, ServiceId.of(RECORDER, 1))
        body = codec.pack_call("wrote", ("spoken",))
        return stream.ask(route, 0, body, 5.0, lambda: "recorder.1", 0, epoch)


class Cluster:
    """Routers and whatever is started; all of it is stopped at the end of the test."""

    def __init__(self, folder: Path) -> None:
        self.file = SqliteFile(folder)
        self.file.path.parent.mkdir()
        self.routers: list[Router] = []
        self.addresses: list[str] = []
        self.written: list[tuple[str, int]] = []
        self.bus: luabus.Bus
        self._services: list[luabus.Service] = []

    async def router(self) -> Router:
        router = Router(f"router.{len(self.routers) + 1}", port=0)
        await router.start()
        self.routers.append(router)
        self.addresses.append(f"127.0.0.1:{router.port}")
        return router

    async def router_again(self, number: int) -> Router:
        """A new process' worth of router in the place of the old one."""
        port = self.routers[number].port
        await self.routers[number].stop(0.0)
        self.routers[number] = Router(f"router.{number + 1}", port=port)
        await self.routers[number].start()
        return self.routers[number]

    async def chief(self, instance: int = 1, *, renew: float = 0.1) -> Node:
        node = Node(self, instance, renew)
        await self.start(node.service)
        return node

    async def recorder(self) -> luabus.Service:
        service = luabus.Service(
            "recorder", group=RECORDER, instance=1, routers=self.addresses, groups=GROUPS
        )

        @service.rpc
        def wrote(kind: str) -> None:
            self.written.append((kind, luabus.caller().epoch))

        await self.start(service)
        return service

    async def start(self, service: luabus.Service) -> None:
        self._services.append(service)
        await service.start()
        await until(lambda: all(link.joined for link in service.bus.routers))

    async def end(self) -> None:
        self.file.thaw()
        for service in self._services:
            await service.stop()
        await self.bus.close()
        for router in self.routers:
            await router.stop(0.0)

    def rows(self) -> set[tuple[int, int]]:
        """(master, epoch) as each router has it."""
        groups = [router.mgr.switch.table.group(CHIEF) for router in self.routers]
        return {(int(group.master), group.epoch) for group in groups}

    def alarms(self) -> list[str]:
        return [alarm["text"] for router in self.routers for alarm in router.stats()["alarms"]]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Two routers and a client of both."""
    cluster = Cluster(tmp_path)
    for _ in range(2):
        await cluster.router()
    cluster.bus = await luabus.connect(cluster.addresses, groups=GROUPS)
    await until(lambda: all(link.connected for link in cluster.bus.routers))
    yield cluster
    await cluster.end()


# --- who is master ----------------------------------------------------------------------------------------------


async def test_every_router_knows_before_on_master_is_called(cluster: Cluster) -> None:
    seen: list[set[tuple[int, int]]] = []
    node = Node(cluster, 1, 0.1)
    node.service.on_master(lambda: seen.append(cluster.rows()))
    await cluster.start(node.service)
    assert await node.master() == 1
    assert seen == [{(ServiceId.of(CHIEF, 1), 1)}]
    assert await cluster.bus.master("chief").request("who") == [ServiceId.of(CHIEF, 1), 1]
    assert node.service.is_master()
    await node.service.stop()
    assert node.told == [1, 0]
    assert not node.service.is_master()
    assert node.service.epoch() == 0
    assert cluster.rows() == {(0, 1)}


async def test_a_router_that_hangs_holds_nobody_up(cluster: Cluster) -> None:
    never = asyncio.Event()

    async def hang(epoch: int) -> None:
        await never.wait()

    cluster.routers[1].api.word(hang, "luabus.master")
    cluster.routers[1].api.word(hang, "luabus.resign")
    node = await cluster.chief()
    started_at = lease_clock()
    await node.master()
    assert lease_clock() - started_at < 1.0
    await node.service.stop()
    assert lease_clock() - started_at < 2.5
    assert node.told == [1, 0]


async def test_the_next_one_looks_when_the_lease_is_free_and_not_at_its_time(cluster: Cluster) -> None:
    """`renew` is 2 s here: without the hint the others would look within that time."""
    first = await cluster.chief(1, renew=2.0)
    await first.master()
    second = await cluster.chief(2, renew=2.0)
    third = await cluster.chief(3, renew=2.0)
    for handed in range(3):
        promoted_at = lease_clock()
        heir = (second, first, second)[handed]
        done = await admin.promote(cluster.bus, heir.name)
        assert lease_clock() - promoted_at < 1.0
        assert done["epoch"] == handed + 2
        await until(lambda heir=heir, done=done: heir.told[-1:] == [done["epoch"]])  # type: ignore[misc]
    stopped_at = lease_clock()
    await second.service.stop()
    await until(lambda: first.service.is_master() or third.service.is_master())
    assert lease_clock() - stopped_at < 1.0


async def test_hand_over_is_a_routers_word_and_promote_an_admins(cluster: Cluster) -> None:
    first = await cluster.chief(1)
    epoch = await first.master()
    await cluster.chief(2)
    await cluster.recorder()
    second = int(ServiceId.of(CHIEF, 2))
    for name in ("chief.1", "chief.2", "recorder.1"):
        with pytest.raises(UnknownMethod, match=r"has no method 'luabus\.hand_over'"):
            await cluster.bus.target(name).request("luabus.hand_over", second, "ann")
    with pytest.raises(UnknownMethod):
        await cluster.bus.master("chief").request("luabus.hand_over", second)
    router = cluster.bus.router(cluster.routers[0].name)
    with pytest.raises(Refused, match="elects no master"):
        await router.request("luabus.promote", int(ServiceId.of(RECORDER, 1)), "ann")
    with pytest.raises(NoRoute):
        await router.request("luabus.promote", int(ServiceId.of(CHIEF, 7)), "ann")
    assert await router.request("luabus.promote", int(ServiceId.of(CHIEF, 1)), "ann") is None
    assert first.service.is_master()
    assert first.service.epoch() == epoch
    await router.request("luabus.promote", second, "ann")
    await until(lambda: cluster.bus.masters[CHIEF][0] == second)


# --- without a master -------------------------------------------------------------------------------------------


async def test_without_a_master_callers_are_told_at_once_or_wait(cluster: Cluster) -> None:
    cluster.file.freeze()
    await cluster.chief()
    asked_at = lease_clock()
    with pytest.raises(NoMaster):
        await cluster.bus.master("chief").request("who", timeout=5.0)
    assert lease_clock() - asked_at < 0.5
    with pytest.raises(RequestTimeout, match=r"had no master for 0\.3 s"):
        await cluster.bus.master("chief").request("who", timeout=0.3, wait_for_master=True)
    waiting = asyncio.create_task(
        cluster.bus.master("chief").request("who", timeout=10.0, wait_for_master=True)
    )
    cluster.file.thaw()
    assert await waiting == [ServiceId.of(CHIEF, 1), 1]


async def test_one_that_is_no_master_handles_nothing_that_was_sent_to_the_master(cluster: Cluster) -> None:
    node = await cluster.chief()
    await node.master()
    other = await cluster.chief(2)
    cluster.file.freeze()  # nobody can change anything by the lease
    for router in cluster.routers:  # they are led to believe that the other one is master
        router.mgr.switch.table.claim(ServiceId.of(CHIEF, 2), 2)
    with pytest.raises(NoMaster, match=r"chief\.2 is not master"):
        await cluster.bus.master("chief").request("who")
    await cluster.bus.master("chief").send("who")
    await until(lambda: other.service.handlers.dropped.get("NoMaster"))
    assert await cluster.bus.target("chief.2").request("who") == [ServiceId.of(CHIEF, 2), 0]


async def test_mastership_ends_while_a_request_is_handled(cluster: Cluster) -> None:
    """The caller gets its answer; what the handler sends from then on is not a master's."""
    await cluster.recorder()
    node = await cluster.chief()
    await node.master()
    asking = asyncio.create_task(cluster.bus.master("chief").request("slowly", timeout=10.0))
    await node.waiting.wait()
    cluster.file.freeze()
    await until(lambda: node.told == [1, 0])
    with pytest.raises(NoMaster):
        await cluster.bus.master("chief").request("who")
    node.go_on.set()
    assert await asking == 0
    await until(lambda: cluster.written == [("slowly", 0)])


async def test_an_outage_is_an_alarm_while_the_master_still_serves_and_until_it_is_over(
    cluster: Cluster,
) -> None:
    node = await cluster.chief()
    await node.master()
    cluster.file.freeze()
    await until(cluster.alarms)
    (text,) = set(cluster.alarms())
    assert text.startswith("chief.1: lease store unreachable since 20")
    assert "database is locked" in text
    cluster.file.thaw()
    await until(lambda: not cluster.alarms())
    facts = await cluster.bus.target("chief.1").request("luabus.lease")
    assert facts["problem"] is None
    assert facts["unreachable_s"] is None


# --- epochs -----------------------------------------------------------------------------------------------------


async def test_whatever_a_master_sends_carries_its_epoch(cluster: Cluster) -> None:
    await cluster.recorder()
    node = await cluster.chief()
    epoch = await node.master()
    bus = node.service.bus
    one: Route = bus.target("recorder.1")
    one.send("wrote", "send")
    await one.request("wrote", "request")
    await one.answered("wrote", "answered")
    await bus.broadcast("recorder").gather("wrote", "gather")
    await bus.broadcast("recorder").publish("wrote", "publish")
    await one.request("wrote", "the last")
    assert cluster.written == [
        (kind, epoch) for kind in ("send", "request", "answered", "gather", "publish", "the last")
    ]


async def test_what_waits_for_a_change_of_router_carries_the_epoch_of_when_it_was_sent(
    cluster: Cluster,
) -> None:
    await cluster.recorder()
    node = await cluster.chief()
    epoch = await node.master()
    bus = node.service.bus
    leaving = next(
        router for router in cluster.routers if bus.preferred and router.port == bus.preferred.peer[1]
    )
    stopping = asyncio.create_task(leaving.stop(5.0))
    sent: list[str] = []
    while not stopping.done():
        sent.append("directly" if bus.preferred else "held")
        bus.target("recorder.1").send("wrote", sent[-1])
        await asyncio.sleep(0)
    assert "held" in sent
    await until(lambda: len(cluster.written) == len(sent))
    assert cluster.written == [(kind, epoch) for kind in sent]


async def test_receivers_refuse_a_master_of_the_past(cluster: Cluster) -> None:
    recorder = await cluster.recorder()
    node = await cluster.chief()
    assert await node.master() == 1
    await node.speak(1)
    await until(lambda: recorder.bus.epochs[CHIEF] == 1)
    recorder.bus.epochs[CHIEF] = 3  # another router has told of it
    with pytest.raises(StaleEpoch, match=r"1\.1 speaks as master of epoch 1; group 1 is at 3") as caught:
        await node.speak(1)
    assert (caught.value.group, caught.value.epoch, caught.value.highest) == (CHIEF, 1, 3)
    assert cluster.written == [("spoken", 1)]
    await node.speak(0)  # no master at all: nothing to refuse, and the receiver sees it
    assert cluster.written[-1] == ("spoken", 0)


async def test_a_master_that_was_superseded_is_refused_and_keeps_its_connection(cluster: Cluster) -> None:
    await cluster.recorder()
    node = await cluster.chief()
    assert await node.master() == 1
    for router in cluster.routers:
        router.mgr.switch.table.claim(ServiceId.of(CHIEF, 2), 2)
    with pytest.raises(StaleEpoch, match=r"1\.1 speaks as master of epoch 1, and is none; group 1 is at 2"):
        await node.speak(1)
    assert cluster.written == []
    assert all(link.ready for link in node.service.bus.routers)


@pytest.mark.parametrize("epoch", [1, 7, 0xFFFF_FFFF])
async def test_who_speaks_with_an_epoch_that_was_never_claimed_is_cut_off(
    cluster: Cluster, epoch: int
) -> None:
    """A plain client, and a service that stands for no election."""
    recorder = await cluster.recorder()
    node = await cluster.chief()
    assert await node.master() == 1
    route = make_route(Kind.TARGET, FLAG_REQUEST | FLAG_META, 0, ServiceId.of(RECORDER, 1))
    for bus in (cluster.bus, recorder.bus):
        stream = bus.preferred
        assert stream is not None
        with pytest.raises(ConnectionLost):
            await stream.ask(route, 0, codec.pack_call("wrote", ("forged",)), 5.0, str, 0, epoch)
        lost = next(link for link in bus.routers if isinstance(link.last_error, ProtocolError))
        assert f"a frame claims to come from a master of epoch {epoch}" in str(lost.last_error)
        await until(lambda bus=bus: all(link.ready for link in bus.routers))
    assert cluster.written == []
    assert node.told == [1]


async def test_a_master_hears_of_a_higher_epoch_and_takes_one_above_it(cluster: Cluster) -> None:
    node = await cluster.chief()
    assert await node.master() == 1
    cluster.routers[0].mgr.switch.table.claim(ServiceId.of(CHIEF, 2), 6)
    cluster.routers[0]._announcer.changed()
    assert await node.master(above=1) == 7
    await until(lambda: cluster.rows() == {(ServiceId.of(CHIEF, 1), 7)})
    assert node.told == [1, 0, 7]


async def test_a_store_that_lost_its_rows(cluster: Cluster) -> None:
    """One that starts hears from the routers what was there, waits for a whole ttl, and takes an epoch above."""
    for router in cluster.routers:
        router.mgr.switch.table.describe(CHIEF, name="chief")
        router.mgr.switch.table.know_epoch(CHIEF, 6)
        router._announcer.changed()
    started_at = lease_clock()
    node = await cluster.chief()
    assert await node.master() == 7
    assert lease_clock() - started_at > TTL
    assert node.told == [7]


async def test_a_reign_that_a_router_refuses_is_never_begun(cluster: Cluster) -> None:
    cluster.file.freeze()
    node = await cluster.chief()
    cluster.routers[1].mgr.switch.table.describe(CHIEF, name="chief")
    cluster.routers[1].mgr.switch.table.know_epoch(CHIEF, 6)  # which it has told nobody
    cluster.file.thaw()
    assert await node.master() == 7
    assert node.told == [7]
    assert cluster.alarms() == []


async def test_two_ids_with_one_epoch_are_an_alarm_and_the_second_goes_on_to_another(
    cluster: Cluster,
) -> None:
    cluster.file.freeze()
    node = await cluster.chief()
    cluster.routers[1].mgr.switch.table.claim(ServiceId.of(CHIEF, 2), 1)
    cluster.file.thaw()
    assert await node.master() > 1
    assert len(node.told) == 1
    (alarm,) = [alarm for alarm in cluster.routers[1].stats()["alarms"] if alarm["kind"] == "epoch"]
    assert alarm["text"] == "chief.1 claims epoch 1 of group chief, but chief.2 has epoch 1"


async def test_a_router_that_starts_anew_refuses_what_it_refused_before(cluster: Cluster) -> None:
    """Whoever joins tells it which epochs there have been, also when no master is left."""
    third = Router("router.3", port=0)
    await third.start()
    cluster.addresses.append(f"127.0.0.1:{third.port}")
    await third.stop(0.0)
    node = Node(cluster, 1, 0.1)
    recorder = luabus.Service(
        "recorder", group=RECORDER, instance=1, routers=cluster.addresses, groups=GROUPS
    )
    cluster._services += [recorder, node.service]
    await recorder.start()
    await node.service.start()
    epoch = await node.master()
    await until(lambda: recorder.bus.epochs.get(CHIEF) == epoch)
    await node.service.stop()

    third = Router("router.3", port=third.port, cluster=document({"chief": (CHIEF,)}))
    await third.start()
    cluster.routers.append(third)
    await until(lambda: all(link.joined for link in recorder.bus.routers))
    assert third.mgr.switch.table.group(CHIEF).epoch == epoch
    with pytest.raises(StaleEpoch):
        third.mgr.switch.table.claim(ServiceId.of(CHIEF, 2), epoch - 1)


# --- epochs that nobody can have ----------------------------------------------------------------------------------


def write_row(path: Path, epoch: object, holder: int = 0) -> None:
    """Somebody writes into the store by hand."""
    store = sqlite3.connect(path, isolation_level=None)
    store.execute("DELETE FROM luabus_lease")
    store.execute(
        "INSERT INTO luabus_lease (namespace, group_id, holder, incarnation, epoch, seq, heir) VALUES (?, ?, ?, 7, ?, 0, 0)",
        ("luabus", CHIEF, holder, epoch),
    )
    store.close()


async def obeyed(cluster: Cluster, node: Node) -> None:
    """Wait until every router knows it as the master, and the recorder takes what it sends as one."""
    await until(
        lambda: (
            node.service.epoch()
            and cluster.rows() == {(int(node.service.service_id or 0), node.service.epoch())}
        ),
        15.0,
        f"{cluster.rows()} {node.service.epoch()}",
    )
    await node.speak(node.service.epoch())
    assert cluster.written[-1] == ("spoken", node.service.epoch())


@pytest.mark.parametrize("epoch", [MAX_EPOCH, MAX_EPOCH - 1, 1 << 32, 1 << 40, -5, "many"])
async def test_a_store_with_an_epoch_that_nobody_can_have_heals(cluster: Cluster, epoch: object) -> None:
    await cluster.recorder()
    first = await cluster.chief()
    await first.master()
    await first.service.stop()
    write_row(cluster.file.path, epoch)
    node = await cluster.chief(2)
    await node.master()
    await obeyed(cluster, node)
    assert 1 <= node.service.epoch() <= MAX_EPOCH


async def test_tables_and_receivers_with_such_an_epoch_heal(cluster: Cluster) -> None:
    recorder = await cluster.recorder()
    for router in cluster.routers:
        group = router.mgr.switch.table.group(CHIEF)
        group.epoch, group.epoch_holder, group.elected = MAX_EPOCH, ServiceId.of(CHIEF, 9), True
        group.changes += 1
        router._announcer.changed()
    await until(lambda: recorder.bus.epochs.get(CHIEF) == MAX_EPOCH)
    node = await cluster.chief()
    assert await node.master() == 1
    await until(lambda: recorder.bus.epochs.get(CHIEF) == 1, 15.0)
    await obeyed(cluster, node)
    assert node.told == [1]


async def test_an_epoch_that_a_stranger_tells_at_its_joining_changes_nothing(cluster: Cluster) -> None:
    recorder = await cluster.recorder()
    node = await cluster.chief()
    assert await node.master() == 1
    for epoch in (2, 1000, MAX_EPOCH):
        for router in cluster.routers:
            async with await RawPeer.open(router.port) as evil:
                assert await evil.request("luabus.join", "9.9", "evil", 1, "", {CHIEF: epoch})
    await node.speak(1)
    assert cluster.rows() == {(ServiceId.of(CHIEF, 1), 1)}
    assert recorder.bus.epochs[CHIEF] == 1
    assert node.told == [1]


async def test_a_member_that_claims_such_an_epoch_is_refused_with_an_alarm(cluster: Cluster) -> None:
    node = await cluster.chief()
    assert await node.master() == 1
    async with await RawPeer.open(cluster.routers[0].port) as evil:
        await evil.request("luabus.join", f"{CHIEF}.9", "chief", 1)
        assert isinstance(await evil.request("luabus.master", MAX_EPOCH), StaleEpoch)
    assert cluster.rows() == {(ServiceId.of(CHIEF, 1), 1)}
    assert any(
        "chief.9 claims epoch 4294967295 of group chief, but chief.1 has epoch 1" in text
        for text in cluster.alarms()
    )
    assert node.told == [1]


async def test_a_group_that_never_had_a_master_is_known_to_want_one(cluster: Cluster) -> None:
    """So that its health can be judged: also where its members say nothing of how they are called."""
    cluster.file.freeze()
    await cluster.chief()
    for table in (await admin.routes(cluster.bus))["routers"]:
        group = next(group for group in table["groups"] if group["group"] == CHIEF)
        assert (group["elected"], group["master"], group["epoch"]) == (True, None, 0)
        assert GroupState.read(group).mastered
    late = await cluster.router_again(1)
    await until(lambda: late.mgr.switch.table.group(CHIEF).elected)
    cluster.file.thaw()
