from __future__ import annotations

import pytest

from dashboard.http.tokens import Role
from tests.dashboard.cluster import process
from tests.dashboard.conftest import PAGE, Dash, Make

CHINESE = {"Accept-Language": "zh-CN"}


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nope", 404, "there is nothing at /nope"),
        ("/processes/mial.1", 404, "did you mean &#39;mail.1&#39;?"),
        ("/connections?sort=bogus", 422, "sort: "),
        ("/events?after=abc", 422, "after: "),
        ("/logout", 405, "GET is not for /logout; allowed: POST"),
    ],
)
async def test_a_person_gets_a_page_with_navigation(dash: Dash, path: str, status: int, said: str) -> None:
    answer = await dash.get(path, **PAGE)
    html = await answer.text()
    assert (answer.status, answer.content_type) == (status, "text/html")
    assert said in html
    assert 'href="/routes"' in html
    chinese = await (await dash.get(path, **PAGE, **CHINESE)).text()
    assert "返回概览" in chinese or "查看进程列表" in chinese


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nope", 404), ("/connections?sort=bogus", 422), ("/api/v1/nope", 404)],
)
async def test_a_program_gets_a_problem_document(dash: Dash, path: str, status: int) -> None:
    answer = await dash.get(path, Accept="application/json")
    assert (answer.status, answer.content_type) == (status, "application/problem+json")


async def test_under_api_a_browser_gets_one_too(dash: Dash) -> None:
    answer = await dash.get("/api/v1/nope", **PAGE)
    assert (answer.status, answer.content_type) == (404, "application/problem+json")


async def test_a_stranger_is_told_nothing_of_the_cluster(dash: Dash) -> None:
    answer = await dash.get("/nope", None, **PAGE)
    html = await answer.text()
    assert answer.status == 404
    assert "/routes" not in html
    assert "processes" not in html
    other = await dash.get("/", **PAGE, Host="evil.example")
    assert (other.status, other.content_type) == (421, "text/html")
    assert "allow_host = [&#34;evil.example&#34;] under [dashboard]" in await other.text()


async def test_an_error_of_ours_is_a_page_and_when_pages_fail_a_document(
    dash: Dash, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> object:
        raise ZeroDivisionError("inner secret")

    monkeypatch.setattr("dashboard.pages.page_handlers.routing_tables.group_tables", broken)
    answer = await dash.get("/routes", **PAGE)
    assert (answer.status, answer.content_type) == (500, "text/html")
    assert "inner secret" not in await answer.text()
    monkeypatch.setattr("dashboard.pages.error_pages.render", broken)
    answer = await dash.get("/routes", **PAGE)
    assert (answer.status, answer.content_type) == (500, "application/problem+json")


async def test_a_page_that_is_open_when_its_process_goes_is_told_so(make_dash: Make) -> None:
    dash = await make_dash()
    dash.cluster.processes.append(process("mail.4", "2.4"))
    await dash.look()
    script = {"Sec-Fetch-Dest": "empty"} | PAGE
    assert 'data-view="page"' in await (await dash.get("/processes/mail.4", Role.viewer, **script)).text()
    del dash.cluster.processes[-1]
    await dash.look()
    answer = await dash.get("/processes/mail.4", Role.viewer, **script)
    html = await answer.text()
    assert answer.status == 200
    assert 'data-view="gone"' in html
    assert "The process mail.4 is gone" in html
    assert 'href="/processes"' in html
    assert (await dash.get("/processes/mail.4", Role.viewer, **PAGE)).status == 404
