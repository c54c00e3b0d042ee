"""A tag is inherited by all that a process starts, and tells whose they are."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from launcher.processes import process_tag

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a limit that only Linux has")


def test_a_brand_tells_process_and_run() -> None:
    one = process_tag.number("run/mail.1")
    assert one == process_tag.number("run/mail.1")
    assert len({one, process_tag.number("run/mail.2"), process_tag.number("other/mail.1")}) == 3
    assert process_tag.is_of(one, "run")
    assert not process_tag.is_of(one, "other")
    assert 1 << 62 <= one < 1 << 63


@linux
def test_neither_session_nor_environment_nor_descriptors_take_it_off() -> None:
    limit = process_tag.limit("run/x")
    assert limit is not None
    process = subprocess.Popen(
        ["setsid", "env", "-i", "cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(*limit),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"up\n")
    process.stdin.flush()
    process.stdout.readline()
    assert process_tag.of(process.pid) == process_tag.number("run/x")
    process.communicate()
    assert process_tag.of(process.pid) is None


@linux
def test_who_was_not_branded_has_none() -> None:
    assert process_tag.of(os.getpid()) is None


@linux
@pytest.mark.parametrize(("hard", "given"), [(1000, False), (2**63 - 2, True)])
def test_where_it_cannot_be_set_there_is_none(
    hard: int, given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (0, hard))
    assert (process_tag.limit("run/x") is not None) is given
