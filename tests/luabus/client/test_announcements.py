"""What routers tell every process."""

from __future__ import annotations

from luabus.client.announcements import Announcements
from luabus.client.news import News
from tests.support.bus import Instance, Star
from tests.support.waiting import until


async def test_names_are_learnt_from_the_routers() -> None:
    async with Star(groups={"mail": (2, 3), "gateway": (1,)}) as star:
        bus = await star.client(groups={})
        assert {name: bus.groups[name] for name in ("mail", "gateway")} == {"mail": 2, "gateway": 1}
        made = Instance("robot", 1, {"routers": star.addresses, "group": 77})
        async with made.service:
            await until(lambda: bus.groups.get("robot") == 77)
            assert bus.names[77] == "robot"
            assert await bus.target("robot.1").request("who") == "robot.1"


def heard(announcements: Announcements, number: int, name: str) -> None:
    """A router's word, outside of any call."""
    announcements._names({"group": number, "name": name, "master": 0, "epoch": 0, "mode": ""})


def test_a_name_that_is_given_to_another_group_moves_when_the_first_has_it_no_more() -> None:
    told = Announcements(News(), lambda link: None, lambda router, group: None, lambda group: None)
    heard(told, 2, "mail")
    heard(told, 5, "mail")
    assert told.groups == {"mail": 2}
    heard(told, 2, "")
    assert told.groups == {"mail": 5}


def test_a_group_that_is_called_otherwise_is_not_found_by_its_old_name() -> None:
    told = Announcements(News(), lambda link: None, lambda router, group: None, lambda group: None)
    heard(told, 2, "mail")
    heard(told, 2, "box")
    assert told.groups == {"box": 2}


def test_a_name_given_in_code_is_where_the_routers_say() -> None:
    told = Announcements(News(), lambda link: None, lambda router, group: None, lambda group: None)
    told.groups.update({"mail": 9, "mine": 7})
    heard(told, 2, "mail")
    assert told.groups == {"mail": 2, "mine": 7}
