"""The logs of all processes: written, followed, bounded."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from launcher.runtime.log_files import Line
from launcher.runtime.log_store import (
    FOLLOWER_LIMIT,
    PARTIAL_DELAY_S,
    Follower,
    LogStore,
    log_names,
    read_tail,
)


async def test_lines_are_stored_and_followed(tmp_path: Path) -> None:
    store = LogStore(tmp_path, 10**6, 1)
    everybody, one = store.follow(()), store.follow(["web.1"])
    assert store.of("web.1").feed("out", b"one\ntwo\nthr") == [b"one", b"two"]
    store.of("mail.1").say("the launcher\nsays")
    assert [line.text for line in await one.next()] == ["one", "two"]
    assert [(line.name, line.stream) for line in await everybody.next()] == [("web.1", "out")] * 2 + [
        ("mail.1", "sys")
    ] * 2
    store.close()
    assert [line.text for line in await one.next()] == ["thr"]
    assert await one.next() == []
    assert log_names(tmp_path) == ["mail.1", "web.1"]
    assert [line.text for line in read_tail(tmp_path, ["web.1"], 10)] == ["one", "two", "thr"]


async def test_a_prompt_is_shown_soon(tmp_path: Path) -> None:
    store = LogStore(tmp_path, 10**6, 1)
    follower = store.follow(())
    store.of("web.1").feed("out", b"password: ")
    lines = await asyncio.wait_for(follower.next(), PARTIAL_DELAY_S + 5)
    assert [line.text for line in lines] == ["password: "]
    store.close()


async def test_the_last_words_are_of_stderr_and_of_this_run(tmp_path: Path) -> None:
    store = LogStore(tmp_path, 10**6, 1)
    log = store.of("web.1")
    log.feed("err", b"".join(b"line %d\n" % n for n in range(30)))
    log.feed("out", b"other\n")
    assert list(log.last_words) == [f"line {n}" for n in range(20, 30)]
    log.new_run()
    assert not log.last_words
    store.close()


async def test_a_slow_follower_loses_the_oldest_and_is_told() -> None:
    follower = Follower(())
    for number in range(FOLLOWER_LIMIT + 7):
        follower.put(Line("t", "web.1", "out", str(number)))
    first, second, *_ = await follower.next()
    assert "7 lines were skipped" in first.text
    assert second.text == "7"


async def test_what_was_shown_of_a_line_counts_and_so_does_the_whole(tmp_path: Path) -> None:
    store = LogStore(tmp_path, 10**6, 1)
    log, parts = store.of("web.1"), list[bytes]()
    log.on_part = parts.append
    assert log.feed("out", b"login") == []
    log.flush()
    assert log.feed("out", b": ") == []
    log.flush()
    assert parts == [b"login", b"login: "]
    assert log.feed("out", b"bob\nnext\n") == [b"login: bob", b"next"]
    log.new_run()
    assert log.on_part is None
    store.close()


def test_a_clock_that_was_set_back_is_told_in_each_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LogStore(tmp_path, 10**6, 1)
    store.of("web.1").say("before")
    store.mark_clock()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    store.mark_clock()
    store.mark_clock()
    store.close()
    texts = [line.text for line in read_tail(tmp_path, ["web.1"], 10)]
    assert texts == ["before", "the clock was set back by 3600 s"]


def test_the_tail_of_this_run_has_nothing_of_an_earlier_one(tmp_path: Path) -> None:
    first = LogStore(tmp_path, 10**6, 1)
    first.of("web.1").say("old")
    first.close()
    second = LogStore(tmp_path, 10**6, 1)
    second.of("web.1").say("new")
    assert [line.text for line in second.tail(["web.1"], 10, second.since)] == ["new"]
    second.close()
