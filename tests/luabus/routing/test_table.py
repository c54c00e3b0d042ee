"""The table: named histories, and random ones on several tables at once."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from sys import intern
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from luabus.errors import IdInUse, StaleEpoch
from luabus.ids import ServiceId
from luabus.routing.buckets import BUCKETS, in_line
from luabus.routing.table import Table

MAIL = 2
M1, M2, M3, M4 = (ServiceId.of(MAIL, instance) for instance in (1, 2, 3, 4))


def table(*live: int, expected: int | None = None) -> Table[str]:
    made: Table[str] = Table()
    if expected is not None:
        made.expect(MAIL, expected)
    for one in live:
        made.put(one, at(one))
    return made


def at(one: int) -> str:
    """The connection of an instance; the table compares connections by identity."""
    return intern(f"to {ServiceId(one)}")


def homes(made: Table[str]) -> tuple[str, ...]:
    """Where the keys of each bucket go."""
    return made.group(MAIL).by_bucket


def vacancies(made: Table[str]) -> list[int]:
    entries = made.group(MAIL).entries
    return [known for known in made.group(MAIL).ids if entries[known].where is None]


def test_a_connection_that_is_lost_costs_its_own_entries() -> None:
    made = table(M1, M2, expected=3)
    made.put(ServiceId.of(3, 1), at(M2))
    made.expect(4, 65_535)

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


# --- a change costs the same in every group -------------------------------------------------------------------


def work(change: Callable[[], object]) -> int:
    """How many instructions of Python this takes. (Not those of built-in functions: a sorted list is moved by one place.)"""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        change()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("mode", ["random", "hash"])
def test_a_change_does_bounded_work_however_many_members_there_are(mode: str) -> None:
    def costs(size: int) -> list[int]:
        made = table(*(ServiceId.of(MAIL, instance) for instance in range(2, size)))
        group = made.group(MAIL)
        made.rename(MAIL, "mail", mode)
        assert group.shares is None or len(group.shares) <= size
        new, old = ServiceId.of(MAIL, size + 7), ServiceId.of(MAIL, size // 2)
        costs = [
            work(lambda: made.put(new, "newcomer")),
            work(lambda: made.digest()),
            work(lambda: made.vacate(old)),
            work(lambda: made.put(old, at(old))),
            work(lambda: made.lost(at(old))),
            work(lambda: made.remove(old)),
        ]
        assert made.digest() == made.digest() != 0
        return costs

    size = 20_000 if mode == "random" else 300
    for small, large in zip(costs(60), costs(size), strict=True):
        assert large < small * 1.1 + 50


def test_a_group_that_nobody_asks_by_key_has_no_buckets() -> None:
    made = table(M1, M2)
    made.rename(MAIL, "mail", "random")
    group = made.group(MAIL)
    assert (len(group.members), group.shares, group._buckets) == (2, None, None)
    made.rename(MAIL, "mail", "hash")
    assert sum((group.shares or {}).values()) == 1.0


def test_what_was_changed_many_times_is_derived_when_somebody_looks() -> None:
    made = table(*(ServiceId.of(MAIL, instance) for instance in range(1, 200)))
    group = made.group(MAIL)
    assert len(group.members) == 199
    for instance in range(1, 100):
        made.remove(ServiceId.of(MAIL, instance))
    assert group._members is None
    assert len(group.members) == 100
    assert group.members is group.members


# --- keys: those of the live, whatever was before --------------------------------------------------------------


def test_keys_go_alike_whatever_order_members_came_in() -> None:
    assert homes(table(M3, M1, M2)) == homes(table(M1, M2, M3))
    assert table(M3, M1, M2).group(MAIL).members == ("to 2.1", "to 2.2", "to 2.3")


@pytest.mark.parametrize("leave", ["vacate", "remove"])
def test_without_a_member_its_keys_alone_move_and_come_home(leave: str) -> None:
    made = table(M1, M2, M3)
    before = homes(made)
    getattr(made, leave)(M2)
    after = homes(made)
    assert [new for new, old in zip(after, before, strict=True) if old != "to 2.2"] == [
        old for old in before if old != "to 2.2"
    ]
    moved = Counter(new for new, old in zip(after, before, strict=True) if old == "to 2.2")
    assert set(moved) == {"to 2.1", "to 2.3"}
    assert max(moved.values()) < 1.2 * min(moved.values())
    made.put(M2, at(M2))
    assert homes(made) == before


def test_a_newcomer_takes_its_part_and_nothing_else_moves() -> None:
    made = table(M1, M2, M3)
    before = homes(made)
    made.put(M4, at(M4))
    moved = [old for new, old in zip(homes(made), before, strict=True) if new != old]
    assert {new for new, old in zip(homes(made), before, strict=True) if new != old} == {"to 2.4"}
    assert 0.22 < len(moved) / 4096 < 0.28
    assert set(moved) == {"to 2.1", "to 2.2", "to 2.3"}


def test_a_new_connection_of_a_member_has_its_keys() -> None:
    made = table(M1, M2)
    before = homes(made)
    assert made.put(M2, "another", incarnation=1) == "to 2.2"
    assert homes(made) == tuple("another" if where == "to 2.2" else where for where in before)


def test_vacancies_have_no_keys_and_alone_nowhere_to_go() -> None:
    made = table(expected=3)
    group = made.group(MAIL)
    assert (vacancies(made), group.by_bucket, group.members) == ([M1, M2, M3], (), ())
    made.put(M2, at(M2))
    assert set(homes(made)) == {"to 2.2"}
    assert made.group(MAIL).shares is None or made.group(MAIL).shares == {M2: 1.0}


def test_removing_an_entry() -> None:
    made = table(M1, M2, M3)
    assert made.remove(M2)
    assert homes(made) == homes(table(M1, M3))
    assert not made.remove(M2)
    assert not made.remove(ServiceId.of(9, 1))


def test_members_beyond_the_expected_have_keys_as_all_others() -> None:
    made = table(M1, M2, M3, M4, expected=2)
    assert homes(made) == homes(table(M1, M2, M3, M4))
    assert not made.group(MAIL).expects(M3)


def test_another_number_that_is_expected_takes_the_place_of_the_former() -> None:
    made = table(M1, M4, expected=3)
    assert vacancies(made) == [M2, M3]
    assert made.expect(MAIL, 5)
    assert vacancies(made) == [M2, M3, ServiceId.of(MAIL, 5)]
    assert made.expect(MAIL, 1)
    assert made.group(MAIL).ids == [M1, M4]  # the vacancies are gone, the live one is a member
    assert not made.expect(MAIL, 1)
    made.vacate(M2)
    assert made.expect(MAIL, None)
    assert made.group(MAIL).ids == [M1, M4]


# --- connections that die -------------------------------------------------------------------------------------


def test_a_lost_connection_leaves_a_vacancy() -> None:
    made = table(M1, M2)
    assert made.lost(at(M1)) == [M1]
    assert (vacancies(made), made.where(M1)) == ([M1], None)


def test_a_lost_connection_beyond_the_expected_leaves_nothing() -> None:
    made = table(M1, M3, expected=2)
    assert made.lost(at(M3)) == [M3]
    assert M3 not in made.group(MAIL).entries


def test_who_left_in_order_is_missed_only_if_it_is_expected() -> None:
    made = table(M1, M2)
    made.lost(at(M1), orderly=True)
    assert made.group(MAIL).ids == [M2]
    made = table(M1, M2, expected=2)
    made.lost(at(M1), orderly=True)
    assert vacancies(made) == [M1]


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
            tuple(names[where] for where in group.members),
            names.get(group.master_at()),
            group.epoch,
            tuple(sorted((int(i), entry.where is None) for i, entry in group.entries.items())),
        )
        for number, group in made.groups.items()
        if group.entries
    }


def choices(made: Table[Any]) -> Any:
    """The owner of each bucket, in each group that has a member."""
    owned = {number: tuple(where[0] for where in group.by_bucket) for number, group in made.groups.items()}
    return {number: owners for number, owners in owned.items() if owners}


def by_the_rule(made: Table[Any]) -> Any:
    """The same by the words of docs/keys.md, without what was before."""
    return {
        number: tuple(in_line(bucket, group.live)[0] for bucket in range(BUCKETS))
        for number, group in made.groups.items()
        if group.live
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

    @rule(one=ids, back=st.integers(0, 3))
    def leave(self, one: ServiceId, back: int) -> None:
        where = (one, self.incarnation - back)
        self.everywhere(lambda made: made.lost(_same(made, where), orderly=True))

    @rule(group=st.sampled_from([1, 2]), count=st.none() | st.integers(0, 5))
    def configure(self, group: int, count: int | None) -> None:
        self.everywhere(lambda made: made.expect(group, count))

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
            if group.expected is not None:
                new.expect(group.number, group.expected)
        entries = [(i, entry) for group in old.groups.values() for i, entry in group.entries.items()]
        order.shuffle(entries)
        for service_id, entry in entries:
            if entry.where is None:
                new.vacate(service_id)
            else:
                new.put(service_id, entry.where, incarnation=entry.incarnation)
        for group in old.groups.values():
            for service_id in set(new.group(group.number).ids) - set(group.ids):
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

    @invariant()
    def tables_that_heard_the_same_agree(self) -> None:
        if not any(self.pending):
            assert len({made.digest() for made in self.tables}) == 1

    @rule(router=st.integers(0, 2))
    def ask(self, router: int) -> None:
        """At some time somebody sends by key: then what was noted is reckoned."""
        made = self.tables[router]
        assert choices(made) == by_the_rule(made)

    def teardown(self) -> None:
        for made in self.tables:
            assert choices(made) == by_the_rule(made)
            for group in made.groups.values():
                assert group.ids == sorted(group.entries)
                assert group.live == [known for known in group.ids if group.entries[known].where is not None]


def _same(made: Table[Any], where: Any) -> Any:
    """The very object in the table that equals `where`: the table compares connections by identity."""
    for group in made.groups.values():
        for entry in group.entries.values():
            if entry.where == where:
                return entry.where
    return where


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


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


def test_a_table_of_the_most_entries_there_can_be_changes_in_no_time() -> None:
    made: Table[str] = Table()
    started = time.process_time()
    made.expect(MAIL, 65_535)
    for instance in (1, 30_000, 65_535):
        made.put(ServiceId.of(MAIL, instance), at(ServiceId.of(MAIL, instance)))
    made.vacate(ServiceId.of(MAIL, 30_000))
    assert time.process_time() - started < 5.0
    assert set(made.group(MAIL).by_bucket) == {"to 2.1", "to 2.65535"}
