"""Whose a group's number, name and usual route are: the cluster document's, else whoever's came first. Pure.

What is in the document stays as the document says. A group that is not in it belongs to its live members: the first of them that
gives it a name says what it is called, the first that gives a route how it is reached, and who comes later must say the same or
nothing; when all are gone, also those who said nothing, another may have the number, or the name.
"""

from __future__ import annotations

from typing import Any

from luabus.messages import Message
from luabus.routing.access import CLIENT_CLASS
from luabus.routing.cluster_document import ClusterDocument, GroupFacts
from luabus.routing.table import Table


class Ownership:
    """Guards the groups of one table. `document`: what holds now; `configure` gives another."""

    def __init__(self, table: Table[Any]) -> None:
        self.document = ClusterDocument()
        self._table = table
        self._documented: dict[int, tuple[str, GroupFacts]] = {}
        self._retired: set[int] = set()

    @property
    def names(self) -> dict[int, str]:
        """Group numbers to names."""
        return {number: group.name for number, group in self._table.groups.items() if group.name}

    def knows(self, number: int) -> bool:
        """Whether the document or the table has this group."""
        group = self._table.groups.get(number)
        return number in self._documented or (group is not None and bool(group.name or group.entries))

    def configure(self, document: ClusterDocument) -> None:
        """From now on `document` says which groups there are. What it does not have any more belongs to its live members."""
        table, before = self._table, self._documented
        self.document = document
        self._documented = {facts.number: (name, facts) for name, facts in document.groups.items()}
        for number, group in list(table.groups.items()):
            if number in self._documented:
                continue
            if group.name in document.groups:
                table.rename(number, "", group.mode)
            if number in before:
                self._retired.add(number)
        self.tidy()
        for number, (name, facts) in self._documented.items():
            table.describe(number, name=name, mode=facts.mode)
            if facts.instances is not None:
                table.expect(number, facts.instances)
            elif number in before and before[number][1].instances is not None:
                table.expect(number, None)

    def tidy(self) -> None:
        """Groups that the document has no more are forgotten when their last member is gone."""
        for number in list(self._retired):
            if number in self._documented:
                self._retired.discard(number)
            elif not self._table.lives(number):
                self._retired.discard(number)
                self._table.rename(number, "", "")
                self._table.expect(number, None)

    def clash(self, number: int, name: str, mode: str) -> Message | None:
        """Why nobody may join group `number` as one of `name` whose usual route is `mode`; "" says nothing of either."""
        if name == CLIENT_CLASS:
            return Message("refusal.reserved-name", name=name)
        owner = self._owner_of(number)
        if owner is not None:
            owned, usual = owner
            if name and owned and name != owned:
                return Message("refusal.group-clash", given=name, number=number, name=owned, group=number)
            if mode and usual and mode != usual:
                return Message(
                    "refusal.mode-clash", name=owned or str(number), group=number, mode=usual, given=mode
                )
        if name:
            facts = self.document.groups.get(name)
            holders = [
                g.number
                for g in self._table.groups.values()
                if g.name == name and self._table.lives(g.number)
            ]
            for other in [facts.number] if facts is not None else holders:
                if other != number:
                    return Message("refusal.group-clash", given=name, number=number, name=name, group=other)
        return None

    def joined(self, number: int, name: str, mode: str, where: object) -> bool:
        """Note what a member, connected by `where`, says of its group, as far as it may; True when that was news for all."""
        group = self._table.group(number)
        owner = self._owner_of(number, but=where)
        if owner is None:  # it is the first: what was said by those before is over
            for other in list(self._table.groups.values()):
                if name and other.number != number and other.name == name:
                    self._table.rename(other.number, "", other.mode)
            if name and group.name and group.name != name:
                self._table.expect(number, None)
            news = self._table.describe(number, name=name, mode=mode)
        else:
            news = self._table.rename(number, group.name or name, group.mode or mode)
        return news

    def _owner_of(self, number: int, but: object = None) -> tuple[str, str] | None:
        """The name and the usual route that are not anybody's to change; None when whoever joins may say."""
        group = self._table.groups.get(number)
        lives = self._table.lives(number, but)
        if number in self._documented:
            name, facts = self._documented[number]
            return name, facts.mode or (group.mode if group is not None and lives else "")
        return (group.name, group.mode) if group is not None and lives else None
