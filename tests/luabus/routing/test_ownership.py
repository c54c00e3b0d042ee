"""Whose a group's number, name, usual route are, and who is expected."""

from __future__ import annotations

import pytest

from luabus.ids import ServiceId
from luabus.routing.cluster_document import ClusterDocument
from luabus.routing.ownership import Ownership
from luabus.routing.table import Table


class World:
    """A table of strings; `join("mail.1@2")` as mail, group 2, instance 1; the answer is the clash's text, "" for none."""

    def __init__(self, **groups: list[object]) -> None:
        self.table: Table[str] = Table()
        self.groups = Ownership(self.table)
        if groups:
            self.groups.configure(ClusterDocument.of({"groups": groups}))

    def join(self, who: str, mode: str = "") -> str:
        label, _, number = who.partition("@")
        name, _, instance = label.partition(".")
        clash = self.groups.clash(int(number), name, mode)
        if clash is not None:
            return str(clash)
        self.table.put(ServiceId.of(int(number), int(instance)), who)
        self.groups.joined(int(number), name, mode, who)
        return ""

    def facts(self, number: int) -> tuple[str, str, int | None]:
        group = self.table.group(number)
        return group.name, group.mode, group.expected


def test_who_comes_first_says_what_a_group_is_while_it_lives() -> None:
    world = World()
    assert world.join("mail.1@2", "hash") == ""
    assert world.join("mail.2@2") == ""
    assert world.facts(2) == ("mail", "hash", None)
    assert world.join("box.2@2") == "box cannot be group 2: mail is group 2"
    assert world.join("mail.1@5") == "mail cannot be group 5: mail is group 2"
    assert world.join("mail.3@2", "random") == "mail (group 2) is reached by hash, not by random"
    assert world.facts(2) == ("mail", "hash", None)
    assert 5 not in world.table.groups
    assert world.groups.names == {2: "mail"}


def test_what_the_first_leaves_open_is_for_the_first_to_say_and_holds_until_all_are_gone() -> None:
    world = World()
    assert world.join(".1@2") == ""
    assert world.facts(2) == ("", "", None)
    assert world.join("mail.2@2") == ""
    assert world.join(".3@2", "hash") == ""
    assert world.facts(2) == ("mail", "hash", None)
    assert world.join("box.4@2") == "box cannot be group 2: mail is group 2"
    assert world.join("mail.4@2", "random") == "mail (group 2) is reached by hash, not by random"
    for who in ("mail.2@2", ".3@2"):  # those who said it: the group is still the same
        world.table.lost(who)
    assert world.join("box.4@2") == "box cannot be group 2: mail is group 2"
    assert world.join("mail.1@5") == "mail cannot be group 5: mail is group 2"
    world.table.lost(".1@2")
    assert world.join("box.4@2", "random") == ""
    assert world.facts(2) == ("box", "random", None)


def test_a_name_that_another_group_has_is_none_to_give_to_ones_own() -> None:
    world = World(mail=[2, 3, "hash"])
    world.join(".1@7")
    assert world.join("mail.2@7") == "mail cannot be group 7: mail is group 2"
    assert world.facts(7) == ("", "", None)


def test_a_route_that_the_document_leaves_open_is_for_the_first_to_say() -> None:
    world = World(chat=[3, 0, ""])
    assert world.join("chat.1@3") == ""
    assert world.join("chat.2@3", "random") == ""
    assert world.join("chat.3@3", "hash") == "chat (group 3) is reached by random, not by hash"


def test_when_all_are_gone_another_may_have_the_number_or_the_name() -> None:
    world = World()
    world.join("mail.1@2", "hash")
    world.table.lost("mail.1@2")
    assert world.join("mail.1@5", "random") == ""
    assert (world.facts(2)[0], world.facts(5)) == ("", ("mail", "random", None))
    assert world.join("box.1@2") == ""
    assert world.facts(2) == ("box", "hash", None)
    assert world.groups.names == {2: "box", 5: "mail"}


def test_the_last_one_may_not_rename_its_own_group_while_others_are_there() -> None:
    world = World()
    world.join("mail.1@2")
    world.join("mail.2@2")
    assert world.join("post.2@2") == "post cannot be group 2: mail is group 2"


@pytest.mark.parametrize(
    ("who", "mode"), [("box.1@2", ""), ("mail.1@5", ""), ("mail.1@2", "random"), ("chat.1@2", "hash")]
)
def test_what_the_document_says_holds_also_where_nobody_lives(who: str, mode: str) -> None:
    world = World(mail=[2, 3, "hash"])
    before = world.table.version
    assert world.join(who, mode) != ""
    assert (world.facts(2), world.table.version) == (("mail", "hash", 3), before)


def test_whom_the_document_expects_is_vacant_until_it_is_there() -> None:
    world = World(mail=[2, 3, "hash"])
    assert world.join("mail.1@2", "hash") == ""
    assert (world.facts(2), len(world.table.group(2).ids)) == (("mail", "hash", 3), 3)
    world.groups.configure(ClusterDocument.of({"groups": {"mail": [2, 1, "hash"]}}))
    assert (world.facts(2), len(world.table.group(2).ids)) == (("mail", "hash", 1), 1)
    world.groups.configure(ClusterDocument.of({"groups": {"mail": [2]}}))
    assert world.facts(2) == ("mail", "hash", None)


def test_a_group_that_the_document_does_not_have_is_its_first_members() -> None:
    world = World(mail=[2, 3, "hash"])
    assert not world.groups.knows(7)
    assert world.join("extra.1@7") == ""
    assert world.groups.knows(7)
    assert world.join("other.2@7") == "other cannot be group 7: extra is group 7"


def test_another_document_takes_numbers_and_names_at_once() -> None:
    world = World(mail=[2, 3, "hash"], chat=[3, 0, ""])
    world.join("mail.1@2", "hash")
    world.groups.configure(ClusterDocument.of({"groups": {"mail": [3, 2, "random"], "news": [9, 1]}}))
    assert world.facts(3) == ("mail", "random", 2)
    assert world.groups.names == {3: "mail", 9: "news"}
    assert world.join("mail.2@2") == "mail cannot be group 2: mail is group 3"
    assert world.join("mail.1@3", "random") == ""


def test_a_group_that_left_the_document_belongs_to_its_members_until_they_go() -> None:
    world = World(mail=[2, 3, "hash"], chat=[3, 2, ""])
    world.join("mail.1@2", "hash")
    world.groups.configure(ClusterDocument())
    assert world.groups.names == {2: "mail"}
    assert world.table.group(3).entries == {}
    assert world.join("box.2@2") == "box cannot be group 2: mail is group 2"
    world.table.lost("mail.1@2")
    world.groups.tidy()
    assert (world.groups.names, world.table.group(2).entries) == ({}, {})
    assert not world.groups.knows(2)
    assert world.join("box.2@2") == ""
