"""Who is registered at a router: joining and leaving, masters, changes by hand."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from luabus.errors import (
    BadArguments,
    IdInUse,
    Refused,
    StaleEpoch,
)
from luabus.ids import CLIENT_BASE
from luabus.protocol import codec
from luabus.protocol.frames import Kind
from tests.support.bus import SECRET, Star
from tests.support.raw import RawPeer
from tests.support.waiting import until

M1, M2 = 0x0002_0001, 0x0002_0002


async def peer(star: Star) -> RawPeer:
    return await RawPeer.open(star.routers[0].port, SECRET)


async def test_a_service_registers_and_is_reached() -> None:
    async with Star() as star, await peer(star) as one:
        answer = await one.request("luabus.join", M1, "mail", 1, "hash")
        assert (answer["router"], answer["token"]) == ("router.1", one.given_id & 0xFF_FFFF)
        client = await star.client()
        client.target("mail.1").send("hello")
        assert codec.unpack_value((await one.frame(Kind.TARGET)).body) == ["hello"]


@pytest.mark.parametrize(
    ("service_id", "words"),
    [
        (0x0000_0001, "group 0 belongs to the routers"),
        (0x0002_0000, "instance 0 is out of range"),
        (0x0100_0001, "group 256 is out of range"),
        (CLIENT_BASE | 1, "is the id of a connection"),
    ],
)
async def test_what_cannot_be_registered_is_refused(service_id: int, words: str) -> None:
    async with Star() as star, await peer(star) as one:
        refused = await one.request("luabus.join", service_id, "mail", 1, "")
        assert isinstance(refused, Refused | BadArguments)
        assert words in str(refused)
        assert star.routers[0].mgr.switch.table.where(M1) is None


async def test_an_older_process_with_the_same_id_is_refused_loudly() -> None:
    async with Star() as star, await peer(star) as newer, await peer(star) as older:
        await newer.request("luabus.join", M1, "mail", 200, "")
        refused = await older.request("luabus.join", M1, "mail", 100, "")
        assert isinstance(refused, IdInUse)
        assert (refused.service_id, refused.incarnation, refused.holder) == (M1, 100, 200)
        client = await star.client()
        client.target("mail.1").send("to the newer")
        assert (await newer.frame(Kind.TARGET)).kind is Kind.TARGET


async def test_a_newer_process_with_the_same_id_takes_it_over_and_the_old_one_is_told() -> None:
    async with Star() as star, await peer(star) as old, await peer(star) as new:
        await old.request("luabus.join", M1, "mail", 100, "")
        await new.request("luabus.join", M1, "mail", 200, "")
        assert isinstance(await old.decode_bye(), IdInUse)
        client = await star.client()
        client.target("mail.1").send(
            "to the newer"
        )  # the late end of the old connection has not unregistered it
        assert (await new.frame(Kind.TARGET)).kind is Kind.TARGET


async def test_a_connection_that_dies_leaves_a_vacancy_and_one_that_leaves_too_if_it_is_expected() -> None:
    async with Star() as star:
        table = star.routers[0].mgr.switch.table
        async with await peer(star) as one:
            await one.request("luabus.join", M1, "mail", 1, "hash")
        await until(lambda: table.where(M1) is None)
        assert len(table.group(2).ids) == 3
        async with await peer(star) as one:
            await one.request("luabus.join", 0x0007_0001, "other", 1, "")
            await one.request("luabus.leave")
            assert table.group(7).entries == {}


async def test_what_was_sent_before_the_leaving_arrives_before_its_answer() -> None:
    async with Star() as star, await peer(star) as one:
        await one.request("luabus.join", M1, "mail", 1, "")
        client = await star.client()
        for _ in range(100):
            client.target("mail.1").send("m")
        assert await client.router("router.1").request("luabus.stats")
        one.call("luabus.leave", sequence=9)
        kinds = []
        while True:
            frame = await one.frame()
            kinds.append(frame.kind)
            if frame.kind is Kind.REPLY and frame.sequence == 9:
                break
        assert kinds.count(Kind.TARGET) == 100


async def test_epochs_go_up_only_and_the_same_epoch_from_two_raises_an_alarm() -> None:
    async with Star() as star, await peer(star) as one, await peer(star) as two:
        await one.request("luabus.join", M1, "mail", 1, "master")
        await two.request("luabus.join", M2, "mail", 1, "master")
        assert await one.request("luabus.master", 5) is None
        assert isinstance(await two.request("luabus.master", 5), StaleEpoch)
        assert isinstance(await two.request("luabus.master", 4), StaleEpoch)
        assert await two.request("luabus.master", 6) is None
        assert isinstance(await one.request("luabus.master", 5), StaleEpoch)
        alarms = star.routers[0].stats()["alarms"]
        assert any(
            "mail.2 claims epoch 5 of group mail, but mail.1 has epoch 5" in str(alarm) for alarm in alarms
        )
        assert star.routers[0].routes()["groups"][1]["master"] == "2.2"
        await two.request("luabus.resign", 6)
        assert star.routers[0].routes()["groups"][1]["master"] is None
        assert star.routers[0].routes()["groups"][1]["epoch"] == 6


async def test_only_a_registered_service_can_be_master() -> None:
    async with Star() as star, await peer(star) as one:
        assert isinstance(await one.request("luabus.master", 5), Refused)


async def test_register_by_hand_vacates_removes_and_restores() -> None:
    async with Star() as star:
        await star.mail()
        bus = await star.client()
        router = bus.router("router.1")

        async def slots() -> dict[str, bool]:
            group = next(g for g in (await router.request("luabus.routes"))["groups"] if g["group"] == 2)
            return {slot["service_id"]: slot["token"] != 0 for slot in group["slots"]}

        await router.request("luabus.register", "mail.1", 0)
        assert await slots() == {"2.1": False, "2.2": True, "2.3": True}
        assert await bus.hash("mail", 9).request("who") == "mail.2"
        await router.request("luabus.register", "mail.1", None)
        assert await slots() == {"2.2": True, "2.3": True}
        await router.request("luabus.register", M1, "own")
        assert await slots() == {"2.1": True, "2.2": True, "2.3": True}
        assert await bus.hash("mail", 9).request("who") == "mail.1"


async def test_register_by_hand_over_another_connection_by_its_token() -> None:
    async with Star() as star:
        await star.mail(1, 2)
        bus = await star.client()
        rows = await bus.router("router.1").request("luabus.connections")
        token = next(row["token"] for row in rows if row["name"] == "mail.2")
        shown = await bus.router("router.1").request("luabus.register", "mail.3", token, True)
        assert shown["master"] == "2.3"
        assert await bus.target("mail.3").request("who") == "mail.2"
        assert await bus.master("mail").request("who") == "mail.2"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("mail.1", 99_999), r"router.1 has no connection with token 99999; it has: \d+ \("),
        (
            ("mail.1", "nonsense"),
            "token is one of None, 'own', or a whole number from 0 to 16777215, not 'nonsense'",
        ),
        (("mail.1", "own"), "no connection at router.1 has joined as mail.1"),
        (("mail.9", None), "router.1 has no entry for mail.9"),
        (("mial.1", 0), "there is no group named 'mial'; did you mean 'mail'"),
        (("mail", 0), "is not a service id: write GROUP.INSTANCE"),
        (("2.0", 0), "instance 0 is out of range: 1..65535"),
        (("mail.1", 0, True), "mail.1 cannot be master without a connection; give its token"),
    ],
)
async def test_register_by_hand_refuses_what_is_not_there_and_says_what_is(
    args: tuple[Any, ...], words: str
) -> None:
    async with Star() as star:
        bus = await star.client()
        before = star.routers[0].routes()["digest"]
        with pytest.raises((Refused, BadArguments), match=words):
            await bus.router("router.1").request("luabus.register", *args)
        assert star.routers[0].routes()["digest"] == before


async def test_a_group_that_elects_its_master_takes_none_by_hand() -> None:
    async with Star() as star, await peer(star) as one:
        await one.request("luabus.join", M1, "mail", 1, "master")
        await one.request("luabus.master", 5)
        refused = await one.request("luabus.register", "mail.1", "own", True)
        assert isinstance(refused, Refused)
        assert "elects its master by lease; use promote mail.1" in str(refused)


async def test_close_ends_one_connection_which_is_told_why() -> None:
    async with Star() as star, await peer(star) as one, await peer(star) as other:
        await one.request("luabus.join", M1, "mail", 1, "")
        assert await other.request("luabus.close", one.given_id & 0xFF_FFFF) == "mail.1"
        error = await one.decode_bye()
        assert isinstance(error, Refused)
        assert str(error) == "closed by an administrator"
        closed = star.routers[0].stats()["closed"][-1]
        assert (closed["name"], closed["reason"]) == ("mail.1", "closed by an administrator")
        assert isinstance(await other.request("luabus.close", 99_999), Refused)


async def test_a_router_that_stops_takes_no_new_registrations() -> None:
    async with Star() as star, await peer(star) as one:
        star.routers[0].draining = True
        assert isinstance(await one.request("luabus.join", M1, "mail", 1, ""), Refused)


async def test_log_says_who_takes_over_from_whom(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "luabus"):
        async with Star() as star, await peer(star) as old, await peer(star) as new:
            await old.request("luabus.join", M1, "mail", 1, "")
            await new.request("luabus.join", M1, "mail", 2, "")
            await old.ended()
    assert "router.1 listens at 127.0.0.1:" in caplog.text
    assert "2.1 comes from a newer process; the old connection" in caplog.text


@pytest.mark.parametrize(
    "word", [("master", 7), ("resign", 6), ("stand",), ("forbade", "client", "purge", 1)]
)
@pytest.mark.parametrize("gone", ["left", "replaced", "removed by hand"])
async def test_who_is_registered_no_more_claims_nothing(gone: str, word: tuple[Any, ...]) -> None:
    async with Star() as star, await peer(star) as old, await peer(star) as new, await peer(star) as admin:
        table = star.routers[0].mgr.switch.table
        await old.request("luabus.join", M1, "mail", 1, "master")
        if gone == "removed by hand":
            await admin.request("luabus.register", "mail.1", None)
        else:
            await old.request("luabus.leave")
        if gone == "replaced":
            await new.request("luabus.join", M1, "mail", 2, "master")
            await new.request("luabus.master", 6)
        before = table.digest(), table.group(2).elected
        name, *args = word
        assert isinstance(await old.request(f"luabus.{name}", *args), Refused | BadArguments)
        assert (table.digest(), table.group(2).elected) == before


@pytest.mark.parametrize("service_id", [M1, 0x0009_0001])
async def test_no_group_is_called_as_connections_without_an_id_are(service_id: int) -> None:
    async with Star() as star, await peer(star) as one:
        assert isinstance(await one.request("luabus.join", service_id, "client", 1, ""), Refused)
        refused = await one.request("luabus.configure", {"groups": {"client": [9]}, "access": {}})
        assert isinstance(refused, Refused)
