"""Tables for people."""

from __future__ import annotations

from typing import Any

import pytest

from launcher.cli.tables import ended_how, routes_text, shown_state, status_text
from launcher.cli.terminal import Style

PLAIN = Style(False)


def router(name: str, token: int, master: str | None = None) -> dict[str, Any]:
    slots = [
        {"service_id": "2.1", "name": "mail.1", "token": token, "share": 0.375},
        {"service_id": "2.9", "name": "mail.9", "token": 4, "share": 0.625},
    ]
    groups = [
        {"group": 2, "name": "mail", "master": master, "epoch": 3, "slots": slots},
        {"group": 3, "name": "empty", "master": None, "epoch": 0, "slots": []},
    ]
    return {"router": name, "groups": groups}


def test_routers_that_agree_are_shown_once() -> None:
    text = routes_text(
        {"consistent": True, "routers": [router("router.1", 7, "2.1"), router("router.2", 8, "2.1")]}, PLAIN
    )
    assert text.startswith("router.1, router.2 agree (tokens as router.1 has them)")
    rows = [line.split() for line in text.splitlines()[3:]]
    assert rows[0] == ["mail", "(2)", "2.1", "mail.1", "37.5%", "7", "master", "(epoch", "3)"]
    assert rows[1] == ["2.9", "mail.9", "62.5%", "4"]
    assert rows[2] == ["empty", "(3)", "-", "-", "-", "nobody", "-"]


def test_those_that_do_not_are_shown_one_by_one() -> None:
    text = routes_text(
        {"consistent": False, "routers": [router("router.1", 7), router("router.2", 0)]}, PLAIN
    )
    assert text.startswith("the routers do not agree")
    assert text.count("mail (2)") == 2
    assert text.count("vacant") == 1


def test_two_routers_of_one_name_are_said_to_be_that() -> None:
    both = [{"router": "router.1", "groups": []}, {"router": "router.1", "groups": []}]
    text = routes_text({"consistent": False, "routers": both}, PLAIN)
    assert text.startswith("two routers are both named router.1; each needs a name of its own\n\nrouter.1\n")
    assert "agree" not in text


def test_an_end_that_is_cut_off_shows_it() -> None:
    assert ended_how("exit code 1") == "exit code 1"
    assert ended_how("x" * 41) == "x" * 39 + "…"


def test_no_routers() -> None:
    assert routes_text({"consistent": True, "routers": []}, PLAIN) == "no router is connected"
    assert "no groups" in routes_text(
        {"consistent": True, "routers": [{"router": "router.1", "groups": []}]}, PLAIN
    )


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ({"state": "running", "pid": 1, "wanted": True, "held": None}, "running"),
        ({"state": "running", "pid": 1, "wanted": True, "held": "paused"}, "paused"),
        ({"state": "stopping", "pid": 1, "wanted": False, "held": "stopped"}, "stopping"),
        ({"state": "exited", "pid": None, "wanted": False, "held": "stopped"}, "exited"),
        ({"state": "starting", "pid": None, "wanted": True, "stuck": True}, "waiting"),
        ({"state": "exited", "pid": None, "wanted": True, "completed": True, "daemon": False}, "done"),
        ({"state": "exited", "pid": None, "wanted": True, "completed": True, "daemon": True}, "exited"),
    ],
)
def test_what_was_done_by_hand_to_a_process_that_lives_is_its_shown_state(
    row: dict[str, Any], shown: str
) -> None:
    assert shown_state(row) == shown


def test_members_vacancies_and_each_ones_share_of_the_keys() -> None:
    def process(name: str, pid: int | None) -> dict[str, Any]:
        return {
            "name": name, "service_id": None, "state": "running" if pid else "exited", "held": None, "wanted": True,
            "ready": True, "pid": pid, "uptime_s": 1.0, "cpu_percent": 1.0, "rss_bytes": 1, "restarts": 3, "exit": None,
        }  # fmt: skip

    status = {
        "cluster": "demo", "state": "healthy", "uptime_s": 1.0, "pid": 5, "dashboard": None, "routers": [], "masters": {},
        "health": {"problems": []}, "keys": {"mail": {"mail.1": 0.375, "mail.2": None, "mail.9": 0.625}},
        "processes": [process("mail.1", 7), process("mail.2", None), process("web", 8)],
    }  # fmt: skip
    lines = status_text(status, PLAIN).splitlines()
    assert "keys: mail among 2 of 3 (vacant: mail.2)" in lines
    rows = {line.split()[0]: line.split() for line in lines if line.startswith(("NAME", "mail", "web"))}
    column = rows["NAME"].index("KEYS")
    assert [rows[name][column] for name in ("mail.1", "mail.2", "web")] == ["37.5%", "0.0%", "-"]
    without = status_text({**status, "keys": {}}, PLAIN)
    assert "KEYS" not in without
    assert "keys:" not in without
