"""What a verb has done, as it is told."""

from __future__ import annotations

from launcher.plan.diff import Changes
from launcher.supervision.reports import ended, report, summary_of
from luabus.messages import Message


def test_a_report_tells_one_message_or_all_of_them_or_none() -> None:
    nothing = report({"web.1": "running"}, None, ok=True)
    assert nothing == {"ok": True, "message": None, "text": "", "processes": {"web.1": "running"}}
    begun = Message("report.begun")
    assert report({}, None, begun, ok=True)["message"] == begun.as_map()
    both = report({}, begun, Message("report.not-touched", names=["a", "b"]), ok=False)
    assert (both["message"]["code"], both["text"]) == ("report.all", "begun; not touched: a, b")


def test_who_does_not_wait_is_told_that_it_has_begun() -> None:
    assert ended(None) == [Message("report.begun")]
    assert ended([]) == []


def test_what_a_reload_does() -> None:
    changes = Changes(added=("a.1", "a.2"), removed=("b.1",), changed={"c.1": ("command", "env")})
    assert [str(part) for part in summary_of(changes)] == [
        "add a.1, a.2", "remove b.1", "restart c.1 (command, env)",
    ]  # fmt: skip
    assert summary_of(Changes()) == [Message("report.nothing-to-change")]
