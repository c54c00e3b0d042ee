"""What Prometheus' own tools say about the metrics, the alert rules and the dashboard in docs/grafana."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from dashboard.http.tokens import Role
from tests.dashboard.conftest import Dash
from tests.support.imports import ROOT

GRAFANA = ROOT / "docs" / "grafana"
SCRAPED = {"up"}

# Each alert, the series that must make it fire (each 15 s), and the labels that it then has.
FIRES: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("LuabusDashboardDown", {'up{job="luabus", instance="a"}': "0x40"}, {"job": "luabus"}),
    ("LuabusNoRouter", {'luabus_router_up{instance="a", router="router.1"}': "0x40"}, {}),
    (
        "LuabusRouterDown",
        {'luabus_router_up{instance="a", router="router.1"}': "0x40"},
        {"router": "router.1"},
    ),
    (
        "LuabusRoutersDisagree",
        {
            'luabus_routers_consistent{instance="a"}': "0x40",
            'luabus_router_up{instance="a", router="router.1"}': "1x40",
            'luabus_router_up{instance="a", router="router.2"}': "1x40",
        },
        {},
    ),
    (
        "LuabusRouterAlarm",
        {'luabus_router_alarms{instance="a", router="router.1"}': "1x40"},
        {"router": "router.1"},
    ),
    (
        "LuabusGroupWithoutMaster",
        {'luabus_group_has_master{instance="a", group="db"}': "0x40"},
        {"group": "db"},
    ),
    (
        "LuabusGroupGone",
        {
            'luabus_group_slots{instance="a", group="mail"}': "3x40",
            'luabus_group_members{instance="a", group="mail"}': "0x40",
        },
        {"group": "mail"},
    ),
    (
        "LuabusSlotsVacant",
        {'luabus_group_vacant_slots{instance="a", group="mail"}': "2x40"},
        {"group": "mail"},
    ),
    (
        "LuabusProcessFailed",
        {'luabus_process_state{instance="a", process="mail.1", service="mail", state="failed"}': "1x40"},
        {"process": "mail.1", "service": "mail", "state": "failed"},
    ),
    (
        "LuabusProcessMissing",
        {'luabus_process_missing{instance="a", process="mail.1", service="mail"}': "1x40"},
        {"process": "mail.1", "service": "mail"},
    ),
    (
        "LuabusProcessRestarts",
        {'luabus_process_restarts_total{instance="a", process="mail.1", service="mail"}': "0+1x40"},
        {"process": "mail.1", "service": "mail"},
    ),
    (
        "LuabusMessagesLost",
        {'luabus_router_undeliverable_total{instance="a", router="router.1", reason="no route"}': "0+100x40"},
        {"router": "router.1", "reason": "no route"},
    ),
    (
        "LuabusSlowReaders",
        {'luabus_router_pending_bytes{instance="a", router="router.1"}': "2097152x40"},
        {"router": "router.1"},
    ),
    ("LuabusLauncherDown", {'luabus_launcher_up{instance="a"}': "0x40"}, {}),
]


def promtool(*arguments: str, given: str = "", folder: Path | None = None) -> str:
    done = subprocess.run(
        ["promtool", *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((GRAFANA / "alerts.yml").read_text("utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def queries() -> list[str]:
    panels = json.loads((GRAFANA / "luabus.json").read_text("utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


async def test_promtool_has_nothing_to_say_about_the_metrics(dash: Dash) -> None:
    answer = await dash.get("/metrics", Role.viewer)
    assert promtool("check", "metrics", given=await answer.text()) == ""


async def test_rules_and_dashboard_ask_for_what_there_is(dash: Dash) -> None:
    text = await (await dash.get("/metrics", Role.viewer)).text()
    told = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)) | SCRAPED
    for query in [*queries(), *(rule["expr"] for rule in rules())]:
        for name in re.findall(r"\b(luabus_\w+|up)\b(?=[{\[ )]|$)", query):
            assert name in told, query


def test_promtool_accepts_the_rules_and_sees_each_fire(tmp_path: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", str(GRAFANA / "alerts.yml"))
    assert {name for name, _, _ in FIRES} == {rule["alert"] for rule in rules()}
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in rules()}
    tests = []
    for name, series, labels in FIRES:
        wanted = {"exp_labels": {"severity": severities[name], "instance": "a", **labels}}
        tests.append(
            {
                "interval": "15s",
                "input_series": [{"series": one, "values": values} for one, values in series.items()],
                "alert_rule_test": [{"eval_time": "10m", "alertname": name, "exp_alerts": [wanted]}],
            }
        )
    # What an alert says is a text for people; promtool compares it too, so the rules are tested without.
    bare = [{key: value for key, value in rule.items() if key != "annotations"} for rule in rules()]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "luabus", "rules": bare}]}))
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": tests}))
    assert "SUCCESS" in promtool("test", "rules", "tests.yml", folder=tmp_path)
