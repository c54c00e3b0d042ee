"""The election rule: named histories, and thousands of simulated ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from luabus.lease.elector import Action, Elector, Finished, Lost, Read, Seen, Sleep, Swap, Swapped, Wake
from luabus.lease.stores.base import LeaseRow
from luabus.limits import EPOCH_LEAP, MAX_EPOCH
from tests.support.bad_electors import MISTAKES, with_mistake
from tests.support.election_simulator import Simulation
from tests.support.election_world import Report, Violation

ME = 0x0002_0001
OTHER = 0x0002_0002
THIRD = 0x0002_0003
TTL, RENEW = 10.0, 1.0
VALID = 9.5  # ttl - margin
EVEN = 0.5  # chance that makes each wait exactly `renew`

FREE = LeaseRow(group=2, holder=0, incarnation=0, epoch=4, seq=7)
HELD = LeaseRow(group=2, holder=OTHER, incarnation=50, epoch=4, seq=7)


def candidate(holder: int = ME, incarnation: int = 100) -> Elector:
    return Elector(2, holder, incarnation, ttl=TTL, renew=RENEW)


def master(now: float = 0.0, epoch: int = 5) -> Elector:
    """One that took a free row at `now`."""
    elector = candidate()
    elector.step(Wake(), now, EVEN)
    action = elector.step(Seen(replace(FREE, epoch=epoch - 1)), now, EVEN)
    assert action == Swap(replace(FREE, epoch=epoch - 1), LeaseRow(2, ME, 100, epoch, 0))
    assert elector.step(Swapped(True), now, EVEN) == Sleep(now + RENEW)
    assert elector.is_master(now)
    return elector


def test_takes_a_row_that_never_was_at_once() -> None:
    elector = candidate()
    assert elector.step(Wake(), 0.0, EVEN) == Read()
    first = LeaseRow(group=2, holder=ME, incarnation=100, epoch=1, seq=0)
    assert elector.step(Seen(None), 0.1, EVEN) == Swap(None, first)
    assert not elector.is_master(0.1)
    elector.step(Swapped(True), 0.2, EVEN)
    assert elector.is_master(0.2)
    assert elector.epoch == 1


def test_takes_a_free_row_at_once_and_raises_the_epoch() -> None:
    elector = candidate()
    elector.step(Wake(), 0.0, EVEN)
    assert elector.step(Seen(FREE), 0.1, EVEN) == Swap(FREE, LeaseRow(2, ME, 100, 5, 0))


def test_waits_a_full_ttl_of_its_own_for_a_held_row() -> None:
    elector = candidate()
    elector.step(Wake(), 0.0, EVEN)
    now, action = 0.3, elector.step(Seen(HELD), 0.3, EVEN)
    reads = 0
    while isinstance(action, Sleep):
        now = action.until
        action = elector.step(Wake(), now, EVEN)
        if isinstance(action, Read):
            reads += 1
            action = elector.step(Seen(HELD), now, EVEN)
    assert now == 0.3 + TTL
    assert reads == 9
    assert action == Swap(HELD, LeaseRow(2, ME, 100, 5, 0))


@pytest.mark.parametrize("change", [{"seq": 8}, {"epoch": 5, "seq": 0}, {"epoch": 3}, {"seq": 2}])
def test_any_change_of_epoch_or_seq_restarts_the_timer(change: dict[str, int]) -> None:
    elector = candidate()
    elector.step(Wake(), 0.0, EVEN)
    elector.step(Seen(HELD), 0.0, EVEN)
    elector.step(Wake(), 9.9, EVEN)
    changed = replace(HELD, **change)
    assert isinstance(elector.step(Seen(changed), 9.9, EVEN), Sleep)
    elector.step(Wake(), 19.8, EVEN)
    assert isinstance(elector.step(Seen(changed), 19.8, EVEN), Sleep)
    take = elector.step(Wake(), 19.9, EVEN)
    assert isinstance(take, Swap)
    assert take.expected == changed


def test_never_takes_an_epoch_that_it_has_seen() -> None:
    """The store went back in time, as a replica that was behind does."""
    elector = candidate()
    elector.step(Wake(), 0.0, EVEN)
    elector.step(Seen(HELD), 0.0, EVEN)
    elector.step(Wake(), 1.0, EVEN)
    behind = replace(HELD, epoch=2)
    elector.step(Seen(behind), 1.0, EVEN)
    assert elector.step(Wake(), 11.0, EVEN) == Swap(behind, LeaseRow(2, ME, 100, HELD.epoch + 1, 0))


def test_a_swap_that_came_too_late_is_followed_by_a_read() -> None:
    elector = candidate()
    elector.step(Wake(), 0.0, EVEN)
    elector.step(Seen(FREE), 0.0, EVEN)
    assert elector.step(Swapped(False), 0.1, EVEN) == Read()
    assert isinstance(elector.step(Seen(replace(HELD, epoch=5, seq=0)), 0.2, EVEN), Sleep)
    assert not elector.is_master(0.2)


def test_mastership_counts_from_before_the_swap_was_sent() -> None:
    elector = candidate()
    elector.step(Wake(), 0.0, EVEN)
    elector.step(Seen(FREE), 1.0, EVEN)  # sent at 1.0, answered at 3.0
    elector.step(Swapped(True), 3.0, EVEN)
    assert elector.is_master(1.0 + VALID - 0.001)
    assert not elector.is_master(1.0 + VALID)


def test_renews_and_each_renewal_extends_by_its_own_t0() -> None:
    elector = master(now=0.0)
    row = elector.row
    assert row is not None
    renewal = elector.step(Wake(), 1.0, EVEN)
    assert renewal == Swap(row, replace(row, seq=1))
    assert elector.step(Swapped(True), 1.4, EVEN) == Sleep(2.0)  # from when it was sent
    assert elector.valid_until == 1.0 + VALID
    assert elector.epoch == 5


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.999])
def test_waits_vary_by_a_tenth(chance: float) -> None:
    elector = candidate()
    elector.step(Wake(), 0.0, chance)
    assert elector.step(Seen(HELD), 0.0, chance) == Sleep(pytest.approx(0.9 + 0.2 * chance))


def test_after_silence_the_row_is_read_before_anything_else() -> None:
    """A renewal without an answer was carried out: the master sees it and goes on."""
    elector = master(now=0.0)
    renewal = elector.step(Wake(), 1.0, EVEN)
    assert isinstance(renewal, Swap)
    again = elector.step(Lost(), 3.5, EVEN)
    assert again == Sleep(3.75)
    assert elector.valid_until == 0.0 + VALID, "an unanswered renewal extends nothing"
    assert elector.step(Wake(), 3.75, EVEN) == Read()
    assert elector.step(Seen(renewal.new), 3.8, EVEN) == Sleep(4.8)
    assert elector.step(Wake(), 4.8, EVEN) == Swap(renewal.new, replace(renewal.new, seq=2))
    elector.step(Swapped(True), 4.9, EVEN)
    assert elector.valid_until == 4.8 + VALID
    assert elector.epoch == 5


def test_a_take_without_an_answer_that_was_carried_out_costs_an_epoch() -> None:
    elector = candidate()
    elector.step(Wake(), 0.0, EVEN)
    take = elector.step(Seen(FREE), 0.0, EVEN)
    assert isinstance(take, Swap)
    elector.step(Lost(), 2.5, EVEN)
    assert elector.step(Wake(), 2.75, EVEN) == Read()
    assert not elector.is_master(2.75)
    assert elector.step(Seen(take.new), 2.8, EVEN) == Swap(take.new, replace(take.new, epoch=6))


def test_a_reign_that_has_ended_does_not_go_on() -> None:
    """Stopped for 20 s with a renewal under way: its answer brings nothing back; a new epoch does, if nobody was faster."""
    elector = master(now=0.0)
    renewal = elector.step(Wake(), 1.0, EVEN)
    assert isinstance(renewal, Swap)
    assert not elector.is_master(21.0)
    retake = elector.step(Swapped(True), 21.0, EVEN)
    assert retake == Swap(renewal.new, LeaseRow(2, ME, 100, 6, 0))
    assert not elector.is_master(21.0)
    elector.step(Swapped(True), 21.1, EVEN)
    assert elector.is_master(21.1)
    assert elector.epoch == 6


def test_a_late_answer_within_the_reign_extends_from_its_t0() -> None:
    elector = master(now=0.0)
    elector.step(Wake(), 1.0, EVEN)
    elector.step(Swapped(True), 9.0, EVEN)
    assert elector.valid_until == 1.0 + VALID


def test_a_master_that_sees_another_holder_is_none_at_once() -> None:
    elector = master(now=0.0)
    elector.step(Wake(), 1.0, EVEN)
    assert elector.step(Swapped(False), 1.1, EVEN) == Read()
    elector.step(Seen(replace(HELD, epoch=6)), 1.2, EVEN)
    assert not elector.is_master(1.2)


def test_a_row_of_an_earlier_incarnation_is_a_strangers() -> None:
    elector = candidate(incarnation=101)
    elector.step(Wake(), 0.0, EVEN)
    mine_before = LeaseRow(2, ME, 100, 4, 7)
    assert elector.step(Seen(mine_before), 0.0, EVEN) == Sleep(1.0)
    elector.step(Wake(), 9.0, EVEN)
    assert elector.step(Seen(mine_before), 9.0, EVEN) == Sleep(10.0)
    assert elector.step(Wake(), 10.0, EVEN) == Swap(mine_before, LeaseRow(2, ME, 101, 5, 0))


def test_a_row_that_vanished_is_waited_for() -> None:
    """A store that lost its rows: its last master may still reign."""
    elector = candidate()
    elector.step(Wake(), 0.0, EVEN)
    elector.step(Seen(HELD), 0.0, EVEN)
    elector.step(Wake(), 1.0, EVEN)
    assert isinstance(elector.step(Seen(None), 1.0, EVEN), Sleep)
    assert elector.step(Wake(), 11.0, EVEN) == Swap(None, LeaseRow(2, ME, 100, 5, 0))


def test_floor_known_from_elsewhere_makes_a_missing_row_a_lost_one() -> None:
    elector = candidate()
    elector.raise_floor(40)
    elector.step(Wake(), 0.0, EVEN)
    assert isinstance(elector.step(Seen(None), 0.0, EVEN), Sleep)
    assert elector.step(Wake(), 10.0, EVEN) == Swap(None, LeaseRow(2, ME, 100, 41, 0))


def test_master_below_the_floor_takes_a_higher_epoch() -> None:
    elector = master(now=0.0, epoch=5)
    row = elector.row
    assert row is not None
    elector.raise_floor(5)
    assert isinstance(elector.step(Wake(), 0.5, EVEN), Sleep), "its own epoch is not too low"
    elector.raise_floor(9)
    assert not elector.is_master(0.6)
    assert elector.step(Wake(), 0.6, EVEN) == Swap(row, replace(row, epoch=10, seq=0))
    elector.step(Swapped(True), 0.7, EVEN)
    assert (elector.epoch, elector.valid_until) == (10, 0.6 + VALID)


def test_floor_raised_while_a_take_is_under_way() -> None:
    elector = candidate()
    elector.step(Wake(), 0.0, EVEN)
    take = elector.step(Seen(FREE), 0.0, EVEN)
    assert isinstance(take, Swap)
    elector.raise_floor(9)
    assert elector.step(Swapped(True), 0.1, EVEN) == Swap(take.new, replace(take.new, epoch=10))
    assert not elector.is_master(0.1)


class TestLeave:
    def test_master_is_none_before_the_row_is_freed_and_the_epoch_stays(self) -> None:
        elector = master(now=0.0)
        row = elector.row
        assert row is not None
        elector.leave()
        assert not elector.is_master(0.5)
        assert elector.step(Wake(), 0.5, EVEN) == Swap(row, LeaseRow(2, 0, 0, 5, 1))
        assert elector.giving_up
        assert elector.step(Swapped(True), 0.6, EVEN) == Finished()
        assert not elector.is_master(0.6)
        assert not elector.giving_up

    def test_with_a_renewal_under_way(self) -> None:
        elector = master(now=0.0)
        renewal = elector.step(Wake(), 1.0, EVEN)
        assert isinstance(renewal, Swap)
        elector.leave()
        release = elector.step(Swapped(True), 1.1, EVEN)
        assert release == Swap(renewal.new, LeaseRow(2, 0, 0, 5, 2))
        assert not elector.is_master(1.1)

    def test_without_an_answer_the_row_is_read_again(self) -> None:
        elector = master(now=0.0)
        elector.leave()
        release = elector.step(Wake(), 1.0, EVEN)
        assert isinstance(release, Swap)
        action: Action = elector.step(Lost(), 3.5, EVEN)
        assert action == Sleep(3.75)
        assert elector.step(Wake(), 3.75, EVEN) == Read()
        assert elector.step(Seen(release.new), 3.8, EVEN) == Finished()

    def test_a_candidate_that_holds_nothing_ends_at_once(self) -> None:
        elector = candidate()
        elector.step(Wake(), 0.0, EVEN)
        elector.leave()
        assert elector.step(Lost(), 2.5, EVEN) == Finished()

    def test_a_take_under_way_is_undone(self) -> None:
        elector = candidate()
        elector.step(Wake(), 0.0, EVEN)
        take = elector.step(Seen(FREE), 0.0, EVEN)
        assert isinstance(take, Swap)
        elector.leave()
        assert elector.step(Swapped(True), 0.1, EVEN) == Swap(take.new, LeaseRow(2, 0, 0, 5, 1))
        assert not elector.is_master(0.1)


class TestHandOver:
    def given_up(self) -> LeaseRow:
        elector = master(now=0.0)
        elector.hand_over(OTHER)
        assert not elector.is_master(0.1)
        release = elector.step(Wake(), 0.1, EVEN)
        assert isinstance(release, Swap)
        assert release.new == LeaseRow(2, 0, 0, 5, 1, transferee=OTHER)
        assert elector.step(Swapped(True), 0.2, EVEN) == Sleep(1.1), "the giver goes on as a candidate"
        return release.new

    def test_the_heir_takes_it_at_once(self) -> None:
        row = self.given_up()
        heir = candidate(OTHER, 200)
        heir.step(Wake(), 0.0, EVEN)
        assert heir.step(Seen(row), 0.5, EVEN) == Swap(row, LeaseRow(2, OTHER, 200, 6, 0))

    def test_others_hold_back_for_three_renewals(self) -> None:
        row = self.given_up()
        third = candidate(THIRD, 300)
        third.step(Wake(), 0.0, EVEN)
        now, action = 0.5, third.step(Seen(row), 0.5, EVEN)
        while not isinstance(action, Swap):
            if isinstance(action, Sleep):
                now = action.until
            action = third.step(Seen(row) if isinstance(action, Read) else Wake(), now, EVEN)
        assert now == 3.5

    def test_the_giver_comes_back_when_the_heir_is_silent(self) -> None:
        elector = master(now=0.0)
        elector.hand_over(OTHER)
        release = elector.step(Wake(), 0.0, EVEN)
        assert isinstance(release, Swap)
        elector.step(Swapped(True), 0.0, EVEN)
        assert elector.step(Wake(), 1.0, EVEN) == Read()
        assert isinstance(elector.step(Seen(release.new), 1.0, EVEN), Sleep)
        assert elector.step(Wake(), 3.0, EVEN) == Swap(release.new, LeaseRow(2, ME, 100, 6, 0))

    def test_one_who_holds_nothing_has_nothing_to_give(self) -> None:
        elector = candidate()
        elector.step(Wake(), 0.0, EVEN)
        elector.step(Seen(HELD), 0.0, EVEN)
        elector.hand_over(THIRD)
        assert not elector.giving_up
        assert elector.step(Wake(), 0.5, EVEN) == Sleep(1.0)


def test_look_reads_before_the_time() -> None:
    elector = candidate()
    elector.step(Wake(), 0.0, EVEN)
    elector.step(Seen(HELD), 0.0, EVEN)
    elector.poll_now()
    assert elector.step(Wake(), 0.2, EVEN) == Read()


def test_look_changes_nothing_for_a_master() -> None:
    elector = master(now=0.0)
    elector.poll_now()
    assert elector.step(Wake(), 0.2, EVEN) == Sleep(1.0)


@pytest.mark.parametrize(("ttl", "renew"), [(10.0, 0.0), (10.0, -1.0), (10.0, 5.1), (0.0, 1.0)])
def test_times_that_do_not_fit(ttl: float, renew: float) -> None:
    with pytest.raises(ValueError, match="renew must be"):
        Elector(2, ME, 1, ttl=ttl, renew=renew)


def test_nobody_is_no_candidate() -> None:
    with pytest.raises(ValueError, match="stands for nobody"):
        Elector(2, 0, 1)


RUNS = 2000
CHUNK = 500


@pytest.mark.parametrize("first", range(0, RUNS, CHUNK))
def test_simulated(first: int) -> None:
    """Every invariant of the simulator holds in every run, and the runs were such that each was put to the test."""
    total = Report()
    for seed in range(first, first + CHUNK):
        try:
            total.add(Simulation(seed).run())
        except Violation as violation:
            pytest.fail(f"seed {seed}: {violation}")
    assert total.reigns > CHUNK * 3
    for promise in ("crash", "clean stop", "hand-over", "outage", "new reign after a disturbance"):
        assert total.checks[promise] > CHUNK / 10, promise


@pytest.mark.parametrize("ttl", [4.0, 30.0])
def test_simulated_with_other_times(ttl: float) -> None:
    for seed in range(100):
        Simulation(seed, ttl=ttl, renew=1.0, duration=ttl * 12).run()


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_simulator_catches(mistake: type[Elector]) -> None:
    """A simulator that finds nothing proves nothing: each known mistake is found, and for what it is."""
    for seed in range(RUNS):
        try:
            Simulation(seed, make=with_mistake(mistake)).run()
        except Violation as violation:
            if MISTAKES[mistake] in str(violation):
                return
    pytest.fail(f"{mistake.__name__} went unnoticed in {RUNS} runs")


# --- epochs that no election can have made ------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [MAX_EPOCH, MAX_EPOCH + 1, 1 << 40, -1, "many"])
@pytest.mark.parametrize(("known", "next_epoch"), [(None, 1), (4, 5)])
def test_behind_the_last_epoch_they_go_on_where_they_were(
    epoch: int, known: int | None, next_epoch: int
) -> None:
    elector = candidate()
    elector.step(Wake(), 0.0, EVEN)
    if known is not None:
        elector.step(Seen(replace(HELD, epoch=known)), 0.0, EVEN)
    poisoned = replace(FREE, epoch=epoch)
    elector.step(Wake(), 1.0, EVEN)
    action = elector.step(Seen(poisoned), 1.0, EVEN)
    assert action == Swap(poisoned, LeaseRow(2, ME, 100, next_epoch, 0))
    elector.step(Swapped(True), 1.0, EVEN)
    assert elector.is_master(1.0)
    assert elector.epoch == next_epoch


def test_a_high_epoch_is_gone_on_from_while_there_is_room() -> None:
    elector = candidate()
    elector.step(Wake(), 0.0, EVEN)
    high = replace(FREE, epoch=MAX_EPOCH - 1)
    assert elector.step(Seen(high), 0.0, EVEN) == Swap(high, LeaseRow(2, ME, 100, MAX_EPOCH, 0))


def test_a_store_that_was_repaired_is_believed_and_one_that_is_an_older_copy_is_not() -> None:
    for now_in_it, next_epoch in ((5, 6), (MAX_EPOCH - 100, MAX_EPOCH)):
        elector = candidate()
        elector.step(Wake(), 0.0, EVEN)
        elector.step(Seen(replace(HELD, epoch=MAX_EPOCH - 1)), 0.0, EVEN)
        elector.step(Wake(), 1.0, EVEN)
        row = replace(FREE, epoch=now_in_it)
        assert elector.step(Seen(row), 1.0, EVEN) == Swap(row, LeaseRow(2, ME, 100, next_epoch, 0))


@pytest.mark.parametrize("told", [5 + EPOCH_LEAP + 1, MAX_EPOCH])
def test_a_leap_that_is_only_told_is_not_believed(told: int) -> None:
    elector = master()
    elector.raise_floor(told)
    assert elector.is_master(0.5)
    elector.raise_floor(6)
    assert not elector.is_master(0.5)
