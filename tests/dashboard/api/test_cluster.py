from __future__ import annotations

from tests.dashboard.cluster import ScriptedCluster, connection, table
from tests.dashboard.conftest import Dash, Make


async def test_healthz_is_open(dash: Dash) -> None:
    answer = await dash.get("/healthz", None)
    assert await answer.json() == {"status": "ok"}


async def test_status(dash: Dash) -> None:
    status = await dash.json("/api/v1/status")
    assert status["sentence"] == "Healthy: 7 processes run, 2 routers agree."
    assert [g["name"] for g in status["groups"]] == ["director", "mail"]


async def test_processes_have_the_promised_fields(dash: Dash) -> None:
    rows = await dash.json("/api/v1/processes")
    promised = {
        "name", "service", "service_id", "state", "pid", "restarts", "uptime_s", "cpu_percent", "rss_bytes", "exit",
    }  # fmt: skip
    assert promised <= set(rows[0])


async def test_routes_have_the_promised_shape(dash: Dash) -> None:
    routes = await dash.json("/api/v1/routes")
    assert routes["consistent"] is True
    group = routes["routers"][0]["groups"][0]
    assert {"group", "name", "master", "epoch", "slots"} <= set(group)
    assert group["master"] == "1.1"
    assert {"service_id", "name", "token"} <= set(group["slots"][0])


async def test_connections_filter_sort_and_page(make_dash: Make) -> None:
    rows = [connection("router.1", f"player.{n}", f"9.{n}", n, messages_in=n) for n in range(1, 501)]
    dash = await make_dash(ScriptedCluster(rows=rows))
    answer = await dash.get("/api/v1/connections?q=player&sort=-messages_in&limit=2&offset=1")
    assert [row["token"] for row in await answer.json()] == [499, 498]
    assert answer.headers["X-Total-Count"] == "500"
    assert await dash.json("/api/v1/connections?router=router.2") == []
    promised = {
        "router", "token", "service_id", "name", "peer", "rtt_ms", "idle_s", "pending_bytes", "messages_in",
        "messages_out", "bytes_in", "bytes_out", "connected_s",
    }  # fmt: skip
    assert promised <= set((await dash.json("/api/v1/connections"))[0])


async def test_logs(dash: Dash) -> None:
    dash.cluster.logs = [{"time": "t", "name": "mail.1", "stream": "out", "line": "hello"}]
    line = {"time": "t", "name": "mail.1", "stream": "out", "level": None, "line": "hello"}
    assert await dash.json("/api/v1/processes/mail.1/logs?lines=5") == {"name": "mail.1", "lines": [line]}
    assert (await dash.get("/api/v1/processes/mail.1/logs?since=10m")).status == 200
    wrong = await dash.get("/api/v1/processes/mail.1/logs?since=soon")
    assert (wrong.status, "allowed: 10m" in str(await wrong.json())) == (422, True)
    missing = await dash.get("/api/v1/processes/mial.1/logs")
    assert missing.status == 404
    assert "did you mean 'mail.1'" in (await missing.json())["detail"]


async def test_where_a_key_goes(make_dash: Make) -> None:
    dash = await make_dash(
        ScriptedCluster(tables={n: table(n, mail=(11, 0, 13)) for n in ("router.1", "router.2")})
    )
    places = await dash.json("/api/v1/routes/key?group=mail&key=5&type=int")
    assert (places["hash"], places["agree"]) == (5, True)
    assert [(p["bucket"], p["owner"], p["name"], p["next"], p["moved"]) for p in places["routers"]] == [
        (5, "mail.2", "mail.3", "mail.1", True),
        (5, "mail.2", "mail.3", "mail.1", True),
    ]
    assert (await dash.json("/api/v1/routes/key?group=2&key=alice"))["hash"] == 663665735
    assert (await dash.get("/api/v1/routes/key?group=mial&key=a")).status == 404
    assert (await dash.get("/api/v1/routes/key?group=mail&key=a&type=int")).status == 422


async def test_without_routers_reading_says_what_it_can(make_dash: Make) -> None:
    dash = await make_dash(ScriptedCluster(up={"router.1": False, "router.2": False}))
    assert (await dash.get("/api/v1/connections")).status == 503
    assert [r["connected"] for r in (await dash.json("/api/v1/routes"))["routers"]] == [False, False]
    assert (await dash.json("/api/v1/status"))["level"] == "bad"


async def test_without_a_launcher_processes_are_503(make_dash: Make) -> None:
    dash = await make_dash(ScriptedCluster(launcher=False))
    answer = await dash.get("/api/v1/processes")
    assert answer.status == 503
    assert "control.json" in (await answer.json())["detail"]


async def test_history_pages_forward(dash: Dash) -> None:
    for name in ("mail.1", "mail.2", "mail.3"):
        await dash.post("/api/v1/close", {"router": "router.1", "token": 10 + int(name[-1])})
    await dash.look()
    first = await dash.json("/api/v1/history?after=1&limit=1&kind=close")
    assert [e["subject"] for e in first["events"]] == ["mail.2"]
    rest = await dash.json(f"/api/v1/history?after={first['next']}")
    assert [e["subject"] for e in rest["events"]] == ["mail.3"]
    assert (await dash.json(f"/api/v1/history?after={rest['next']}"))["next"] == rest["next"]
