"""Who may be what at a router, who may steer by hand, and what routers tell services themselves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from luabus import admin
from luabus.errors import BadArguments, Forbidden, NoRoute, Refused, UnknownMethod
from luabus.ids import ServiceId
from luabus.protocol.frames import Kind
from luabus.protocol.keys import derive, format_key
from luabus.protocol.principal import ADMIN, CLIENT, Principal
from luabus.router.server import Router
from luabus.routing.cluster_document import ClusterDocument
from tests.support.bus import SECRET, Instance, Star
from tests.support.raw import RawPeer
from tests.support.waiting import until

MAIL, GATEWAY, OPS = (Principal("service", name) for name in ("mail", "gateway", "ops"))
M1, M2 = 0x0002_0001, 0x0002_0002
GROUPS = {"gateway": [1, 0], "mail": [2, 3, "hash"], "director": [3, 0], "robot": [4, 0], "ops": [5, 0]}


def service_id(group: int, instance: int) -> int:
    return group << 16 | instance


def document(**access: Any) -> dict[str, Any]:
    return {"groups": GROUPS, "access": access}


async def peer(star: Star, principal: Principal = ADMIN) -> RawPeer:
    """A connection that has proved to be this one."""
    router = star.routers[0]
    made = await RawPeer.open(router.port, SECRET)
    await until(lambda: made.given_id & 0xFF_FFFF in router.mgr.streams)
    router.mgr.streams[made.given_id & 0xFF_FFFF].principal = principal
    return made


def table(star: Star) -> list[tuple[int, str, list[str]]]:
    groups = star.routers[0].mgr.switch.table.groups.values()
    return [
        (group.number, group.name, [str(ServiceId(known)) for known in group.entries]) for group in groups
    ]


# --- joining --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("principal", "known", "name"),
    [
        (MAIL, service_id(1, 1), "gateway"), (MAIL, service_id(1, 1), "mail"), (MAIL, M1, "gateway"), (GATEWAY, M1, "mail"),
        (GATEWAY, M1, ""), (CLIENT, M1, "mail"), (CLIENT, service_id(9, 1), "x"), (Principal("router", "mail"), M1, "mail"),
        (Principal("service", "dashboard"), M1, "mail"), (Principal("service", ""), M1, "mail"),
    ],
)  # fmt: skip
async def test_a_key_joins_as_its_own_service_alone(principal: Principal, known: int, name: str) -> None:
    async with Star() as star, await peer(star, principal) as one:
        before = table(star)
        refused = await one.request("luabus.join", known, name, 1, "")
        assert isinstance(refused, Forbidden), refused
        assert "may not join as" in str(refused)
        assert table(star) == before


async def test_its_own_service_joins_and_an_admin_as_anyone() -> None:
    async with Star() as star, await peer(star, MAIL) as mail, await peer(star) as other:
        assert (await mail.request("luabus.join", M1, "mail", 1, ""))["router"] == "router.1"
        assert (await other.request("luabus.join", M2, "", 1, ""))["router"] == "router.1"
        assert (await other.request("luabus.join", service_id(77, 1), "new", 1, ""))["token"]


async def test_a_group_that_no_file_and_no_router_knows_is_an_admins_to_make() -> None:
    async with Star() as star, await peer(star, OPS) as one:
        refused = await one.request("luabus.join", service_id(5, 1), "ops", 1, "")
        assert isinstance(refused, Refused)
        assert "neither the cluster's file nor router.1 knows it" in str(refused)
        assert 5 not in star.routers[0].mgr.switch.table.groups
        async with await peer(star) as hand:
            assert await hand.request("luabus.configure", document()) is None
        assert (await one.request("luabus.join", service_id(5, 1), "ops", 1, ""))["token"]


@pytest.mark.parametrize(
    ("known", "name", "mode", "words"),
    [
        (service_id(2, 2), "box", "", "box cannot be group 2: mail is group 2"),
        (service_id(9, 1), "mail", "", "mail cannot be group 9: mail is group 2"),
        (service_id(2, 2), "mail", "random", "mail (group 2) is reached by hash, not by random"),
    ],
)
async def test_a_clash_is_refused_with_both_names_an_alarm_and_changes_nothing(
    known: int, name: str, mode: str, words: str
) -> None:
    async with Star() as star, await peer(star) as one, await peer(star) as other:
        await one.request("luabus.join", M1, "mail", 1, "hash")
        before = table(star)
        refused = await other.request("luabus.join", known, name, 1, mode)
        assert isinstance(refused, Refused)
        assert str(refused) == words
        assert table(star) == before
        await other.request("luabus.join", known, name, 1, mode)
        (alarm,) = star.routers[0].stats()["alarms"]
        assert (alarm["kind"], alarm["code"], alarm["count"]) == ("group", "alarm.join-refused", 2)
        assert words in alarm["text"]


# --- by hand --------------------------------------------------------------------------------------------------

BY_HAND: list[tuple[str, tuple[Any, ...]]] = [
    ("luabus.register", (M1, 0)), ("luabus.register", (M1, None)), ("luabus.register", (M1, "own")), ("luabus.register", (M1, 1)),
    ("luabus.register", (M1, True)), ("luabus.register", (M2, 2, True)), ("luabus.register", ("mail.1", 0)),
    ("luabus.close", (1,)), ("luabus.connections", ()), ("luabus.configure", ({},)), ("luabus.configure", (None,)),
    ("luabus.promote", (M1,)), ("luabus.ask", (M1, "methods")),
]  # fmt: skip


@pytest.mark.parametrize(("word", "arguments"), BY_HAND)
async def test_by_hand_is_for_admins(word: str, arguments: tuple[Any, ...]) -> None:
    async with Star() as star, await peer(star) as member:
        await member.request("luabus.join", M1, "mail", 1, "hash")
        before = table(star)
        for principal in (CLIENT, MAIL, Principal("router", "router.2"), Principal("service", "nobody")):
            async with await peer(star, principal) as one:
                refused = await one.request(word, *arguments)
                assert isinstance(refused, Forbidden), refused
                assert (refused.caller, refused.method) == (str(principal), word)
                assert list(refused.allowed) == ["admin", "dashboard"]
                assert table(star) == before
        assert (await member.request("luabus.routes"))["router"] == "router.1"


async def test_a_service_that_is_listed_may_steer() -> None:
    async with Star() as star, await peer(star, OPS) as one, await peer(star) as hand:
        assert isinstance(await one.request("luabus.connections"), Forbidden)
        assert await hand.request("luabus.configure", document(admin=["ops"])) is None
        assert len(await one.request("luabus.connections")) == 2
        async with await peer(star, Principal("service", "dashboard")) as page:
            assert isinstance(await page.request("luabus.connections"), Forbidden)


async def test_by_hand_makes_no_group_and_gives_none_a_name() -> None:
    async with Star() as star, await peer(star) as hand:
        before = table(star)
        for token in (0, 1, None, "own"):
            refused = await hand.request("luabus.register", service_id(9, 1), token)
            assert isinstance(refused, Refused), refused
            assert "there is no group named '9'; known: " in str(refused)
        assert table(star) == before


async def test_a_connection_that_was_registered_by_hand_calls_as_what_it_is() -> None:
    async with (
        Star() as star,
        await peer(star) as hand,
        await peer(star, CLIENT) as other,
        await peer(star) as mail,
    ):
        await hand.request("luabus.configure", document(callers={"mail": ["gateway"]}))
        await mail.request("luabus.join", M1, "mail", 1, "hash")
        await hand.request("luabus.register", service_id(1, 1), other.given_id & 0xFF_FFFF)
        answer = await other.request("hello", sequence=9, kind=Kind.TARGET, destination=M1)
        assert isinstance(answer, Forbidden)
        assert answer.caller == "client"


async def test_a_document_that_cannot_be_changes_nothing() -> None:
    async with Star() as star, await peer(star) as hand:
        before = table(star), star.routers[0].mgr.switch.access
        wrong: tuple[Any, ...] = (
            None,
            1,
            [],
            {"groups": {"a": [2], "b": [2]}},
            {"access": {"default": "no"}},
            {"x": 1},
        )
        for given in wrong:
            refused = await hand.request("luabus.configure", given)
            assert isinstance(refused, Refused)
            assert (table(star), star.routers[0].mgr.switch.access) == before


# --- calls ----------------------------------------------------------------------------------------------------


async def test_whom_a_group_does_not_let_in_is_told_at_once_counted_and_after_ten_times_an_alarm() -> None:
    async with Star() as star:
        router = star.routers[0]
        (one,) = await star.mail(1)
        await star.service("gateway", 1)
        bus, other = await star.client(), star.services["gateway.1"].bus
        await bus.router("router.1").request("luabus.configure", document(callers={"mail": ["gateway"]}))
        assert await other.target("mail.1").request("who") == "mail.1"
        for route in (bus.target("mail.1"), bus.hash("mail", 1), bus.random("mail"), bus.master("mail")):
            with pytest.raises(Forbidden, match="client may not call mail; allowed: gateway") as refused:
                await route.request("who", wait_for_master=True)
            assert (refused.value.caller, refused.value.callee) == ("client", "mail")
        with pytest.raises(Forbidden):
            await bus.broadcast("mail").gather("who")
        with pytest.raises(Forbidden):
            await bus.broadcast("mail").publish("who")
        assert router.stats()["undeliverable"] == {"forbidden": 6}
        assert router.stats()["alarms"] == []
        for _ in range(4):
            bus.broadcast("mail").send("note", "never")
        await until(lambda: router.stats()["undeliverable"] == {"forbidden": 10})
        (alarm,) = router.stats()["alarms"]
        assert (alarm["code"], alarm["count"]) == ("alarm.forbidden", 10)
        assert alarm["values"] == {"caller": "client", "callee": "mail"}
        (row,) = [row for row in router.connections() if row["undeliverable"]]
        assert row["undeliverable"] == {"forbidden": 10}
        assert "Forbidden" in row["last_error"] or "does not let this caller in" in row["last_error"]
        assert one.notes == []
        await bus.router("router.1").request("luabus.configure", document())
        assert await bus.target("mail.1").request("who") == "mail.1"


async def test_deny_lets_in_a_groups_own_and_whom_it_names() -> None:
    async with Star() as star:
        one, _ = await star.mail(1, 2)
        bus = await star.client()
        await bus.router("router.1").request("luabus.configure", document(default="deny"))
        assert await one.bus.target("mail.2").request("who") == "mail.2"
        with pytest.raises(Forbidden, match="allowed: nobody"):
            await bus.target("mail.1").request("who")
        with pytest.raises(NoRoute):
            await bus.target("200.1").request("who")
        assert list((await admin.methods(bus, 2)).keys()) == [M1, M2]


async def test_a_method_is_its_callers_alone_and_changes_need_no_restart() -> None:
    async with Star(2) as star:
        await star.mail(1, 2)
        gateway, robot = await star.service("gateway"), await star.service("robot")
        bus = await star.client()
        rules = document(methods={"mail": {"note": ["gateway"]}})
        for router in ("router.1", "router.2"):
            await bus.router(router).request("luabus.configure", rules)
        assert await gateway.bus.target("mail.1").request("note", 1) is None
        assert await robot.bus.target("mail.1").request("who") == "mail.1"
        for caller, sender in (("client", bus), ("robot", robot.bus)):
            with pytest.raises(
                Forbidden, match=f"{caller} may not call mail.1's note; allowed: gateway"
            ) as refused:
                await sender.target("mail.1").request("note", 2)
            assert refused.value.method == "note"
            answers = await sender.broadcast("mail").gather("note", 3)
            assert [type(answer) for answer in answers.values()] == [Forbidden, Forbidden]
            sender.target("mail.1").send("note", 4)
            await sender.target("mail.1").request("who")
        assert star.services["mail.1"].notes == [1]
        assert star.services["mail.1"].service.handlers.dropped == {"Forbidden": 2}
        for router in ("router.1", "router.2"):
            await bus.router(router).request("luabus.configure", document())
        assert await bus.target("mail.1").request("note", 5) is None


async def test_a_rule_is_there_before_the_first_call_can_be() -> None:
    """A member is told its rules before it is in the table."""
    async with Star() as star, await peer(star) as hand, await peer(star) as mail:
        await hand.request("luabus.configure", document(methods={"mail": {"note": ["gateway"]}}))
        mail.call("luabus.join", M1, "mail", 1, "", sequence=1)
        told = await mail.frame(Kind.CALL)
        while b"luabus.access" not in told.body:
            assert b"luabus.group" not in told.body
            told = await mail.frame(Kind.CALL, Kind.REPLY)
            assert told.kind is Kind.CALL


async def test_a_service_without_an_id_is_known_by_its_key() -> None:
    async with Star() as star:
        (one,) = await star.mail(1)
        bus = await star.client()
        await bus.router("router.1").request(
            "luabus.configure", document(callers={"mail": ["ops"]}, methods={"mail": {"note": ["ops"]}})
        )
        router = star.routers[0]
        async with await peer(star, OPS) as ops, await peer(star) as joining:
            router._steering.opened(router.mgr.streams[ops.given_id & 0xFF_FFFF])
            assert await ops.request("note", 1, sequence=3, kind=Kind.TARGET, destination=M1) is None
            assert await ops.request("who", sequence=4, kind=Kind.TARGET, destination=M1) == "mail.1"
            refused = await joining.request("who", sequence=5, kind=Kind.TARGET, destination=M1)
            assert isinstance(refused, Forbidden)
        assert one.notes == [1]


# --- words to services ----------------------------------------------------------------------------------------


async def test_a_services_control_words_are_not_for_routed_messages() -> None:
    async with Star() as star:
        (one,) = await star.mail(1)
        bus = await star.client()
        for word, arguments in (
            ("luabus.hand_over", (M2, "x")), ("luabus.access", ({"methods": {}, "groups": {}, "clients": {}},)),
            ("luabus.caller", (1, "x")), ("luabus.welcome", ({},)), ("luabus.names", ({},)), ("luabus.draining", ("router.1",)),
        ):  # fmt: skip
            with pytest.raises(UnknownMethod):
                await bus.target("mail.1").request(word, *arguments)
        assert one.bus.preferred is not None


async def test_an_admin_asks_an_instance_through_a_router() -> None:
    async with Star() as star:
        await star.mail(1)
        bus = await star.client()
        router = bus.router("router.1")
        assert await router.request("luabus.ask", M1, "ping") is None
        assert await router.request("luabus.ask", "mail.1", "lease") is None
        assert {method["name"] for method in await router.request("luabus.ask", M1, "methods")} >= {
            "who",
            "echo",
        }
        for word in ("hand_over", "look", "stop", "", 7):
            with pytest.raises(Refused, match="known: methods, lease, ping"):
                await router.request("luabus.ask", M1, word)
        with pytest.raises(NoRoute):
            await router.request("luabus.ask", M2, "ping")
        (found,) = (await admin.methods(bus, 2)).values()
        assert {method["name"] for method in found} >= {"who", "echo"}


# --- names ----------------------------------------------------------------------------------------------------


async def test_another_document_moves_a_name_and_clients_follow() -> None:
    async with Star() as star:
        bus = await star.client(groups={})
        hand = bus.router("router.1")
        await hand.request("luabus.configure", {"groups": {"mail": [2], "chat": [7]}})
        await until(lambda: bus.groups.get("chat") == 7)
        await hand.request("luabus.configure", {"groups": {"mail": [7], "chat": [2]}})
        await until(lambda: (bus.groups.get("chat"), bus.groups.get("mail")) == (2, 7))


async def test_a_name_stays_where_a_router_says_it_is_whatever_another_says() -> None:
    async with Star(2, groups={"mail": (2, 3)}) as star:
        bus = await star.client(groups={})
        assert bus.groups["mail"] == 2
        await bus.router("router.2").request("luabus.configure", {"groups": {"mail": [9], "news": [8]}})
        await until(lambda: "news" in bus.groups)
        assert bus.groups["mail"] == 2
        await bus.router("router.1").request("luabus.configure", {"groups": {"mail": [9]}})
        await until(lambda: bus.groups["mail"] == 9)


async def test_a_router_begins_with_its_document() -> None:
    given = ClusterDocument.of(document(default="deny"))
    async with asyncio.timeout(20), Router(port=0, cluster=given) as router:
        assert [group["name"] for group in router.routes()["groups"]] == list(GROUPS)
        made = Instance("mail", 1, {"routers": [f"127.0.0.1:{router.port}"], "secret": None, "group": 9})
        with pytest.raises(Refused, match="mail cannot be group 9: mail is group 2"):
            await made.service.start()


async def test_refusals_of_methods_that_repeat_are_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luabus.service.refusals.TELL_S", 0.01)
    async with Star() as star:
        await star.mail(1)
        bus = await star.client()
        rules = document(methods={"mail": {"note": ["gateway"]}})
        await bus.router("router.1").request("luabus.configure", rules)
        for _ in range(30):
            bus.target("mail.1").send("note", 1)
        await until(lambda: star.routers[0].stats()["alarms"])
        (alarm,) = star.routers[0].stats()["alarms"]
        assert alarm["values"] == {"caller": "client", "callee": "mail's note"}
        assert alarm["count"] == 30


@pytest.mark.parametrize(
    "arguments",
    [
        ("", "x", 1), ("a\n", "x", 1), ("a", "x" * 101, 1), ("a", "x", 0), ("a", "x", True), ("a", "x", 1e300), (1, "x", 1),
        ("a", None, 1), ("a", "x", 1 << 40), ("a",), (),
    ],
)  # fmt: skip
async def test_a_word_about_refusals_is_checked(arguments: tuple[Any, ...]) -> None:
    async with Star() as star, await peer(star) as one:
        assert isinstance(await one.request("luabus.forbade", "a", "x", 1), BadArguments), "no member"
        await one.request("luabus.join", M1, "mail", 1, "")
        assert isinstance(await one.request("luabus.forbade", *arguments), BadArguments)
        assert star.routers[0].stats()["alarms"] == []


# --- with real keys -------------------------------------------------------------------------------------------


def key_of(folder: Path, principal: Principal) -> str:
    """A file with this principal's key."""
    path = folder / str(principal).replace(":", "-")
    path.write_text(format_key(principal, derive(SECRET, principal)) + "\n")
    path.chmod(0o600)
    return str(path)


async def test_keys_make_services_clients_and_nothing_more(tmp_path: Path) -> None:
    async with Star() as star:
        hand = await star.client()
        rules = document(callers={"mail": ["gateway", "ops"]}, methods={"mail": {"note": ["ops"]}})
        await hand.router("router.1").request("luabus.configure", rules)
        mail = await star.service("mail", secret=None, key_file=key_of(tmp_path, MAIL))
        gateway = await star.service("gateway", secret=None, key_file=key_of(tmp_path, GATEWAY))
        ops = await star.client(secret=None, key_file=key_of(tmp_path, OPS))
        client = await star.client(secret=None, key_file=key_of(tmp_path, CLIENT))
        assert await gateway.bus.random("mail").request("who") == "mail.1"
        assert await ops.random("mail").request("note", 1) is None
        with pytest.raises(Forbidden, match=r"gateway may not call mail\.1's note; allowed: ops"):
            await gateway.bus.random("mail").request("note", 2)
        with pytest.raises(Forbidden, match="client may not call mail; allowed: gateway, ops"):
            await client.random("mail").request("who")
        assert mail.notes == [1]
        for bus in (client, ops, gateway.bus, mail.bus):
            for token in (0, None, "own"):
                with pytest.raises(Forbidden, match=r"may not use luabus\.register"):
                    await admin.register(bus, "mail.1", token)
            with pytest.raises(Forbidden, match=r"may not use luabus\.connections"):
                await admin.connections(bus)
        thief = Instance(
            "director", 1, {"routers": star.addresses, "secret": None, "key_file": key_of(tmp_path, MAIL)}
        )
        with pytest.raises(Forbidden, match=r"service:mail may not join as director\.1"):
            await thief.service.start()


async def test_a_refusal_calls_everybody_by_its_class_also_one_that_no_rule_names(tmp_path: Path) -> None:
    robot = Principal("service", "robot")
    async with Star() as star:
        early = await star.client(secret=None, key_file=key_of(tmp_path, robot))
        hand = await star.client()
        mail = await star.service("mail")
        await hand.router("router.1").request(
            "luabus.configure", document(methods={"mail": {"note": ["gateway"]}})
        )
        later = await star.client(secret=None, key_file=key_of(tmp_path, robot))
        by_hand = await star.service("director")
        plain = await star.client(secret=None, key_file=key_of(tmp_path, CLIENT))
        callers = [(early, "robot"), (later, "robot"), (hand, "client"), (plain, "client")]
        callers += [(by_hand.bus, "director")]
        for bus, name in callers:
            with pytest.raises(
                Forbidden, match=rf"^{name} may not call mail\.1's note; allowed: gateway"
            ) as raised:
                await bus.random("mail").request("note", 1)
            assert raised.value.caller == name
        assert mail.notes == []
