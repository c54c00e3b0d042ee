"""What the benchmark of keys makes of what was sent and received."""

from __future__ import annotations

from benchmarks.launcher.keys import Change, Sent, owner, report

KEYS = 40
TWO, THREE = frozenset({1, 2}), frozenset({1, 2, 3})
NEWCOMER = Change("scale mail=3", TWO, THREE, 10.0, 11.0)
DEATH = Change("kill -9 mail.3", THREE, TWO, 10.0, 11.0)


def history(change: Change) -> tuple[Sent, list[tuple[float, int, int, int]]]:
    """One request for each key before the change, and one after; all answered, by the owner."""
    sent, received = Sent(), []
    for at, live in ((5.0, change.before), (15.0, change.after)):
        for key in range(KEYS):
            received.append((at, len(sent.keys), key, owner(key, live)))
            sent.keys.append(key)
            sent.at.append(at)
            sent.outcome.append("answered")
    return sent, received


def ask(sent: Sent, key: int, outcome: str) -> int:
    """One more request, during the change."""
    sent.keys.append(key)
    sent.at.append(10.5)
    sent.outcome.append(outcome)
    return len(sent.keys) - 1


def key_of(instance: int) -> int:
    return next(key for key in range(KEYS) if owner(key, THREE) == instance)


def test_those_that_the_rule_names_have_moved() -> None:
    sent, received = history(NEWCOMER)
    assert report([NEWCOMER], sent, received, KEYS)
    assert report([DEATH], *history(DEATH), KEYS)


def test_a_key_at_another_place_a_request_that_is_missing_and_one_too_many_are_found() -> None:
    sent, received = history(NEWCOMER)
    at, number, key, instance = received[-1]
    assert not report([NEWCOMER], sent, [*received[:-1], (at, number, key, instance % 3 + 1)], KEYS)
    assert not report([NEWCOMER], sent, received[1:], KEYS)
    assert not report([NEWCOMER], sent, [*received, received[-1]], KEYS)
    number = ask(sent, key_of(1), "answered")
    assert not report([NEWCOMER], sent, [*received, (10.5, number, key_of(1), 2)], KEYS)


def test_only_what_a_killed_one_held_may_be_lost() -> None:
    for change, key, good in ((DEATH, 3, True), (DEATH, 1, False), (NEWCOMER, 3, False)):
        sent, received = history(change)
        ask(sent, key_of(key), "PeerLost")
        assert report([change], sent, received, KEYS) == good
    sent, received = history(DEATH)
    sent.outcome[0] = "PeerLost"  # long before
    assert not report([DEATH], sent, received, KEYS)
