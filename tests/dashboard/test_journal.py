from __future__ import annotations

import os
from pathlib import Path

import pytest

from dashboard.journal import Journal
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
    assert [e.text for e in Journal(path, Clock()).find()] == ["gone"]


def test_without_a_place_to_write_it_goes_on_in_memory(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "missing" / "events.jsonl", Clock())
    journal.add("kill", "mail.1", "gone")
    journal.add("start", "mail.1", "back")
    assert len(journal.find()) == 2


def test_listeners_hear_of_each(tmp_path: Path) -> None:
    journal = Journal(None, Clock())
    heard: list[str] = []
    journal.on_event = lambda event: heard.append(event.text)
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
