from __future__ import annotations

from typing import Any

import pytest

from luabus.cluster import preview_routing
from luabus.cluster.entries import Registration
from luabus.errors import Refused
from tests.dashboard.cluster import ScriptedCluster, by_hand, connection, snapshot_of, table


def asked(service_id: str, token: Any, router: str = "*", is_master: bool = False) -> Registration:
    return Registration(service_id=service_id, token=token, router=router, is_master=is_master)


def texts(said: preview_routing.Preview) -> list[str]:
    return [str(sentence) for sentence in said[1]]


async def test_vacating_tells_who_gets_the_keys() -> None:
    said = preview_routing.of_register(await snapshot_of(ScriptedCluster()), asked("2.2", 0))
    assert str(said[0]) == "Make the entry of mail.2 vacant?"
    assert texts(said) == [
        "33 % of the keys of mail move, to mail.3 (17 %), mail.1 (16 %); all others stay.",
        "Messages to mail.2 answer NoRoute until it registers again.",
    ]
    assert said[2]


async def test_removing_tells_that_keys_move() -> None:
    said = texts(preview_routing.of_register(await snapshot_of(ScriptedCluster()), asked("2.2", None)))
    assert said == [
        "33 % of the keys of mail move, to mail.3 (17 %), mail.1 (16 %); all others stay.",
        "Messages to mail.2 answer NoRoute; it takes part in random and broadcast no more.",
    ]


async def test_one_router_only_makes_them_disagree() -> None:
    said = texts(
        preview_routing.of_register(await snapshot_of(ScriptedCluster()), asked("2.2", 0, "router.1"))
    )
    assert said[-1] == "Only router.1 changes: the routers disagree until the others are told the same."


async def test_one_that_is_live_again_has_its_keys_back() -> None:
    cluster = ScriptedCluster(tables={n: table(n, mail=(11, 0, 13)) for n in ("router.1", "router.2")})
    said = texts(preview_routing.of_register(await snapshot_of(cluster), asked("2.2", "own")))
    assert said == [
        "33 % of the keys of mail move, to mail.2 (33 %); all others stay.",
        "Messages to mail.2 reach it again.",
    ]


async def test_naming_a_master_where_the_lease_decides_says_that_it_is_refused() -> None:
    said = texts(
        preview_routing.of_register(await snapshot_of(ScriptedCluster()), asked("1.2", "own", is_master=True))
    )
    assert "Group director elects its master by lease: the routers refuse this. Promote it instead." in said


async def test_a_token_says_whose_connection_it_is() -> None:
    snapshot = await snapshot_of(ScriptedCluster())
    assert texts(preview_routing.of_register(snapshot, asked("2.2", 13))) == [
        "Token 13 is the connection of mail.3.",
        "What is sent to mail.2 goes to mail.3 from now on.",
    ]
    assert (
        texts(preview_routing.of_register(snapshot, asked("2.2", 12)))[0]
        == "Token 12 is the connection of mail.2."
    )
    with pytest.raises(Refused, match=r"no router has a connection with token 99"):
        preview_routing.of_register(snapshot, asked("2.2", 99))


async def test_a_token_that_is_another_connection_at_each_router_is_refused() -> None:
    cluster = ScriptedCluster()
    cluster.rows = [connection("router.1", "mail.1", "2.1", 7), connection("router.2", "mail.3", "2.3", 7)]
    snapshot = await snapshot_of(cluster)
    with pytest.raises(Refused, match=r"router\.1: mail\.1, router\.2: mail\.3"):
        preview_routing.of_register(snapshot, asked("2.2", 7))
    said = texts(preview_routing.of_register(snapshot, asked("2.2", 7, "router.2")))
    assert said[0] == "Token 7 is the connection of mail.3."


async def test_own_without_such_a_connection_is_said_to_be_refused() -> None:
    cluster = ScriptedCluster()
    cluster.rows = [row for row in cluster.rows if row["service_id"] != "2.2"]
    said = texts(preview_routing.of_register(await snapshot_of(cluster), asked("2.2", "own")))
    assert said == ["No connection at router.1, router.2 says it is mail.2: this is refused."]


async def test_a_router_that_does_not_answer_is_named() -> None:
    snapshot = await snapshot_of(ScriptedCluster(up={"router.1": False, "router.2": True}))
    _, sentences, danger = preview_routing.of_register(snapshot, asked("2.2", "own"))
    assert str(sentences[-1]) == "router.1 does not answer: nothing is changed there until it is told again."
    assert danger


async def test_one_router_that_does_as_the_others_do_makes_them_agree() -> None:
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1"), "router.2": table("router.2", mail=(11, 0, 13))}
    )
    snapshot = await snapshot_of(cluster)
    assert not any(
        "disagree" in said
        for said in texts(preview_routing.of_register(snapshot, asked("2.2", 0, "router.1")))
    )
    assert any(
        "disagree" in said
        for said in texts(preview_routing.of_register(snapshot, asked("2.1", 0, "router.1")))
    )


async def test_who_is_not_reached_by_hash_has_no_keys() -> None:
    snapshot = await snapshot_of(ScriptedCluster())
    title, sentences, _ = preview_routing.of_register(snapshot, asked("1.2", 0))
    assert str(title) == "Make the entry of director.2 vacant?"
    assert [str(one) for one in sentences] == [
        "Messages to director.2 answer NoRoute until it registers again."
    ]
    assert "hash" not in " ".join(texts(preview_routing.of_register(snapshot, asked("1.2", None))))


async def test_removing_or_vacating_the_master_says_so() -> None:
    snapshot = await snapshot_of(ScriptedCluster())
    for token in (0, None):
        said = texts(preview_routing.of_register(snapshot, asked("1.1", token)))
        assert (
            said[-1]
            == "director.1 is the master of director: calls to the master fail until there is another."
        )


async def test_what_changes_nothing_says_so() -> None:
    snapshot = await snapshot_of(
        ScriptedCluster(tables={n: table(n, mail=(11, 0, 13)) for n in ("router.1", "router.2")})
    )
    assert texts(preview_routing.of_register(snapshot, asked("2.2", 0))) == [
        "It is so already: nothing changes."
    ]
    assert texts(preview_routing.of_register(snapshot, asked("2.1", "own"))) == [
        "It is so already: nothing changes."
    ]


async def test_a_master_by_hand_is_named_and_unset() -> None:
    snapshot = await snapshot_of(by_hand("2.1"))
    said = texts(preview_routing.of_register(snapshot, asked("2.2", "own", is_master=True)))
    assert said == ["It takes the place of mail.1."]
    said = texts(preview_routing.of_register(snapshot, asked("2.1", "own")))
    assert said == [
        "Messages to mail.1 go to that connection from now on.",
        "mail.1 is the master of mail no longer.",
    ]


async def test_promoting() -> None:
    snapshot = await snapshot_of(ScriptedCluster())
    assert texts(preview_routing.of_promote(snapshot, "1.2")) == [
        "director.1 gives up the lease of director and director.2 takes it, with a higher epoch.",
        "Calls to the master fail for a moment in between.",
    ]
    _, sentences, danger = preview_routing.of_promote(snapshot, "1.1")
    assert [str(one) for one in sentences] == ["director.1 is the master already: nothing changes."]
    assert not danger
    with pytest.raises(Refused, match="group mail elects no master"):
        preview_routing.of_promote(snapshot, "2.1")
    without = await snapshot_of(
        ScriptedCluster(tables={n: table(n, master=None) for n in ("router.1", "router.2")})
    )
    assert texts(preview_routing.of_promote(without, "1.2")) == [
        "director has no master that could hand over: this fails now."
    ]
