from __future__ import annotations

from luabus.protocol.port import Port
from luabus.routing.table import Table
from luabus.routing.views import full_group, merge_routes, public_group


def table() -> Table[Port]:
    """mail: 2.1 (live) and 2.2 (vacant) are expected, 2.3 is there besides. Nobody has asked for 3, which is named."""
    made: Table[Port] = Table()
    made.describe(2, name="mail", mode="hash")
    made.expect(2, 2)
    made.put(0x0002_0001, Port(17, 0))
    made.put(0x0002_0003, Port(18, 0))
    made.describe(3, name="director", mode="master")
    return made


def test_a_group_has_the_shape_of_interfaces_md() -> None:
    made = table()
    made.claim(0x0002_0001, 3)
    shown = full_group(made.group(2))
    assert {key: shown[key] for key in ("group", "name", "master", "epoch")} == {
        "group": 2, "name": "mail", "master": "2.1", "epoch": 3,
    }  # fmt: skip
    assert shown["slots"] == [
        {"service_id": "2.1", "name": "mail.1", "token": 17, "share": 0.5073},
        {"service_id": "2.2", "name": "mail.2", "token": 0, "share": 0.0},
        {"service_id": "2.3", "name": "mail.3", "token": 18, "share": 0.4927},
    ]
    assert shown["digest"] == f"{made.group(2).digest:08x}"
    assert shown["elected"] is True


def test_shares_are_of_groups_that_are_asked_by_key() -> None:
    made: Table[Port] = Table()
    made.describe(5, mode="random")
    made.put(0x0005_0001, Port(1, 0))
    assert full_group(made.group(5))["slots"] == [{"service_id": "5.1", "name": "5.1", "token": 1}]
    assert made.group(5).by_bucket
    assert full_group(made.group(5))["slots"][0]["share"] == 1.0
    made.vacate(0x0005_0001)
    assert full_group(made.group(5))["slots"][0]["share"] == 0.0


def test_a_group_without_a_name_goes_by_its_number() -> None:
    made: Table[Port] = Table()
    made.put(0x0005_0001, Port(1, 0))
    shown = full_group(made.group(5))
    assert (shown["name"], shown["slots"][0]["name"], shown["master"]) == ("5", "5.1", None)


def test_what_everybody_is_told_names_the_master_as_a_number() -> None:
    made = table()
    made.claim(0x0002_0001, 3)
    told = public_group(made.group(2))
    assert told == {"group": 2, "name": "mail", "mode": "hash", "master": 0x0002_0001, "epoch": 3}
    assert type(told["master"]) is int


def test_a_master_that_is_not_connected_is_none() -> None:
    made: Table[Port] = Table()
    made.claim(0x0003_0001, 3)
    assert public_group(made.group(3))["master"] == 0
    assert full_group(made.group(3))["master"] is None
    assert public_group(made.group(3))["epoch"] == 3


def shown(router: str, made: Table[Port]) -> dict[str, object]:
    return {"router": router, "groups": [full_group(group) for _, group in sorted(made.groups.items())]}


def test_routers_that_differ_in_their_tokens_alone_agree() -> None:
    other = table()
    other.put(0x0002_0001, Port(99, 0))
    merged = merge_routes([shown("router.2", other), shown("router.1", table())])
    assert merged["consistent"] is True
    assert [each["router"] for each in merged["routers"]] == ["router.1", "router.2"]


def test_routers_that_differ_in_an_entry_a_vacancy_or_a_master_do_not_agree() -> None:
    for change in (
        lambda made: made.remove(0x0002_0003),
        lambda made: made.vacate(0x0002_0001),
        lambda made: made.claim(0x0002_0001, 1),
        lambda made: made.expect(2, 4),
    ):
        other = table()
        change(other)
        assert merge_routes([shown("router.1", table()), shown("router.2", other)])["consistent"] is False


def test_groups_that_nobody_is_in_do_not_matter() -> None:
    other: Table[Port] = Table()
    merged = merge_routes([shown("router.1", Table()), shown("router.2", other)])
    assert merged["consistent"] is True
    other.describe(9, name="nobody")
    assert merge_routes([shown("router.1", Table()), shown("router.2", other)])["consistent"] is True


def test_one_router_agrees_with_itself() -> None:
    assert merge_routes([shown("router.1", table())])["consistent"] is True


def test_two_routers_of_one_name_do_not_agree_whatever_they_hold() -> None:
    assert merge_routes([shown("router.1", table()), shown("router.1", table())])["consistent"] is False
