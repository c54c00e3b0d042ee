"""Many pages and many rows: fifty open pages at real routers, 10,000 connections over HTTP and in a real Chromium."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiohttp import ClientResponse
from playwright.async_api import async_playwright, expect

import luabus
from dashboard.http.tokens import Role
from tests.dashboard.browser.conftest import CHROMIUM, FLAGS
from tests.dashboard.cluster import ScriptedCluster, connection
from tests.dashboard.conftest import PAGE, SECRET, TOKENS, Dash, Make, Routed, bearer

LOOKS = 3
PAGES = ["/", "/routes", "/connections", "/processes", "/events", "/try?group=mail", "/api"]
MANY = 10_000


async def requests_in(routed: Routed, looks: int) -> int:
    """What both routers were asked while the poller looked so often."""
    routers, poller, _ = routed
    until = poller.polls + looks
    before = sum(router.stats()["messages_in"] for router in routers)
    while poller.polls < until:
        await poller.changed(poller.snapshot.versions, ("connections", "status"))
    return sum(int(router.stats()["messages_in"]) for router in routers) - before


async def test_fifty_open_pages_cost_the_routers_no_more_than_one(routed: Routed) -> None:
    _, poller, client = routed
    stream = "/api/v1/events?notices=true&topics=status,routes,connections,processes,series"

    async def open_page() -> ClientResponse:
        answer = await client.get(stream, headers=bearer(Role.viewer))
        assert await answer.content.readline() == b"retry: 1000\n"
        return answer

    pages = [await open_page()]
    await requests_in(routed, 1)
    of_one = await requests_in(routed, LOOKS)
    assert of_one >= LOOKS * 2
    pages += [await open_page() for _ in range(49)]
    assert poller.watchers == 50
    began, looked = time.monotonic(), poller.polls
    of_fifty = await requests_in(routed, LOOKS)
    # Each page fetches itself again when it is told to: that is answered from the same look.
    fetched = await asyncio.gather(
        *(client.get("/connections", headers=bearer(Role.viewer)) for _ in range(50))
    )
    assert {answer.status for answer in fetched} == {200}
    assert of_fifty <= of_one * 1.2
    assert poller.polls - looked <= (time.monotonic() - began) + 2
    for page in pages:
        page.close()


async def test_no_page_asks_the_routers_itself(routed: Routed) -> None:
    routers, poller, client = routed
    addresses = [f"127.0.0.1:{router.port}" for router in routers]
    service = luabus.Service("mail", group=2, instance=1, routers=addresses, secret=SECRET)

    @service.rpc
    def stats() -> None: ...

    def requests() -> int:
        return sum(int(router.stats()["messages_in"]) for router in routers)

    async def fetch(path: str) -> None:
        answer = await client.get(path, headers=bearer(Role.viewer) | PAGE)
        assert answer.status == 200
        assert "stats" in await answer.text() or not path.startswith("/try")

    async with service:
        while not poller.snapshot.groups():
            await poller.poll()
        of_one_look = await requests_in(routed, LOOKS) / LOOKS
        for path in PAGES:
            await fetch(path)  # what it shows may have to be asked once, for whoever comes
            before, polls = requests(), poller.polls
            await asyncio.gather(*(fetch(path) for _ in range(50)))
            looks = poller.polls - polls + 1
            assert requests() - before <= looks * of_one_look + 2, path


async def rows(dash: Dash, query: str) -> tuple[list[dict[str, Any]], int]:
    answer = await dash.get(f"/api/v1/connections?{query}", Role.viewer)
    return await answer.json(), int(answer.headers["X-Total-Count"])


@pytest.fixture
async def crowd(make_dash: Make) -> Dash:
    connected = [
        connection(
            f"router.{1 + n % 2}", f"player.{n}", f"9.{n}", n, rtt_ms=(n * 7919 % MANY) / 100, pending_bytes=n
        )
        for n in range(1, MANY + 1)
    ]
    return await make_dash(ScriptedCluster(rows=connected))


async def test_ten_thousand_connections_are_sorted_filtered_and_paged_by_the_server(crowd: Dash) -> None:
    slowest, total = await rows(crowd, "sort=-rtt_ms&limit=3")
    assert total == MANY
    assert [row["rtt_ms"] for row in slowest] == [99.99, 99.98, 99.97]
    matching, total = await rows(crowd, "q=player.123+router.2&sort=-pending_bytes")
    assert total == 6
    assert [row["name"] for row in matching] == [f"player.{n}" for n in (1239, 1237, 1235, 1233, 1231, 123)]
    seen: list[str] = []
    for offset in range(0, MANY, 1000):
        some, _ = await rows(crowd, f"sort=rtt_ms&offset={offset}&limit=1000")
        seen += [row["name"] for row in some]
    assert len(set(seen)) == MANY
    assert (await rows(crowd, f"offset={MANY}"))[0] == []


@pytest.mark.parametrize("query", ["", "?sort=-rtt_ms", "?q=player.99", "?sort=peer&offset=9900"])
async def test_the_page_over_ten_thousand_connections_is_small(crowd: Dash, query: str) -> None:
    answer = await crowd.get(f"/connections{query}", Role.viewer, **PAGE)
    html = await answer.text()
    assert html.count("<tr data-key=") == 100
    assert len(html) < 150_000


async def test_ten_thousand_connections_are_filtered_sorted_and_paged_in_a_browser(crowd: Dash) -> None:
    ranked = [row["name"] for row in sorted(crowd.cluster.rows, key=lambda row: -row["rtt_ms"])]
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await chromium.new_page()
        await page.goto(f"{crowd.client.make_url('/login')}?token={TOKENS[Role.viewer]}")
        await page.goto(str(crowd.client.make_url("/connections")))
        table, count = page.locator(".dense tbody tr:not(.explains)"), page.locator("#count")
        await expect(count).to_have_text("10000 of 10000")
        await expect(table).to_have_count(100)  # what the browser lays out, however many there are

        await page.get_by_role("link", name="Round trip").click()
        await expect(table.first).to_contain_text(ranked[0])
        await page.get_by_role("link", name="Next").click()
        await expect(page.locator(".pager")).to_contain_text("page 2 of 100")
        await expect(table.first).to_contain_text(ranked[100])
        await expect(table.first).to_be_in_viewport()  # one reads on at the top

        await page.get_by_role("searchbox").press_sequentially("player.123 router.2")
        await expect(count).to_have_text("6 of 10000")
        await expect(table).to_have_count(6)
        await expect(table.first).to_contain_text("player.1")
        await expect(page.locator(".pager")).to_have_count(0)

        # A connection that fits comes and goes while one looks: the rows follow by themselves.
        newcomer = connection("router.2", "player.1230000", "9.12345", 99_999, rtt_ms=0.0)
        crowd.cluster.rows.append(newcomer)
        await crowd.look()
        await expect(table).to_have_count(7)
        crowd.cluster.rows.remove(newcomer)
        await crowd.look()
        await expect(table).to_have_count(6)
        assert await page.get_by_role("searchbox").input_value() == "player.123 router.2"
        await chromium.close()
