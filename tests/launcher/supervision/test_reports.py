from __future__ import annotations

from launcher.plan.diff import Changes
from launcher.supervision.reports import ended, report, summary_of
from luabus.messages import Message, of_map

BEGUN = Message("report.begun")


def test_a_report_carries_its_message_by_code_and_in_english() -> None:
    done = report({"mail.1": "running"}, BEGUN, None, ok=True)
    assert (of_map(done["message"]), done["text"], done["ok"]) == (BEGUN, str(BEGUN), True)
    assert done["processes"] == {"mail.1": "running"}


def test_several_things_are_one_message() -> None:
    done = report({}, BEGUN, BEGUN, ok=False)
    assert of_map(done["message"]) == Message("report.all", parts=[BEGUN, BEGUN])


def test_nothing_to_tell_is_no_message() -> None:
    assert (report({}, ok=True)["message"], report({}, ok=True)["text"]) == (None, "")


def test_work_that_nobody_waits_for_has_begun() -> None:
    assert ended(None) == [BEGUN]
    assert ended([]) == []


def test_a_summary_names_what_comes_goes_and_changes() -> None:
    changes = Changes(("a.1",), ("b.1",), {"c.1": ("services.c.env",)})
    assert [message.code for message in summary_of(changes)] == [
        "report.add",
        "report.remove",
        "report.restart",
    ]
    assert [message.code for message in summary_of(Changes())] == ["report.nothing-to-change"]
