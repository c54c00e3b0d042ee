"""Many alarms, few sentences."""

from __future__ import annotations

from typing import Any

from launcher.runtime.alarms import sentences


def alarm(router: str, text: str, kind: str = "service") -> dict[str, Any]:
    return {"router": router, "kind": kind, "text": text, "since": 0.0, "count": 1}


def test_an_outage_that_every_router_repeats_for_every_candidate_is_one_sentence() -> None:
    down = "lease store unreachable since 2026-01-31T12:00:0{}Z (connection refused)"
    alarms = [
        alarm(f"router.{router}", f"director.{instance}: {down.format(instance)}")
        for router in (1, 2)
        for instance in (3, 2, 1)
    ]
    assert sentences(alarms) == [f"director.1, director.2 and director.3 say: {down.format(1)}"]


def test_different_reasons_are_told_apart_and_a_crowd_is_counted() -> None:
    alarms = [alarm("router.1", f"m.{number}: no disk") for number in range(1, 9)]
    alarms.append(alarm("router.1", "m.1: no memory"))
    assert sentences(alarms) == ["m.1, m.2, m.3, m.4, m.5 and 3 more say: no disk", "m.1 says: no memory"]


def test_what_routers_say_of_themselves() -> None:
    two = [alarm(f"router.{number}", "mail.1: two masters", "epoch") for number in (1, 2)]
    assert sentences(two) == ["router.1 and router.2 say: mail.1: two masters"]
    assert sentences([alarm("router.1", "odd")]) == ["router.1 says: odd"]
    assert sentences([]) == []
