"""`up --watch`: which services a changed file concerns, and that they are restarted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launcher.config.load import load
from launcher.daemon.file_watch import config_files, fault_of, folders_of, services_of
from launcher.plan.plan import Plan, make_plan
from tests.launcher.harness import ClusterRun, child, until

FILE = """
[services.chat]
group = 2
run = "chat:service"
[services.mail]
group = 3
run = "mail:service"
env_file = "mail.env"
[services.web]
command = ["python3", "serve.py"]
cwd = "web"
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "web").mkdir()
    texts = {
        "chat.py": "import shared",
        "mail.py": "import shared",
        "shared.py": "",
        "web/serve.py": "",
        "mail.env": "",
    }
    for name, text in {**texts, "cluster.toml": FILE}.items():
        (tmp_path / name).write_text(text)
    return make_plan(load(tmp_path / "cluster.toml"), tmp_path / "cluster.toml")


@pytest.mark.parametrize(
    ("changed", "services"),
    [
        ("chat.py", {"chat"}),
        ("shared.py", {"chat", "mail"}),
        ("plugins/by_name.py", {"chat", "mail"}),
        ("words.toml", {"chat", "mail"}),
        ("game.lua", {"chat", "mail"}),
        ("web/serve.py", {"web"}),
        ("tests/test_chat.py", set()),
        ("test_chat.py", set()),
    ],
)
def test_whom_a_change_concerns(plan: Plan, changed: str, services: set[str]) -> None:
    assert services_of(plan, {str(plan.base / changed)}) == services


def test_where_is_watched(plan: Plan, tmp_path: Path) -> None:
    assert config_files(plan) == {str(tmp_path / "cluster.toml"), str(tmp_path / "mail.env")}
    assert folders_of(plan) == [str(tmp_path)], "web lies within"


def test_a_fault_and_its_line(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1\ndef (\n")
    fault = fault_of(str(file))
    assert fault is not None
    assert fault[0] == 2
    file.write_bytes(b"x = \xff\n")
    assert fault_of(str(file)) is not None
    file.write_text("x = 1\n")
    assert fault_of(str(file)) is None
    assert fault_of(str(tmp_path / "gone.py")) is None


def test_files_that_change_under_a_running_cluster(cluster: ClusterRun) -> None:
    cluster.module("chat", SERVICE)
    cluster.module("mail", SERVICE)
    cluster.write(
        {
            "chat": {"run": "chat:service", "group": 2},
            "mail": {"run": "mail:service", "group": 3},
            "web": {"command": child("wait")},
        }
    )
    cluster.ok("up", "-d", "--watch")
    mail, web = cluster.process("mail.1")["pid"], cluster.process("web.1")["pid"]

    def version() -> object:
        done = cluster("call", "random:chat", "version")
        return json.loads(done.out) if done.code == 0 else done.err

    def told(text: str) -> bool:
        return any(text in event["text"] for event in cluster.request("events", 0, 200))

    cluster.module("chat", SERVICE.replace("return 1", "return 2"))
    until(lambda: version() == 2, "the new version")
    cluster.module("chat", SERVICE + "def (\n")
    until(lambda: told("chat.py:8: invalid syntax; nothing is restarted"), "the fault")
    assert version() == 2
    cluster.module("chat", SERVICE + "import nosuch\n")
    until(lambda: told("restart after a change: chat.1 did not come up"), "a module that cannot be loaded")
    cluster.module("chat", SERVICE.replace("return 1", "return 3"))
    until(lambda: version() == 3, "the mended version")
    assert cluster.process("mail.1")["pid"] == mail
    cluster.file.write_text(
        cluster.file.read_text().replace("[services.web]", '[services.web]\nenv = {A = "1"}')
    )
    until(lambda: cluster.process("web.1")["pid"] not in (web, None), "a reload")
    assert cluster.process("mail.1")["pid"] == mail


SERVICE = """import luabus

service = luabus.Service()

@service.rpc
def version():
    return 1
"""
