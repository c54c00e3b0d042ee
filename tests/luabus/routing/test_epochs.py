"""Whose epoch is believed: claims that leap, who insists, what is only told, and who may speak with one."""

from __future__ import annotations

import pytest

from luabus.errors import StaleEpoch
from luabus.limits import EPOCH_LEAP, MAX_EPOCH
from luabus.routing.epochs import PATIENCE_S, Insistence
from luabus.routing.table import Table

ONE, TWO, OTHER = 0x0003_0001, 0x0003_0002, 0x0009_0009


def table() -> Table[str]:
    made: Table[str] = Table()
    made.put(ONE, "one")
    made.put(TWO, "two")
    return made


def insist(made: Table[str], service_id: int, epoch: int, start: float, until: float) -> bool:
    """Claim each second from `start` to `until`; whether it was believed in the end."""
    now = start
    while now <= until:
        try:
            made.claim(service_id, epoch, now)
        except StaleEpoch:
            now += 1.0
        else:
            return True
    return False


def test_claims_go_up_step_by_step_at_once() -> None:
    made = table()
    for epoch in (1, 2, 500, 500 + EPOCH_LEAP):
        assert made.claim(ONE, epoch, 0.0)
    with pytest.raises(StaleEpoch):
        made.claim(TWO, 499, 0.0)


@pytest.mark.parametrize("epoch", [6 + EPOCH_LEAP, MAX_EPOCH - 1, MAX_EPOCH])
def test_a_claim_that_leaps_is_refused_while_the_master_lives(epoch: int) -> None:
    made = table()
    made.claim(ONE, 5, 0.0)
    for now in range(60):
        made.claim(ONE, 5, now)
        with pytest.raises(StaleEpoch) as caught:
            made.claim(TWO, epoch, now + 0.5)
        assert caught.value.highest == 5
    assert (made.group(3).master, made.group(3).epoch) == (ONE, 5)


def test_a_lie_is_over_when_the_liar_is_gone() -> None:
    """On a router that knows nothing a member may say what it likes, for as long as it is there."""
    made = table()
    assert insist(made, TWO, MAX_EPOCH, 0.0, 10.0)
    assert (made.group(3).master, made.group(3).epoch) == (TWO, MAX_EPOCH)
    for now in range(10, 20):
        made.claim(TWO, MAX_EPOCH, now)
        with pytest.raises(StaleEpoch):
            made.claim(ONE, 6, now + 0.5)
    made.lost("two")
    assert insist(made, ONE, 6, 20.0, 20.0 + PATIENCE_S + 1)
    assert (made.group(3).master, made.group(3).epoch) == (ONE, 6)


def test_who_is_silent_for_a_while_begins_to_insist_anew() -> None:
    insistence = Insistence()
    assert [insistence.convinces(ONE, 9, now) for now in (0.0, 2.0, 5.0, 6.0, 7.0, 8.0)] == [
        *[False] * 5,
        True,
    ]


def test_what_members_insist_on_is_bounded() -> None:
    insistence = Insistence()
    for epoch in range(10_000):
        insistence.convinces(ONE, epoch, 0.0)
    assert len(insistence._claims) == 64
    assert not insistence.convinces(TWO, 1, 1.0)
    assert not insistence.convinces(TWO, 1, 3.0)  # the others are forgotten
    assert len(insistence._claims) == 1


def test_an_epoch_that_is_told_is_a_floor_until_a_member_claims() -> None:
    made = table()
    made.know_epoch(3, 7)
    with pytest.raises(StaleEpoch):
        made.claim(ONE, 6, 0.0)
    assert made.claim(ONE, 8, 0.0)
    for epoch in (9, 100, MAX_EPOCH):
        made.know_epoch(3, epoch)
    assert (made.group(3).master, made.group(3).epoch) == (ONE, 8)


@pytest.mark.parametrize("epoch", [EPOCH_LEAP + 1, MAX_EPOCH])
def test_one_that_is_told_and_leaps_is_not_believed(epoch: int) -> None:
    made = table()
    made.know_epoch(3, epoch)
    made.know_epoch(200, 5)
    assert made.group(3).epoch == 0
    assert set(made.groups) == {3}
    assert made.claim(ONE, 1, 0.0)


def test_only_the_present_master_is_vouched_for() -> None:
    made = table()
    made.put(OTHER, "other")
    made.claim(ONE, 5, 0.0)
    assert made.vouches(ONE, "one", 5)
    assert not made.vouches(ONE, "one", 4)
    assert not made.vouches(ONE, "one", 6)
    assert not made.vouches(ONE, "another connection", 5)
    assert not made.vouches(TWO, "two", 5)
    assert not made.vouches(OTHER, "other", 5)
    assert not made.vouches(0xFF00_0001, "client", 5)
    made.resign(ONE, 5)
    assert not made.vouches(ONE, "one", 5)
