"""One module for two tables, in a folder whose names are also those of modules: who is called what."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launcher.harness import ClusterRun, until

SHARD = """
import luabus

service = luabus.Service("shard")

@service.rpc
def who():
    return [service.name, str(service.service_id)]
"""
PRINTS = "import os, time; print('path', os.environ.get('PYTHONPATH'), flush=True); time.sleep(1000)"


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRun]:
    run = ClusterRun(tmp_path_factory.mktemp("names") / "a:b c")
    run.module("shard", SHARD)
    for name in ("dashboard", "calendar", "email", "token", "launcher", "select"):
        run.module(name, "raise SystemExit('mine was run')")
    (run.folder / "luabus").mkdir()
    shard = {"run": "shard:service"}
    run.write(
        {"eu": {**shard, "group": 1}, "us": {**shard, "group": 2}, "web": {"command": [sys.executable, "-S", "-c", PRINTS]}},
        dashboard=True,
    )  # fmt: skip
    run.ok("up", "-d")
    yield run
    run.end()


def test_both_are_called_as_their_tables(shards: ClusterRun) -> None:
    assert shards.ok("call", "target:us.1", "who").json == ["us", "2.1"]
    assert shards.ok("call", "broadcast:eu", "who").json == {"eu.1": ["eu", "1.1"]}
    groups = shards.ok("routes", "--json").json["routers"][0]["groups"]
    assert [(group["name"], group["slots"][0]["name"]) for group in groups] == [
        ("eu", "eu.1"),
        ("us", "us.1"),
    ]
    assert "there is no group named 'shard'" in shards("call", "random:shard", "who").err


def test_names_and_ids_are_accepted_and_told_as_they_were_asked(shards: ClusterRun) -> None:
    assert "nobody is there for target:us.9" in shards("call", "target:us.9", "who").err
    assert "us.1 is running" in shards.ok("restart", "2.1").out
    assert "us.1" in shards.ok("logs", "-n", "1", "us.1").out


@pytest.mark.skipif("PYTHONPATH" in os.environ, reason="the launcher hands on what it was given")
def test_a_command_is_given_no_path_of_modules(shards: ClusterRun) -> None:
    until(lambda: "path None" in shards.log("web.1"), "its words")


def test_a_table_that_differs_by_case_only_is_refused(tmp_path: Path) -> None:
    run = ClusterRun(tmp_path / "case")
    run.write({"mail": {"command": ["sh"]}, "Mail": {"command": ["sh"]}})
    assert "services.Mail: differs from services.mail only by case" in run("check").err
