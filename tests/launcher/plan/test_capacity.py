"""Plans that need more open files or processes than there may be are refused with the numbers."""

from __future__ import annotations

import os
import resource

import pytest

from launcher.errors import ConfigError
from launcher.plan import capacity
from launcher.plan.capacity import check_capacity, lacking
from luabus import descriptors
from tests.launcher.harness import ClusterRun

WORKERS = {"w": {"command": ["sh", "-c", "exec sleep 1000"], "instances": 20}}


def test_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "most", lambda: 64)
    assert lacking(13, 1) is None
    assert lacking(14, 1) == (
        "14 processes need 67 open files in the launcher, 3 for each and 25 for itself, and it may have 64"
        " (hard limit, `ulimit -Hn`); allowed: 13 processes"
    )
    monkeypatch.setattr(descriptors, "most", lambda: None)
    assert lacking(10**6, 2) is None


def test_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (30, 30))
    monkeypatch.setattr(descriptors, "most", lambda: None)
    assert lacking(28, 1) is None
    assert lacking(29, 1) == (
        "31 processes are needed, 2 of them for the launcher, and this user may have 30 (`ulimit -u`); allowed: 28"
    )
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert lacking(29, 1) is None, "nothing limits root"


def test_check_says_so(cluster: ClusterRun, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.write(WORKERS)
    cluster.ok("check")
    monkeypatch.setattr(descriptors, "most", lambda: 64)
    done = cluster("check")
    assert (done.code, "allowed: 13 processes" in done.err) == (2, True), done
    assert "allowed: 13 processes" in cluster("check", "--json").json["problems"][0]["text"]


def test_what_is_refused_names_the_file(cluster: ClusterRun, monkeypatch: pytest.MonkeyPatch) -> None:
    from launcher.config.load import load
    from launcher.plan.plan import make_plan

    cluster.write(WORKERS)
    plan = make_plan(load(cluster.file), cluster.file)
    check_capacity(plan)
    monkeypatch.setattr(capacity.descriptors, "most", lambda: 20)
    with pytest.raises(
        ConfigError, match=r"cluster\.toml: services: 21 processes need .* allowed: 0 processes"
    ):
        check_capacity(plan)
