from __future__ import annotations

import asyncio
import contextlib
import re

import pytest

from dashboard.collector.poller import UNWATCHED_S
from dashboard.http.tokens import Role
from tests.dashboard.cluster import ScriptedCluster, connection, method, process, table
from tests.dashboard.conftest import PAGE, Dash, Make

PATHS = ["/", "/routes", "/connections", "/processes", "/processes/mail.1", "/events", "/try", "/api"]
EVIL = "<img src=x onerror=alert(1)>'\"&"


async def page(dash: Dash, path: str, role: Role = Role.admin, **headers: str) -> str:
    answer = await dash.get(path, role, **(PAGE | headers))
    assert answer.status == 200, await answer.text()
    return await answer.text()


@pytest.mark.parametrize("path", PATHS)
async def test_every_page_is_complete_at_the_first_paint(dash: Dash, path: str) -> None:
    html = await page(dash, path)
    assert "<h1" in html
    assert len(html) < (180_000 if path == "/api" else 60_000)
    for source in re.findall(r'(?:src|href)="([^"]+)"', html):
        assert source.startswith(("/", "#")), source


@pytest.mark.parametrize("path", PATHS)
async def test_nothing_in_a_page_is_script_or_style_of_its_own(dash: Dash, path: str) -> None:
    html = await page(dash, path)
    assert not re.search(r"<script(?![^>]* src=)", html)
    assert not re.search(r"<style|\sstyle=|\son\w+=", html)


@pytest.mark.parametrize("path", PATHS)
async def test_with_everything_dead_no_page_is_blank(make_dash: Make, path: str) -> None:
    dash = await make_dash()
    dash.cluster.up = dict.fromkeys(dash.cluster.up, False)
    dash.cluster.launcher = False
    await dash.look()
    html = await page(dash, path)
    assert "no router answers" in html
    assert "routes are as last known" in html
    assert "mail" in html or path == "/events"


async def test_with_nothing_ever_known_no_page_is_blank_either(make_dash: Make) -> None:
    dash = await make_dash(ScriptedCluster(up={"router.1": False}, launcher=False))
    for path in [path for path in PATHS if not path.startswith("/processes/")]:
        assert "connection refused" in await page(dash, path), path


async def test_a_cluster_without_services_has_every_page(make_dash: Make) -> None:
    empty = {"router": "router.1", "groups": []}
    cluster = ScriptedCluster(
        up={"router.1": True}, tables={"router.1": empty}, processes=[process("router.1", "0.1")]
    )
    dash = await make_dash(cluster)
    for path in [path for path in PATHS if not path.startswith("/processes/")]:
        assert "<h1" in await page(dash, path), path


async def test_what_services_write_is_text(make_dash: Make) -> None:
    evil = table("router.1")
    evil["groups"][1]["name"] = EVIL
    evil["groups"][1]["slots"][0]["name"] = EVIL
    cluster = ScriptedCluster(up={"router.1": True}, tables={"router.1": evil})
    cluster.rows.append(connection("router.1", EVIL, "2.9", 99, peer=EVIL))
    cluster.processes.append(
        process(EVIL, "2.8", service=EVIL, state="failed", exit={"text": EVIL, "stderr": [EVIL]})
    )
    cluster.logs = [{"line": EVIL}]
    dash = await make_dash(cluster)
    dash.context.journal.add("state", EVIL, EVIL, "bad", EVIL, EVIL)
    for path in [*PATHS, "/connections?q=" + "%3Cimg%3E%22", "/routes?group=%3Cimg%3E&key=%22%3E%3Cimg%3E"]:
        html = await page(dash, path)
        assert "<img" not in html, path


async def test_the_sick_row_is_marked(make_dash: Make) -> None:
    cluster = ScriptedCluster()
    cluster.processes[5] = process("mail.2", "2.2", state="failed", exit={"text": "exit code 1"})
    dash = await make_dash(cluster)
    html = await page(dash, "/processes")
    assert re.search(r'data-key="mail.2" class="sick-warn"', html)
    assert html.count("sick-warn") == 2  # the row, and the line below it


async def test_why_a_process_ended_is_told_in_the_list_and_on_its_page(make_dash: Make) -> None:
    cluster = ScriptedCluster()
    stderr = ["Traceback (most recent call last):", "\x1b[31mKeyError: 'the <b>box</b>'\x1b[0m"]
    ended = {"code": 1, "text": "exit code 1", "time": "2026-11-23T17:01:02.345Z", "stderr": stderr}
    detail = "exit code 1; starts again in 2.0 s"
    cluster.processes[5] = process("mail.2", "2.2", state="backoff", pid=None, detail=detail, exit=ended)
    dash = await make_dash(cluster)
    for path in ("/processes", "/processes/mail.2"):
        html = await page(dash, path)
        assert detail in html
        assert "KeyError: &#39;the &lt;b&gt;box&lt;/b&gt;&#39;" in html
        assert 'datetime="2026-11-23T17:01:02.345Z"' in html
        assert "Traceback" in html or path == "/processes"
    assert "What it wrote last" not in await page(dash, "/processes/mail.1")


@pytest.mark.parametrize(
    ("state", "pid", "offered"),
    [("running", 9, "restart stop pause kill"), ("backoff", None, "start stop"), ("exited", None, "start")],
)
async def test_a_process_is_offered_what_makes_sense_in_its_state(
    make_dash: Make, state: str, pid: int | None, offered: str
) -> None:
    cluster = ScriptedCluster()
    cluster.processes = [process("solo.1", None, state=state, pid=pid)]
    dash = await make_dash(cluster)
    assert re.findall(r'data-verb="(\w+)"', await page(dash, "/processes/solo.1")) == offered.split()
    of_service = [verb for verb in offered.split() if verb != "kill"]
    listed = re.findall(r'data-verb="(\w+)"', await page(dash, "/processes"))
    assert listed == [*of_service, *offered.split()]


async def test_actions_are_offered_to_who_may(dash: Dash) -> None:
    assert "data-verb=" not in await page(dash, "/processes", Role.viewer)
    assert 'data-verb="kill"' in await page(dash, "/processes", Role.operator)
    assert "data-verb=" not in await page(dash, "/routes", Role.operator)
    assert 'data-verb="register"' in await page(dash, "/routes", Role.admin)


async def test_where_a_key_goes_is_in_the_page(dash: Dash) -> None:
    html = await page(dash, "/routes?group=mail&key=alice")
    assert re.search(r"bucket 3143.*mail\.3.*next in line: mail\.1", html, re.DOTALL)
    assert "is not a whole number" in await page(dash, "/routes?group=mail&key=alice&type=int")


async def test_of_routers_that_do_not_answer_nothing_is_said_to_agree(dash: Dash) -> None:
    assert "routers agree" in await page(dash, "/routes")
    dash.cluster.up["router.2"] = False
    await dash.look()
    html = await page(dash, "/routes")
    assert "1 of 2 routers answer" in html
    assert "routers agree" not in html


async def test_fifty_pages_cost_one_rendering(dash: Dash, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await page(dash, "/connections")
    requests = dash.cluster.route_requests
    monkeypatch.setattr("dashboard.pages.templating.environment", lambda: pytest.fail("rendered again"))
    for _ in range(50):
        assert await page(dash, "/connections") == first
    assert dash.cluster.route_requests == requests


async def test_ten_thousand_connections_are_shown_by_the_page(make_dash: Make) -> None:
    rows = [connection("router.1", f"player.{n}", f"9.{n}", n, messages_in=n) for n in range(1, 10_001)]
    dash = await make_dash(ScriptedCluster(rows=rows))
    html = await page(dash, "/connections?q=player&offset=200")
    assert html.count("<tr data-key=") == 100
    assert "100 of 10000" in html or "10000 of 10000" in html
    assert "page 3 of 100" in html


async def test_behind_a_proxys_prefix_every_address_has_it(make_dash: Make) -> None:
    dash = await make_dash(prefix="/luabus")
    html = await page(dash, "/")
    assert 'data-base="/luabus"' in html
    for source in re.findall(r'(?:src|href|action)="([^"]+)"', html):
        assert source.startswith(("/luabus/", "#")), source
    answer = await dash.get("/routes", None, **PAGE)
    assert answer.headers["Location"].startswith("/luabus/login?next=")


async def test_the_page_comes_in_the_chosen_theme(dash: Dash) -> None:
    assert "data-theme" not in await page(dash, "/")
    assert 'data-theme="dark"' in await page(dash, "/", Cookie="luabus_theme=dark")
    assert "data-theme" not in await page(dash, "/", Cookie="luabus_theme=x")
    door = await dash.get("/login", None, Cookie="luabus_theme=light")
    assert 'data-theme="light"' in await door.text()


async def test_a_page_shows_what_is_known_and_waits_for_no_router(dash: Dash) -> None:
    requests = dash.cluster.route_requests
    dash.context.poller._polled -= UNWATCHED_S  # as long ago as it can be
    for path in ("/", "/connections", "/processes"):
        await page(dash, path)
    assert dash.cluster.route_requests == requests


async def test_the_page_speaks_the_browsers_language(dash: Dash) -> None:
    assert 'lang="zh"' in await page(dash, "/", **{"Accept-Language": "zh-CN,zh;q=0.9"})
    assert 'lang="en"' in await page(dash, "/", **{"Accept-Language": "fr"})


async def test_a_connections_last_error_is_told_found_and_sorted_by(make_dash: Make) -> None:
    rows = [
        connection(
            "router.1", "mail.1", "2.1", 1, last_error=f"refused {EVIL}", last_error_at=1_800_000_000.0
        ),
        connection("router.1", "mail.2", "2.2", 2),
        connection(
            "router.1", "mail.3", "2.3", 3, last_error="nobody is there", last_error_at=1_800_000_060.0
        ),
    ]
    rows[2]["undeliverable"] = {"no_route": 4}
    dash = await make_dash(ScriptedCluster(rows=rows))
    html = await page(dash, "/connections?sort=-last_error_at")
    assert re.findall(r'data-key="router.1/(\d)"', html) == ["3", "1", "2"]  # those without one are last
    assert re.search(r"2027-01-15T08:01:00Z.*nobody is there · 4 no_route", html)
    assert "refused &lt;img" in html
    assert "<img" not in html
    found = await dash.json("/api/v1/connections?q=nobody+there")
    assert [(row["name"], row["last_error_at"]) for row in found] == [("mail.3", 1_800_000_060.0)]


async def test_the_closed_connections_are_listed_with_their_reasons(make_dash: Make) -> None:
    cluster = ScriptedCluster()
    cluster.closed = [
        {
            "router": "router.1",
            "token": 3,
            "name": "mail.9",
            "reason": f"{EVIL} read too slowly",
            "at": 1_800_000_000.0,
        }
    ]
    dash = await make_dash(cluster)
    html = await page(dash, "/connections")
    assert "read too slowly" in html
    assert "<img" not in html
    assert (await dash.json("/api/v1/connections/closed?q=slowly"))[0]["name"] == "mail.9"
    assert await dash.json("/api/v1/connections/closed?q=quickly") == []


async def test_the_closed_are_filtered_by_router_as_well_and_counted_as_shown(make_dash: Make) -> None:
    cluster = ScriptedCluster()
    told = {"token": 3, "reason": "closed", "at": 1_800_000_000.0}
    cluster.closed = [told | {"router": "router.1", "name": f"mail.{n}"} for n in range(60)]
    dash = await make_dash(cluster)
    html = await page(dash, "/connections")
    assert html.count('data-key="closed-') == 50
    assert "50 of 60" in html
    html = await page(dash, "/connections?router=router.2")
    assert html.count('data-key="closed-') == 0
    assert "No connection fits." in html


async def test_a_promotion_is_offered_where_a_master_is_elected_alone(dash: Dash) -> None:
    html = await page(dash, "/routes")
    assert html.count('data-verb="promote"') == 2
    assert "&#34;service_id&#34;:&#34;1.2&#34;" in html.partition('data-verb="promote"')[2]


async def test_without_routers_the_methods_are_those_that_were_known(dash: Dash) -> None:
    html = await page(dash, "/try?group=mail")
    assert 'data-key="method-stats"' in html
    dash.cluster.up = dict.fromkeys(dash.cluster.up, False)
    await dash.look()
    html = await page(dash, "/try?group=mail")
    assert "No router answers: what mail declares cannot be asked now. This is what was last known." in html
    assert 'data-key="method-stats"' in html
    html = await page(dash, "/try?group=director")
    assert "No router answers: what director declares" in html
    assert "declares no method" not in html


async def test_an_argument_that_no_caller_can_give_is_named(make_dash: Make) -> None:
    boom = method("boom", signature="(x: int, *, why: str = '<b>')", parameters=["x"])
    dash = await make_dash(ScriptedCluster(declared=[boom]))
    html = await page(dash, "/try?group=mail")
    assert "Cannot be given, for arguments travel by position: why." in html
    assert "&#34;more&#34;:false" in html


async def test_fifty_followers_cost_the_routers_one_look(dash: Dash) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(dash.context.poller.watching())
        requests, polls = dash.cluster.route_requests, dash.context.poller.polls
        await asyncio.gather(
            *(page(dash, path) for path in ["/", "/routes", "/connections", "/processes"] * 12)
        )
        assert dash.cluster.route_requests - requests == dash.context.poller.polls - polls <= 2


async def test_ten_thousand_rows_are_filtered_sorted_and_shown_in_a_blink(make_dash: Make) -> None:
    rows = [connection("router.1", f"player.{n}", f"9.{n}", n, messages_in=n) for n in range(1, 10_001)]
    dash = await make_dash(ScriptedCluster(rows=rows))
    html = await page(dash, "/connections?q=player.99&sort=-messages_in")
    assert html.index('data-key="router.1/9999"') < html.index('data-key="router.1/9998"')
    assert len(html) < 150_000


async def test_a_long_name_keeps_its_number_and_its_title_says_it_whole(dash: Dash) -> None:
    name = "a-service-whose-name-was-given-by-someone.12"
    dash.cluster.processes.append(process(name, "9.12"))
    await dash.look()
    html = await page(dash, "/processes")
    assert f'<span class="cut" title="{name}"><span>{name[:-3]}</span><span>.12</span></span>' in html
    assert '<span class="cut" title="mail.1">' not in html


async def test_only_groups_that_are_asked_by_key_count_as_hash_instances(dash: Dash) -> None:
    for tables in dash.cluster.tables.values():
        tables["groups"][0]["mode"] = "random"
    await dash.look()
    html = await page(dash, "/")
    tile = html[html.index("Hash instances") :].partition("</a>")[0]
    assert "<b>3<small> / 3</small></b>" in tile


async def test_a_log_is_shown_without_what_styles_a_terminal(dash: Dash) -> None:
    dash.cluster.logs = [{"line": "\x1b[31mred\x1b[0m words"}]
    assert "<span>red words</span></div>" in await page(dash, "/processes/mail.1")


async def test_what_a_terminal_would_obey_is_in_letters_on_the_page_and_exact_in_the_api(dash: Dash) -> None:
    evil = "a\tb\r\x07\x00\u202ec"
    dash.cluster.logs = [{"line": evil}]
    assert "<span>a\tb\\r\\x07\\x00\\u202ec</span></div>" in await page(dash, "/processes/mail.1")
    told = await dash.json("/api/v1/processes/mail.1/logs")
    assert [line["line"] for line in told["lines"]] == [evil]


async def test_a_logs_lines_have_their_time_and_what_is_the_launchers_is_marked(dash: Dash) -> None:
    time = "2026-01-31T12:00:00.123456Z"
    dash.cluster.logs = [
        {"time": time, "stream": "err", "level": "ERROR", "line": "bad"},
        {"time": time, "stream": "sys", "level": None, "line": "ended: SIGKILL"},
    ]
    html = await page(dash, "/processes/mail.1")
    shown = f'<time datetime="{time}">12:00:00.123</time> '
    assert f'<div class="line-bad line-err" title="{time} · stderr · ERROR">{shown}<span>bad</span>' in html
    assert (
        f'<div class="line-own" title="{time}">{shown}<em>launcher</em> <span>ended: SIGKILL</span>' in html
    )
