"""Medians, ratios and verdicts from made-up samples."""

from __future__ import annotations

import pytest

from benchmarks.bus.targets import TARGETS
from benchmarks.results import Results


def results(**measures: dict[str, list[dict[str, float]]]) -> Results:
    return Results({}, {name.replace("_", "-"): samples for name, samples in measures.items()})


def rates(*values: float) -> list[dict[str, float]]:
    return [{"rate": value, "cpu_us": 1.0} for value in values]


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # The machine got twice as slow in the second round: the medians would say 1.5, the pairs say 2.
    found = results(oneway={"luabus": rates(400, 200, 200), "nats": rates(200, 100, 200)})
    assert found.middle("oneway", "luabus", "rate") == 200
    assert found.ratio("oneway", "rate", "luabus", "nats") == 2


def test_luabus_is_held_against_the_better_of_its_peers() -> None:
    found = results(oneway={"luabus": rates(300), "nats": rates(100), "nats-asyncio": rates(250)})
    verdict = next(target for target in TARGETS if target.measure == "oneway").judge(found)
    assert verdict.kept is False
    assert verdict.found == "3.00 x nats-py, 1.20 x nats-py on asyncio's loop"


@pytest.mark.parametrize(("luabus", "kept"), [(150, True), (149, False)])
def test_a_target_is_kept_from_its_limit_on(luabus: float, kept: bool) -> None:
    found = results(broadcast={"luabus": rates(luabus), "nats": rates(100)})
    verdict = next(target for target in TARGETS if target.measure == "broadcast").judge(found)
    assert verdict.kept is kept


def test_an_absolute_target_is_scaled_by_what_the_peer_does_on_this_machine() -> None:
    slow = {
        "rate": 800_000.0,
        "cpu_us": 0.84,
    }  # nats-server needs twice what it did then: half the rate is due
    found = results(**{"router-one": {"luabus": [slow], "nats": [slow]}})
    target = next(target for target in TARGETS if target.measure == "router-one")
    assert target.judge(found).kept is True
    fast = {"rate": 800_000.0, "cpu_us": 0.3}
    found = results(**{"router-one": {"luabus": [fast], "nats": [fast]}})
    assert target.judge(found).kept is False


def test_what_was_not_measured_has_no_verdict() -> None:
    assert {target.judge(Results()).kept for target in TARGETS} == {None}
