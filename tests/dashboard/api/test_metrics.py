from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from dashboard.http.tokens import Role
from tests.dashboard.cluster import ScriptedCluster, process, table
from tests.dashboard.conftest import Dash, Make


async def values(dash: Dash) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = await (await dash.get("/metrics", Role.viewer)).text()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_need_a_token(dash: Dash) -> None:
    assert (await dash.get("/metrics", None)).status == 401


async def test_what_is_told(make_dash: Make) -> None:
    cluster = ScriptedCluster(tables={n: table(n, mail=(11, 0, 13)) for n in ("router.1", "router.2")})
    cluster.processes[5] = process(
        "mail.2", "2.2", state="backoff", restarts=2, uptime_s=None, cpu_percent=None
    )
    metrics = await values(await make_dash(cluster))
    assert metrics["luabus_cluster_healthy", ()] == 0
    assert metrics["luabus_routers_consistent", ()] == 1
    assert metrics["luabus_router_up", (("router", "router.1"),)] == 1
    assert metrics["luabus_router_messages_received_total", (("router", "router.2"),)] == 10
    assert metrics["luabus_router_undeliverable_total", (("reason", "no route"), ("router", "router.1"))] == 3
    assert metrics["luabus_group_vacant_slots", (("group", "mail"),)] == 1
    assert metrics["luabus_group_has_master", (("group", "director"),)] == 1
    labels = (("process", "mail.2"), ("service", "mail"))
    assert metrics["luabus_process_restarts_total", labels] == 2
    assert metrics["luabus_process_state", (*labels, ("state", "backoff"))] == 1
    assert metrics["luabus_process_state", (*labels, ("state", "running"))] == 0
    assert metrics["luabus_process_missing", labels] == 0
    assert ("luabus_process_uptime_seconds", labels) not in metrics


async def test_names_follow_the_conventions(dash: Dash) -> None:
    text = await (await dash.get("/metrics")).text()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        assert name.startswith("luabus_")
        assert name.endswith("_total") == (kind == "counter"), name
    assert "python_info" not in text


async def test_a_router_that_is_away_is_down_and_its_totals_are_left_out(make_dash: Make) -> None:
    metrics = await values(await make_dash(ScriptedCluster(up={"router.1": True, "router.2": False})))
    assert metrics["luabus_router_up", (("router", "router.2"),)] == 0
    assert ("luabus_router_messages_received_total", (("router", "router.2"),)) not in metrics


async def test_a_group_is_counted_at_the_answering_router_that_has_it_worst(make_dash: Make) -> None:
    dash = await make_dash()
    mail, director = (("group", "mail"),), (("group", "director"),)
    dash.cluster.up["router.1"] = False
    dash.cluster.tables["router.2"] = table("router.2", mail=(0, 0, 0), master=None)
    await dash.look()
    metrics = await values(dash)
    assert (metrics["luabus_group_vacant_slots", mail], metrics["luabus_group_members", mail]) == (3, 0)
    assert metrics["luabus_group_has_master", director] == 0


async def test_without_a_router_nothing_is_claimed_of_groups(make_dash: Make) -> None:
    dash = await make_dash()
    dash.cluster.up = dict.fromkeys(dash.cluster.up, False)
    await dash.look()
    assert not [name for name, _ in await values(dash) if name.startswith("luabus_group_")]
    assert (await dash.json("/api/v1/status"))["groups"][1]["members"] == 3  # as last known


async def test_openmetrics_for_who_asks_for_it(dash: Dash) -> None:
    answer = await dash.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert answer.content_type == "application/openmetrics-text"
    assert (await answer.text()).endswith("# EOF\n")


async def test_a_service_that_ended_though_it_is_meant_to_be_up_is_missing(make_dash: Make) -> None:
    cluster = ScriptedCluster()
    cluster.processes[5] = process("mail.2", "2.2", state="exited", kind="service", wanted=True, pid=None)
    metrics = await values(await make_dash(cluster))
    assert metrics["luabus_process_missing", (("process", "mail.2"), ("service", "mail"))] == 1
