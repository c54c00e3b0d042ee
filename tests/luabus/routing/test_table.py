"""The table: named histories, and random ones on several tables at once."""

from __future__ import annotations

import time
from collections import Counter
from sys import intern
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from luabus.errors import IdInUse, StaleEpoch
from luabus.ids import ServiceId
from luabus.routing.table import Table

MAIL = 2
M1, M2, M3, M4 = (ServiceId.of(MAIL, instance) for instance in (1, 2, 3, 4))


def table(*live: int, slots: int | None = None) -> Table[str]:
    made: Table[str] = Table()
    if slots is not None:
        made.configure_slots(MAIL, slots)
    for one in live:
        made.put(one, at(one))
    return made


def at(one: int) -> str:
    """The connection of an instance; the table compares connections by identity."""
    return intern(f"to {ServiceId(one)}")


def homes(made: Table[str], keys: int = 12) -> list[str]:
    """Where the keys 0..keys-1 go."""
    by_slot = made.group(MAIL).by_slot
    return [by_slot[key % len(by_slot)] for key in range(keys)] if by_slot else []


def test_a_connection_that_is_lost_costs_its_own_entries() -> None:
    made = table(M1, M2, slots=3)
    made.put(ServiceId.of(3, 1), at(M2))
    made.configure_slots(4, 65_535)

    class Untouched(dict[Any, Any]):
        def items(self) -> Any:
            raise AssertionError("a walk over all entries")

    for group in made.groups.values():
        group.entries = Untouched(group.entries)
    version = made.version
    assert made.lost("a stranger") == []
    assert made.version == version
    assert made.lost(at(M2)) == [M2, ServiceId.of(3, 1)]
    assert made.lost(at(M2)) == []
    assert made._ids == {at(M1): {M1}}


def test_many_changes_derive_a_group_once() -> None:
    made = table(*(ServiceId.of(MAIL, instance) for instance in range(1, 200)))
    group = made.group(MAIL)
    derived = group._derived
    for instance in range(1, 100):
        made.remove(ServiceId.of(MAIL, instance))
    assert group._derived is derived
    assert len(group.members) == 100


# --- hash: sorted, vacancies, coming home ---------------------------------------------------------------------


def test_hash_array_is_sorted_by_service_id_whatever_order_they_came_in() -> None:
    assert table(M3, M1, M2).group(MAIL).by_slot == table(M1, M2, M3).group(MAIL).by_slot
    assert table(M3, M1, M2).group(MAIL).slot_ids == (M1, M2, M3)


def test_a_vacant_slot_keeps_everyone_elses_hash() -> None:
    made = table(M1, M2, M3)
    before = homes(made)
    made.vacate(M2)
    after = homes(made)
    assert [b for b in before if b != "to 2.2"] == [
        a for a, b in zip(after, before, strict=True) if b != "to 2.2"
    ]
    assert len(made.group(MAIL).by_slot) == 3


def test_a_key_that_lands_on_a_vacancy_goes_to_the_next_live_slot_and_comes_home() -> None:
    made = table(M1, M2, M3)
    before = homes(made)
    made.vacate(M2)
    assert {a for a, b in zip(homes(made), before, strict=True) if b == "to 2.2"} == {"to 2.3"}
    made.vacate(M3)
    assert set(homes(made)) == {"to 2.1"}  # round the end
    made.put(M2, "to 2.2")
    made.put(M3, "to 2.3")
    assert homes(made) == before


def test_removing_an_entry_takes_its_slot_away() -> None:
    made = table(M1, M2, M3)
    assert made.remove(M2)
    assert made.group(MAIL).slot_ids == (M1, M3)
    assert homes(made) == homes(table(M1, M3))
    assert not made.remove(M2)
    assert not made.remove(ServiceId.of(9, 1))


def test_a_group_of_vacancies_alone_has_nowhere_to_go() -> None:
    made = table(slots=3)
    assert (made.group(MAIL).slot_ids, made.group(MAIL).by_slot, made.group(MAIL).members) == (
        (M1, M2, M3),
        (),
        (),
    )


def test_configured_slots_are_there_before_anyone_is() -> None:
    made = table(M2, slots=3)
    assert made.group(MAIL).slot_ids == (M1, M2, M3)
    assert homes(made) == ["to 2.2"] * 12


def test_instances_beyond_the_slots_are_members_but_get_no_hash() -> None:
    made = table(M1, M2, M3, M4, slots=2)
    assert set(homes(made)) == {"to 2.1", "to 2.2"}
    assert made.group(MAIL).members == ("to 2.1", "to 2.2", "to 2.3", "to 2.4")
    assert not made.group(MAIL).is_slot(M3)


def test_another_number_of_slots_takes_the_place_of_the_former() -> None:
    made = table(M1, M4, slots=3)
    assert made.configure_slots(MAIL, 4)
    assert made.group(MAIL).slot_ids == (M1, M2, M3, M4)
    assert made.configure_slots(MAIL, 1)
    assert made.group(MAIL).slot_ids == (M1,)
    assert sorted(made.group(MAIL).entries) == [M1, M4]  # the vacancies are gone, the live one is a member
    assert not made.configure_slots(MAIL, 1)


# --- connections that die -------------------------------------------------------------------------------------


def test_a_lost_connection_leaves_vacant_slots() -> None:
    made = table(M1, M2)
    assert made.lost(at(M1)) == [M1]
    assert made.group(MAIL).slot_ids == (M1, M2)
    assert made.where(M1) is None


def test_a_lost_connection_beyond_the_slots_leaves_nothing() -> None:
    made = table(M1, M3, slots=2)
    assert made.lost(at(M3)) == [M3]
    assert M3 not in made.group(MAIL).entries


def test_an_orderly_leave_keeps_configured_slots_only() -> None:
    made = table(M1, M2)
    made.lost(at(M1), keep_slots=False)
    assert made.group(MAIL).slot_ids == (M2,)
    made = table(M1, M2, slots=2)
    made.lost(at(M1), keep_slots=False)
    assert made.group(MAIL).slot_ids == (M1, M2)


def test_a_late_dying_old_connection_does_not_unregister_its_successor() -> None:
    made: Table[str] = Table()
    made.put(M1, "old connection", incarnation=1)
    assert made.put(M1, "new connection", incarnation=2) == "old connection"
    assert made.lost("old connection") == []
    assert made.where(M1) == "new connection"


def test_every_id_that_a_connection_holds_is_lost_with_it() -> None:
    made: Table[str] = Table()
    for one in (M1, M2, ServiceId.of(3, 1)):
        made.put(one, "the one")
    assert made.lost("the one") == [M1, M2, ServiceId.of(3, 1)]


def test_a_live_process_with_a_newer_incarnation_keeps_its_id() -> None:
    made: Table[str] = Table()
    made.put(M1, "newer", incarnation=20)
    version = made.version
    with pytest.raises(
        IdInUse, match=r"2\.1 is held by a live process with incarnation 20; yours is 10"
    ) as caught:
        made.put(M1, "older", incarnation=10)
    assert (caught.value.service_id, caught.value.incarnation, caught.value.holder) == (M1, 10, 20)
    assert (made.where(M1), made.version) == ("newer", version)


def test_an_older_incarnation_may_have_the_id_of_one_that_is_gone() -> None:
    made: Table[str] = Table()
    made.put(M1, "newer", incarnation=20)
    made.lost("newer")
    assert made.put(M1, "older", incarnation=10) is None
    assert made.where(M1) == "older"


def test_the_same_connection_may_register_again() -> None:
    made: Table[str] = Table()
    made.put(M1, "one", incarnation=20)
    assert made.put(M1, "one", incarnation=10) is None


# --- masters --------------------------------------------------------------------------------------------------


def test_the_highest_epoch_is_master() -> None:
    made = table(M1, M2)
    assert made.claim(M1, 3)
    assert made.group(MAIL).master_at() == "to 2.1"
    assert not made.claim(M1, 3)
    assert made.claim(M2, 4)
    assert made.group(MAIL).master_at() == "to 2.2"


def test_a_lower_epoch_is_refused_also_after_its_master_has_gone() -> None:
    made = table(M1, M2)
    made.claim(M2, 4)
    made.lost(at(M2))
    assert made.group(MAIL).epoch == 4
    with pytest.raises(StaleEpoch, match=r"2\.1 claims epoch 3 of group 2, but 2\.2 has epoch 4") as caught:
        made.claim(M1, 3)
    assert (caught.value.group, caught.value.epoch, caught.value.highest) == (MAIL, 3, 4)
    assert made.group(MAIL).master_at() is None


def test_the_same_epoch_from_two_ids_is_refused() -> None:
    made = table(M1, M2)
    made.claim(M1, 4)
    with pytest.raises(StaleEpoch):
        made.claim(M2, 4)
    made.resign(M1, 4)
    with pytest.raises(StaleEpoch):
        made.claim(M2, 4)


def test_a_master_that_resigns_leaves_its_epoch() -> None:
    made = table(M1, M2)
    made.claim(M1, 4)
    assert not made.resign(M2, 4)
    assert not made.resign(M1, 3)
    assert made.resign(M1, 4)
    assert (made.group(MAIL).master, made.group(MAIL).epoch) == (0, 4)
    assert made.claim(M1, 4)  # it may come back with the epoch it has


def test_a_new_process_with_the_id_of_the_master_is_not_master_until_it_says_so() -> None:
    made: Table[str] = Table()
    made.put(M1, "old", incarnation=1)
    made.claim(M1, 4)
    made.lost("old")
    made.put(M1, "restarted", incarnation=2)
    assert made.group(MAIL).master_at() is None
    made.claim(M1, 5)
    made.put(M1, "restarted while the old connection lingered", incarnation=3)
    assert made.group(MAIL).master_at() is None


def test_a_master_set_by_hand_goes_with_its_connection() -> None:
    made = table(M1, M2)
    made.set_master(M1)
    assert made.group(MAIL).master_at() == "to 2.1"
    made.vacate(M1)
    assert made.group(MAIL).master_at() is None
    made.set_master(M2)
    made.clear_master(MAIL)
    assert made.group(MAIL).master_at() is None


# --- several tables -------------------------------------------------------------------------------------------

ids = st.sampled_from([ServiceId.of(group, instance) for group in (1, 2) for instance in range(1, 6)])


def seen(made: Table[Any]) -> Any:
    """Everything a sender could notice, with connections replaced by the ids they stand for."""
    names = {
        entry.where: service_id
        for group in made.groups.values()
        for service_id, entry in group.entries.items()
        if entry.where is not None
    }
    return {
        number: (
            group.slot_ids,
            tuple(names[where] for where in group.by_slot),
            tuple(names[where] for where in group.members),
            names.get(group.master_at()),
            group.epoch,
            tuple(sorted((int(i), entry.where is None) for i, entry in group.entries.items())),
        )
        for number, group in made.groups.items()
        if group.entries
    }


def choices(made: Table[Any]) -> Any:
    """Which id each of many keys goes to, in each group."""
    return {
        number: [slots[1][key % len(slots[1])] for key in range(60)] if slots[1] else []
        for number, slots in seen(made).items()
    }


class Histories(RuleBasedStateMachine):
    """Random histories on three tables, each event at a time of its own: those that agree choose alike, and only those."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[Table[tuple[int, int]]] = [Table() for _ in range(3)]
        self.pending: list[list[Any]] = [[] for _ in range(3)]
        self.incarnation = 0
        self.epoch = 0

    def everywhere(self, change: Any) -> None:
        for queue in self.pending:
            queue.append(change)

    @rule(one=ids)
    def register(self, one: ServiceId) -> None:
        self.incarnation += 1
        incarnation = self.incarnation
        self.everywhere(lambda made: made.put(one, (one, incarnation), incarnation=incarnation))

    @rule(one=ids)
    def vacate(self, one: ServiceId) -> None:
        self.everywhere(lambda made: made.vacate(one))

    @rule(one=ids)
    def remove(self, one: ServiceId) -> None:
        self.everywhere(lambda made: made.remove(one))

    @rule(one=ids, back=st.integers(0, 3))
    def lost(self, one: ServiceId, back: int) -> None:
        where = (one, self.incarnation - back)  # also late-dying connections, and some that never were
        self.everywhere(lambda made: made.lost(_same(made, where)))

    @rule(group=st.sampled_from([1, 2]), slots=st.integers(1, 5))
    def configure(self, group: int, slots: int) -> None:
        self.everywhere(lambda made: made.configure_slots(group, slots))

    @rule(one=ids)
    def claim(self, one: ServiceId) -> None:
        self.epoch += 1
        epoch = self.epoch
        self.everywhere(lambda made: made.claim(one, epoch))

    @rule(router=st.integers(0, 2), count=st.integers(1, 5))
    def deliver(self, router: int, count: int) -> None:
        for change in self.pending[router][:count]:
            change(self.tables[router])
        del self.pending[router][:count]

    @rule()
    def deliver_all(self) -> None:
        for router in range(3):
            self.deliver(router, len(self.pending[router]))

    @precondition(lambda self: not any(self.pending))
    @rule(router=st.integers(0, 2), order=st.randoms(use_true_random=False))
    def restart(self, router: int, order: Any) -> None:
        """A router comes back empty; its configuration, vacancies and services come in any order."""
        old, new = self.tables[router], Table[tuple[int, int]]()
        for group in old.groups.values():
            if group.configured is not None:
                new.configure_slots(group.number, len(group.configured))
        entries = [(i, entry) for group in old.groups.values() for i, entry in group.entries.items()]
        order.shuffle(entries)
        for service_id, entry in entries:
            if entry.where is None:
                new.vacate(service_id)
            else:
                new.put(service_id, entry.where, incarnation=entry.incarnation)
        for group in old.groups.values():
            gone = {i for i in group.configured or () if i not in group.entries}
            for service_id in gone:
                new.remove(service_id)
            if group.epoch:
                new.claim(ServiceId(group.epoch_holder), group.epoch)
                if group.master != group.epoch_holder:
                    new.resign(ServiceId(group.epoch_holder), group.epoch)
        self.tables[router] = new

    @invariant()
    def the_same_digest_means_the_same_choice_and_no_other_does(self) -> None:
        for one in self.tables:
            for other in self.tables:
                assert (one.digest() == other.digest()) == (seen(one) == seen(other))
                if one.digest() == other.digest():
                    assert choices(one) == choices(other)

    @invariant()
    def tables_that_heard_the_same_agree(self) -> None:
        if not any(self.pending):
            assert len({made.digest() for made in self.tables}) == 1

    @invariant()
    def keys_go_to_live_slots_only(self) -> None:
        for made in self.tables:
            for group in made.groups.values():
                live = [group.entries[i].where for i in group.slot_ids if group.entries[i].where is not None]
                assert set(group.by_slot) == set(live)
                assert len(group.by_slot) == (len(group.slot_ids) if live else 0)
                for index, where in enumerate(group.by_slot):
                    own = group.entries[group.slot_ids[index]].where
                    assert own is None or own == where


def _same(made: Table[Any], where: Any) -> Any:
    """The very object in the table that equals `where`: the table compares connections by identity."""
    for group in made.groups.values():
        for entry in group.entries.values():
            if entry.where == where:
                return entry.where
    return where


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.lists(ids, unique=True, min_size=1), st.randoms(use_true_random=False))
def test_the_order_of_registrations_does_not_matter(live: list[ServiceId], order: Any) -> None:
    one = table(*live)
    order.shuffle(live)
    other = table(*live)
    assert one.digest() == other.digest()
    assert seen(one) == seen(other)


def test_a_name_and_a_mode_are_news_once() -> None:
    made = table(M1)
    assert made.rename(MAIL, "mail", "hash")
    assert not made.rename(MAIL, "mail", "hash")
    assert (made.group(MAIL).name, made.group(MAIL).mode) == ("mail", "hash")


def test_every_change_raises_the_version_and_looking_does_not() -> None:
    made = table(M1)
    version = made.version
    assert made.where(M2) is None
    assert made.where(ServiceId.of(9, 9)) is None
    assert len(made) == 1
    assert made.version == version
    made.vacate(M1)
    assert made.version > version


def test_a_table_of_the_most_slots_there_can_be_changes_in_no_time() -> None:
    made: Table[str] = Table()
    started = time.process_time()
    made.configure_slots(MAIL, 65_535)
    for instance in (1, 30_000, 65_535):
        made.put(ServiceId.of(MAIL, instance), at(ServiceId.of(MAIL, instance)))
    made.vacate(ServiceId.of(MAIL, 30_000))
    assert time.process_time() - started < 5.0
    assert Counter(made.group(MAIL).by_slot) == {"to 2.1": 1, "to 2.65535": 65_534}
