"""A real Chromium over a scripted cluster: what a real one shows only now and then, such as names that are HTML (`static/`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from dashboard.auth import Role
from tests.dashboard.browser.conftest import CHROMIUM, FLAGS
from tests.dashboard.conftest import TOKENS, Dash, Make

Open = Callable[..., Awaitable[Page]]


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def open_page(chromium: Browser) -> AsyncIterator[Open]:
    """Opens a page of a dashboard, logged in; an error in its scripts, or a word of the browser's console, fails the test."""
    said: list[str] = []

    async def open_page(dash: Dash, path: str, role: Role = Role.admin, **context: Any) -> Page:
        page = await (await chromium.new_context(**context)).new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda message: said.append(message.text))
        await page.goto(f"{dash.client.make_url('/login')}?token={TOKENS[role]}")
        await go(page, dash, path)
        return page

    yield open_page
    assert said == []


async def go(page: Page, dash: Dash, path: str) -> None:
    """Open another page of it, and wait until it is live."""
    await page.goto(str(dash.client.make_url("/"))[:-1] + path)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")


FIRST_SEEN = """(log) => {
    const { top } = log.getBoundingClientRect();
    return [...log.children].find((line) => line.getBoundingClientRect().top >= top).textContent;
}"""


async def test_who_reads_further_up_in_a_log_stays_at_his_line_however_many_come(
    make_dash: Make, open_page: Open
) -> None:
    dash = await make_dash()
    written = dash.cluster.logs = [f"line {n}" for n in range(1000)]
    page = await open_page(dash, "/processes/mail.1")
    log, found = page.locator("#log"), page.locator("#log-found")

    async def write(count: int, shown: int) -> None:
        for number in range(len(written), len(written) + count):
            written.append(f"line {number}")
            dash.cluster.written.put_nowait(written[-1])
        await expect(found).to_have_text(str(shown))

    at_end = "(log) => log.scrollHeight - log.scrollTop - log.clientHeight < 8"
    await expect(found).to_have_text("1000")
    await write(4300, 5300)
    assert await log.evaluate(at_end)  # who is at the end, follows

    await log.evaluate("(log) => { log.scrollTop = 2000; }")
    reading = await log.evaluate(FIRST_SEEN)
    await write(400, 5700)
    assert await log.evaluate(FIRST_SEEN) == reading
    await log.evaluate("(log) => { log.scrollTop = 80_000; }")
    reading = await log.evaluate(FIRST_SEEN)
    await write(15_000, 20_000)  # too many to keep: the oldest go from above him
    assert await log.evaluate(FIRST_SEEN) == reading

    await log.evaluate("(log) => { log.scrollTop = log.scrollHeight; }")
    await write(10, 5000)
    assert await log.evaluate(at_end)
    await expect(log.locator("div").last).to_have_text(written[-1])

    # Another page joins the stream, which begins anew with the newest thousand: those before are kept.
    await log.evaluate("(log) => { log.scrollTop = 1000; }")
    reading = await log.evaluate(FIRST_SEEN)
    other = await page.context.new_page()
    written.append("the last")
    await go(other, dash, "/processes/mail.2")
    await expect(found).to_have_text("5001")
    assert await log.evaluate(FIRST_SEEN) == reading


async def test_a_phone_shows_of_a_connection_what_it_has_no_columns_for(
    make_dash: Make, open_page: Open
) -> None:
    dash = await make_dash()
    page = await open_page(dash, "/connections?q=mail.1", viewport={"width": 390, "height": 844})
    more = page.locator(".explains").first
    await expect(more).to_have_text(
        "127.0.0.1:5011 · Pending 0 B · Round trip 0.20 ms · Idle < 1 s · Since 5 s"
    )
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await page.set_viewport_size({"width": 800, "height": 800})
    assert await more.inner_text() == "Idle < 1 s · Since 5 s"
    await page.set_viewport_size({"width": 1280, "height": 800})
    await expect(more).to_be_hidden()
