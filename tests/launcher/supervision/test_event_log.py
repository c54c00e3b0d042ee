"""Events in memory and on disk, both bounded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from launcher.runtime.run_dir import RunDir
from launcher.supervision.event_log import FILE_SIZE, KEPT, EventLog
from luabus.messages import Message


def test_events_are_numbered_told_and_written(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    log = EventLog(RunDir(tmp_path))
    stop = log.listen(heard.append)
    log.add(
        "stop",
        "mail.1",
        Message("audit.stop", name="mail.1"),
        {"by": "ann", "from": "here", "wait": True},
        state="exited",
    )
    stop()
    stop()
    log.add("cluster", "", Message.verbatim("the end"))
    log.close()
    assert [event["id"] for event in log.after(0, 10)] == [1, 2]
    assert [event["text"] for event in log.after(1, 10)] == ["the end"]
    assert log.after(0, 0) == []
    (first,) = heard
    assert (first["by"], first["from"], first["state"]) == ("ann", "here", "exited")
    assert first["message"] == {"code": "audit.stop", "values": {"name": "mail.1"}}
    assert first["text"] == "stop mail.1"
    assert [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()] == log.after(
        0, 10
    )


def test_it_does_not_grow_for_ever(tmp_path: Path) -> None:
    log = EventLog(RunDir(tmp_path))
    for number in range(KEPT * 3):
        log.add("cluster", "", Message.verbatim(f"{number} " + "x" * 300))
    log.close()
    assert len(log.after(0, 10**9)) == KEPT
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * FILE_SIZE


def test_a_disk_that_is_full_is_no_reason_to_stop(tmp_path: Path) -> None:
    log = EventLog(RunDir(tmp_path / "missing"))
    log.add("cluster", "", Message.verbatim("still here"))
    assert log.after(0, 1)[0]["text"] == "still here"


def read(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_a_file_that_was_moved_is_begun_anew_and_one_that_went_with_its_folder_goes_on(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    log = EventLog(RunDir(folder))
    log.add("cluster", "", Message.verbatim("one"))
    (folder / "events.jsonl").rename(tmp_path / "moved")
    log.reopen()
    assert (folder / "events.jsonl").read_text() == ""
    folder.rename(tmp_path / "away")
    log.add("cluster", "", Message.verbatim("two"))
    (tmp_path / "away").rename(folder)
    log.add("cluster", "", Message.verbatim("three"))
    log.close()
    assert [event["text"] for event in read(folder)] == ["two", "three"]


def test_how_many_events_were_lost_is_an_event(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "events.jsonl").mkdir(parents=True)
    folder.chmod(0o700)
    log = EventLog(RunDir(folder))
    log.add("cluster", "", Message.verbatim("one"))
    (folder / "events.jsonl").rmdir()
    log.add("cluster", "", Message.verbatim("two"))
    log.close()
    events = read(folder)
    assert "1 events before this one are lost" in events[0]["text"]
    assert events[-1]["text"] == "two"
    assert {"time", "at", "kind", "name", "message", "text", "by", "from", "id"} <= set(events[0])
