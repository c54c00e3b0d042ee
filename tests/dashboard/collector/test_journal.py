from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dashboard.collector.journal import Journal
from luabus.messages import Message
from tests.dashboard.cluster import Clock


def test_events_are_found_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events.jsonl", Clock())
    journal.add("kill", "mail.1", "send SIGKILL to mail.1", by="session", origin="127.0.0.1")
    journal.add("state", "mail.1", "mail.1 <b>restarts</b>", "warn")
    assert [e.seq for e in journal.find()] == [1, 2]
    assert [e.kind for e in journal.find(q="SIGKILL session")] == ["kill"]
    assert [e.seq for e in journal.find(kind="state")] == [2]
    assert [e.seq for e in journal.find(after=1)] == [2]
    assert journal.find()[0].at == "2027-01-15T08:00:00.000Z"


def test_they_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    Journal(path, Clock()).add("kill", "mail.1", "gone")
    again = Journal(path, Clock())
    assert [e.text for e in again.find()] == ["gone"]
    assert again.add("start", "mail.1", "back").seq == 2


def test_an_event_is_read_in_every_language_also_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    journal = Journal(path, Clock())
    refused = Message("verb.what-outcome-why", what=Message("audit.stop", name="mail.1"),
                   outcome=Message("word.refused"), why="not today {x}")  # fmt: skip
    journal.add("stop", "mail.1", refused)
    journal.add("state", "mail.1", "mail.1 running → {exited}")
    for opened in (journal, Journal(path, Clock())):
        own, foreign = opened.find()
        assert own.text == own.to("en") == "stop mail.1: refused: not today {x}"
        assert own.to("zh") == "停止 mail.1：被拒绝：not today {x}"
        assert foreign.to("zh") == foreign.text
        assert "said" not in own.model_dump()  # the API keeps the English text
        assert opened.find(q="被拒绝", language="zh") == opened.find(q="refused", language="zh") == [own]
        assert opened.find(q="被拒绝") == []


def test_lines_of_before_there_were_languages_are_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    line = {"seq": 1, "at": "2027-01-15T08:00:00.000Z", "kind": "router", "text": "router.1 answers again"}
    broken = line | {"seq": 2, "said": {"template": "{name", "values": 5}}
    path.write_text("".join(json.dumps(entry) + "\n" for entry in (line, broken)))
    assert [event.to("zh") for event in Journal(path, Clock()).find()] == ["router.1 answers again"] * 2


def test_the_file_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    journal = Journal(path, Clock(), kept=10)
    for number in range(95):
        journal.add("state", "mail.1", f"change {number}")
    assert len(path.read_text().splitlines()) <= 20
    again = Journal(path, Clock(), kept=10)
    assert [e.text for e in again.find()][-1] == "change 94"
    assert len(again.find()) == 10


def test_a_line_that_was_cut_short_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    Journal(path, Clock()).add("kill", "mail.1", "gone")
    with path.open("a") as file:
        file.write('{"seq": 2, "at"')
    again = Journal(path, Clock())
    assert [e.text for e in again.find()] == ["gone"]
    # Its number is not given to another one, and what is written next does not run on from it.
    assert again.add("start", "mail.1", "back").seq == 3
    assert [(e.seq, e.text) for e in Journal(path, Clock()).find()] == [(1, "gone"), (3, "back")]


def test_a_number_that_was_given_out_is_never_given_out_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = Journal(path, Clock())
    first.add("kill", "mail.1", "gone")
    first.add("start", "mail.1", "back")
    # Killed before a byte of the second was written; and then the whole file is lost.
    path.write_bytes(path.read_bytes().split(b"\n")[0] + b"\n")
    assert Journal(path, Clock()).next == 3
    path.unlink()
    assert Journal(path, Clock()).next == 3
    assert Journal(path, Clock()).add("state", "mail.1", "later").seq == 3
    # A dashboard of before kept no such file: what is written of the events tells.
    path.with_suffix(".last").unlink()
    assert Journal(path, Clock()).next == 4


@pytest.mark.parametrize("content", ["", "x", "-4", "9" * 30, "\u0663"])
def test_a_last_number_that_is_none_does_no_harm(tmp_path: Path, content: str) -> None:
    path = tmp_path / "events.jsonl"
    Journal(path, Clock()).add("kill", "mail.1", "gone")
    path.with_suffix(".last").write_text(content, "utf-8")
    assert Journal(path, Clock()).next == 2


@pytest.mark.parametrize(
    "text", ["a\u2028b\u0085c", "a\nb\rc\x0bd\x0ce\x1cf\x1dg\x1eh", "half a \ud800 character", '"\\']
)
def test_what_breaks_lines_elsewhere_breaks_no_event(tmp_path: Path, text: str) -> None:
    path = tmp_path / "events.jsonl"
    written = Journal(path, Clock()).add("call", f"hash:mail:{text}", text, by=text, origin=text)
    again = Journal(path, Clock())
    assert again.find() == [written]
    assert again.next == 2


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX")
def test_a_full_disk_loses_nothing_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import resource

    path = tmp_path / "events.jsonl"
    journal = Journal(path, Clock())
    journal.add("state", "mail.1", "before")
    whole = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 50, limits[1]))
    try:
        journal.add("state", "mail.1", "while it is full")
        journal.add("state", "mail.1", "still")
        assert path.read_bytes() == whole  # and no half of a line
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caplog.text.count("kept in memory only") == 1
    assert Journal(path, Clock()).next == 4
    journal.add("state", "mail.1", "after")
    assert [(e.seq, e.text) for e in Journal(path, Clock()).find()] == [
        (1, "before"), (2, "while it is full"), (3, "still"), (4, "after"),
    ]  # fmt: skip


def test_an_event_is_got_by_its_number_and_pages_go_both_ways() -> None:
    journal = Journal(None, Clock(), kept=10)
    assert journal.oldest == 1
    for number in range(1, 26):
        journal.add("even" if number % 2 == 0 else "odd", "mail.1", f"change {number}")
    assert journal.oldest == 16
    assert (journal.get(15), journal.get(26)) == (None, None)
    assert getattr(journal.get(20), "text", "") == "change 20"
    assert [e.seq for e in journal.find(limit=3)] == [23, 24, 25]
    assert [e.seq for e in journal.find(limit=3, before=23)] == [20, 21, 22]
    assert [e.seq for e in journal.find(limit=3, after=20)] == [21, 22, 23]
    assert [e.seq for e in journal.find(limit=9, after=20, before=23)] == [21, 22]
    assert [e.seq for e in journal.find(limit=2, before=23, kind="even")] == [20, 22]


def test_without_a_place_to_write_it_goes_on_in_memory(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "missing" / "events.jsonl", Clock())
    journal.add("kill", "mail.1", "gone")
    journal.add("start", "mail.1", "back")
    assert len(journal.find()) == 2


def test_listeners_hear_of_each(tmp_path: Path) -> None:
    journal = Journal(None, Clock())
    heard: list[str] = []
    journal.subscribe(lambda event: heard.append(event.text))
    journal.add("kill", "mail.1", "gone")
    assert heard == ["gone"]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("")
    file.chmod(0o644)
    journal = Journal(file, lambda: 0.0, kept=2)
    for number in range(6):  # it is written anew in between
        journal.add("state", "mail.1", f"{number}")
        assert file.stat().st_mode & 0o777 == 0o600
