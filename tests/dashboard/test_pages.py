from __future__ import annotations

import re

import pytest

from dashboard.auth import Role
from dashboard.login import local
from tests.dashboard.cluster import ScriptedCluster, connection, process, table
from tests.dashboard.conftest import PAGE, TOKENS, Dash, Make

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
    assert len(html) < (120_000 if path == "/api" else 60_000)
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
    assert "no router answers; routes are as last known" in html
    assert "mail" in html or path == "/events"


async def test_with_nothing_ever_known_no_page_is_blank_either(make_dash: Make) -> None:
    dash = await make_dash(ScriptedCluster(up={"router.1": False}, launcher=False))
    for path in PATHS[:4]:
        assert "connection refused" in await page(dash, path)


async def test_what_services_write_is_text(make_dash: Make) -> None:
    evil = table("router.1")
    evil["groups"][1]["name"] = EVIL
    evil["groups"][1]["slots"][0]["name"] = EVIL
    cluster = ScriptedCluster(up={"router.1": True}, tables={"router.1": evil})
    cluster.rows.append(connection("router.1", EVIL, "2.9", 99, peer=EVIL))
    cluster.processes.append(process(EVIL, "2.8", service=EVIL, state="failed", exit=EVIL))
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
    assert re.search(r'data-key="mail.2" class="sick-bad"', html)
    assert html.count("sick-bad") == 1


async def test_actions_are_offered_to_who_may(dash: Dash) -> None:
    assert "data-verb=" not in await page(dash, "/processes", Role.viewer)
    assert 'data-verb="kill"' in await page(dash, "/processes", Role.operator)
    assert "data-verb=" not in await page(dash, "/routes", Role.operator)
    assert 'data-verb="register"' in await page(dash, "/routes", Role.admin)


async def test_where_a_key_goes_is_in_the_page(dash: Dash) -> None:
    html = await page(dash, "/routes?group=mail&key=alice")
    assert re.search(r"slot 2.*mail\.3", html, re.DOTALL)
    assert "is not a whole number" in await page(dash, "/routes?group=mail&key=alice&type=int")


async def test_fifty_pages_cost_one_rendering(dash: Dash, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await page(dash, "/connections")
    asked = dash.cluster.asked
    monkeypatch.setattr("dashboard.templating.environment", lambda: pytest.fail("rendered again"))
    for _ in range(50):
        assert await page(dash, "/connections") == first
    assert dash.cluster.asked == asked


async def test_ten_thousand_connections_are_shown_by_the_page(make_dash: Make) -> None:
    rows = [connection("router.1", f"player.{n}", f"9.{n}", n, messages_in=n) for n in range(1, 10_001)]
    dash = await make_dash(ScriptedCluster(rows=rows))
    html = await page(dash, "/connections?q=player&offset=200")
    assert html.count("<tr data-key=") == 100
    assert "100 of 10000" in html or "10000 of 10000" in html
    assert "page 3 of 100" in html


async def test_the_printed_url_logs_in(dash: Dash) -> None:
    answer = await dash.get(f"/login?token={TOKENS[Role.operator]}&next=/routes", None)
    assert (answer.status, answer.headers["Location"]) == (303, "/routes")
    assert (await (await dash.get("/api/v1/session", None)).json()) == {"role": "operator", "by": "session"}


async def test_the_form_logs_in_and_out(dash: Dash) -> None:
    wrong = await dash.client.post("/login", data={"token": "x", "next": "/"}, headers=PAGE)
    assert wrong.status == 401
    assert "not right" in await wrong.text()
    right = await dash.client.post(
        "/login", data={"token": TOKENS[Role.admin], "next": "/"}, allow_redirects=False
    )
    assert (right.status, right.headers["Location"]) == (303, "/")
    assert (await dash.get("/login", None)).status == 303
    out = await dash.client.post("/logout", allow_redirects=False)
    assert (out.status, out.headers["Location"]) == (303, "/login")
    assert (await (await dash.get("/api/v1/session", None)).json())["role"] is None


@pytest.mark.parametrize(
    "target",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "routes", "/a\nb", "/\t/e"],
)  # fmt: skip
def test_after_the_login_one_stays_here(target: str) -> None:
    assert local(target) == "/"


async def test_behind_a_proxys_prefix_every_address_has_it(make_dash: Make) -> None:
    dash = await make_dash(prefix="/luabus")
    html = await page(dash, "/")
    assert 'data-base="/luabus"' in html
    for source in re.findall(r'(?:src|href|action)="([^"]+)"', html):
        assert source.startswith(("/luabus/", "#")), source
    answer = await dash.get("/routes", None, **PAGE)
    assert answer.headers["Location"].startswith("/luabus/login?next=")


async def test_the_page_speaks_the_browsers_language(dash: Dash) -> None:
    assert 'lang="zh"' in await page(dash, "/", **{"Accept-Language": "zh-CN,zh;q=0.9"})
    assert 'lang="en"' in await page(dash, "/", **{"Accept-Language": "fr"})
