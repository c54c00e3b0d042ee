"""Behind a reverse proxy that shows the dashboard under a path of its own; and what happened, as a person looks for it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from playwright.sync_api import Browser, Page, expect

from dashboard.http.proxies import networks
from dashboard.http.tokens import Role
from tests.dashboard.conftest import TOKENS
from tests.dashboard.live import LiveCluster, go
from tests.dashboard.threaded import in_thread, scripted, served

PREFIX = "/bus"
BY_HOP = frozenset({"connection", "content-length", "transfer-encoding"})
CLIENT = "203.0.113.7"


def proxy(port: int, session: aiohttp.ClientSession) -> web.Application:
    """Shows what listens at `port` under the prefix, which it takes away; the headers stay, and it adds for whom."""

    async def forward(request: web.Request) -> web.StreamResponse:
        kept = [(name, value) for name, value in request.headers.items() if name.lower() not in BY_HOP]
        url = f"http://127.0.0.1:{port}{request.path_qs.removeprefix(PREFIX)}"
        headers = [*kept, ("X-Forwarded-For", CLIENT)]
        body = await request.read()
        async with session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            told = [(name, value) for name, value in answer.headers.items() if name.lower() not in BY_HOP]
            result = web.StreamResponse(status=answer.status)
            result.headers.extend(told)
            await result.prepare(request)
            async for chunk in answer.content.iter_any():
                await result.write(chunk)
        return result

    app = web.Application()
    app.router.add_route("*", PREFIX + "/{rest:.*}", forward)
    return app


@asynccontextmanager
async def proxied() -> AsyncIterator[str]:
    """The address by which people reach a dashboard behind a proxy."""
    async with (
        scripted(prefix=PREFIX, trusted_proxies=networks(["127.0.0.1"])) as port,
        aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)) as session,
        served(proxy(port, session)) as outer,
    ):
        yield f"http://127.0.0.1:{outer}{PREFIX}"


@pytest.fixture
def url() -> Iterator[str]:
    with in_thread(proxied) as found:
        yield found


def test_behind_a_path_prefix_one_logs_in_looks_changes_and_takes_back(browser: Browser, url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    outside: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(url) else outside.append(request.url))
    page.goto(f"{url}/routes")
    page.get_by_label("Token").fill(TOKENS[Role.admin])
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{url}/routes")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")

    page.get_by_role("link", name="Overview").click()
    expect(page.locator("h1")).to_have_text("Healthy: 7 processes run, 2 routers agree.")
    page.get_by_role("link", name="Routes").click()

    row = page.locator("#group-2 tr", has_text="mail.2")
    row.get_by_label("Actions for mail.2").click()
    row.get_by_role("button", name="Vacate").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Do it").click()
    expect(row.get_by_text("vacant")).to_have_count(2)
    page.get_by_role("button", name="Undo").click()
    dialog.get_by_role("button", name="Do it").click()
    expect(row.get_by_text("live")).to_have_count(2)

    go_to_events = page.get_by_role("link", name="Events")
    go_to_events.click()
    expect(page.locator(".event .who").first).to_contain_text(CLIENT)
    page.get_by_label("Log out").click()
    expect(page).to_have_url(f"{url}/login")
    context.close()
    assert (errors, outside) == ([], [])


def test_events_are_found_by_words_and_kind_and_each_has_an_address(page: Page, cluster: LiveCluster) -> None:
    for token in (0, "own"):
        cluster.ask("/api/v1/register", {"service_id": "mail.2", "token": token})
    cluster.ask("/api/v1/call", {"route": "random:mail", "method": "stats"})
    go(page, cluster, "/events")
    events = page.locator(".event")
    page.get_by_role("searchbox").press_sequentially("mail.2 vacate")
    expect(page).to_have_url(re.compile("q=mail.2"))
    expect(events.filter(has_not_text=re.compile("vacate", re.IGNORECASE))).to_have_count(0)
    expect(events.first).to_contain_text("admin by bearer")
    page.get_by_role("searchbox").fill("")
    page.get_by_label("Kind").select_option("call")
    expect(page).to_have_url(re.compile("kind=call"))
    expect(events.locator(".kind").filter(has_not_text="call")).to_have_count(0)

    text = events.first.locator(".what").inner_text()
    events.first.locator("a").click()
    expect(page).to_have_url(re.compile(r"/events/\d+$"))
    expect(page.locator("dl")).to_contain_text(text)
    expect(page.locator("dl")).to_contain_text("127.0.0.1")
    page.get_by_role("link", name="Earlier").click()
    expect(page.locator("dl")).not_to_contain_text(text)
    page.get_by_role("link", name="All events up to here").click()
    expect(events.first).not_to_contain_text(text)
    page.goto(f"{cluster.url}/events/99999999")
    expect(page.locator("main")).to_contain_text("has not happened yet")
