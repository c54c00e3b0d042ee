"""What `top` computes and shows, from looks made up."""

from __future__ import annotations

from typing import Any

from launcher.cli.top.rates import (
    PROCESS_HEADS,
    ROUTE_HEADS,
    Rates,
    Reading,
    counters,
    head,
    plain,
    process_rows,
    route_rows,
)


def process(name: str, state: str = "running", **more: Any) -> dict[str, Any]:
    row = {
        "name": name, "service_id": "2.1", "kind": "service", "state": state, "ready": True, "pid": 7, "uptime_s": 61.0,
        "cpu_percent": 1.25, "rss_bytes": 20 << 20, "restarts": 0, "exit": None,
    }  # fmt: skip
    return {**row, **more}


def status(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    routers = [{"name": "router.1", "connected": True}, {"name": "router.2", "connected": False}]
    whole = {
        "cluster": "demo", "state": "healthy", "uptime_s": 5.0, "routers": routers, "masters": {"mail": None}, "problems": [],
        "processes": list(rows),
    }  # fmt: skip
    return {**whole, **more}


def slot(service_id: str, token: int, **share: float) -> dict[str, Any]:
    return {"service_id": service_id, "name": f"mail.{service_id[2:]}", "token": token, **share}


def group(*slots: dict[str, Any], master: str | None = None) -> dict[str, Any]:
    return {"group": 2, "name": "mail", "master": master, "epoch": 3, "slots": list(slots)}


def test_a_rate_is_between_two_looks() -> None:
    rates = Rates()
    rates.take({"a": 100.0, "b": 5.0}, at=10.0)
    assert rates.of("a") == 0.0
    rates.take({"a": 150.0, "b": 1.0, "c": 9.0}, at=12.0)
    assert rates.of("a") == 25.0
    assert rates.of("b") == 0.0  # began anew
    assert (rates.of("c"), rates.of("unknown")) == (0.0, 0.0)
    rates.take({"a": 160.0}, at=12.0)
    assert rates.of("a") == 0.0  # no time went by


def test_a_service_is_counted_over_all_routers() -> None:
    stats = ({"router": "router.1", "messages_in": 7, "messages_out": 8},)
    rows = [("2.1", 1, 2), ("2.1", 10, 20), (None, 5, 5)]
    connections = tuple({"service_id": i, "messages_in": a, "messages_out": b} for i, a, b in rows)
    assert counters(Reading(0.0, stats=stats, connections=connections)) == {
        ("router", "router.1", "in"): 7.0, ("router", "router.1", "out"): 8.0, ("service", "2.1"): 33.0,
    }  # fmt: skip


def test_the_head_says_what_is_wrong_and_not_too_much_of_it() -> None:
    text = head(Reading(0.0, status(process("mail.1"), problems=[f"problem {n}" for n in range(5)])), Rates())
    assert "[bold]demo[/] is [green]healthy[/]: 1 of 1 processes run" in text
    assert "router.2 is lost" in text
    assert "mail [bold red]none[/]" in text
    assert "problem 2" in text
    assert "problem 3" not in text
    assert "and 2 more" in text
    assert "no launcher \\[here]" in head(Reading(0.0, problem="no launcher [here]"), Rates())


def test_a_process_has_a_cell_per_head() -> None:
    exit_ = {"text": "there is no program '[x]'"}
    rows = process_rows(
        Reading(0.0, status(process("mail.1"), process("x", "failed", pid=None, exit=exit_))), Rates()
    )
    assert all(len(cells) == len(PROCESS_HEADS) for cells in rows.values())
    assert rows["mail.1"][:5] == ("mail.1", "2.1", "[green]running[/]", "[green]yes[/]", "7")
    assert rows["x"][2:6] == ("[bold red]failed[/]", "-", "-", "-")
    assert rows["x"][-1] == "there is no program '\\[x]'"
    assert process_rows(Reading(0.0), Rates()) == {}


def test_routes_show_what_each_router_says() -> None:
    one = {"router": "router.1", "groups": [group(slot("2.1", 9), slot("2.10", 4, share=0.5), master="2.1")]}
    two = {"router": "router.2", "groups": [group(slot("2.1", 0), slot("2.2", 5))]}
    rows = route_rows(Reading(0.0, routes={"consistent": False, "routers": [one, two]}))
    assert list(rows) == ["2.1", "2.2", "2.10"]
    assert all(len(cells) == len(ROUTE_HEADS) for cells in rows.values())
    assert rows["2.1"] == (
        "mail (2)",
        "2.1",
        "mail.1",
        "-",
        "[cyan]master[/] (epoch 3)",
        "router.1: live  [yellow]router.2: vacant[/]",
    )
    assert rows["2.10"][3] == "50.0%"
    assert rows["2.10"][-1] == "router.1: live  [red]router.2: unknown[/]"


def test_foreign_text_has_no_markup() -> None:
    assert plain("[red]x[/]") == "\\[red]x\\[/]"
