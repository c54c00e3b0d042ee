"""The first page is quick for reasons that can be counted: what a browser new to it asks for, when, and how much.

How quick it is then on a machine, `python -m benchmarks.dashboard.first_page` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard.live import LiveCluster

MOST_BYTES = 150_000
ANSWER = ("responseHeadersSize", "responseBodySize")
FILES = """() => ({
    painted: performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
    named: (document.documentElement.dataset.scripts ?? "").split(" "),
    files: performance.getEntriesByType("resource").filter(({ name }) => name.includes("/static/")).map((one) => ({
        path: new URL(one.name).pathname,
        blocks: one.renderBlockingStatus === "blocking",
        began: one.startTime,
        bytes: one.transferSize,
    })),
})"""
"""Of an open page: when it was painted, the scripts that it names, and the files that it fetched."""


@pytest.fixture
def stranger(browser: Browser, cluster: LiveCluster) -> Iterator[Page]:
    """A page in a browser that was never here before."""
    cluster.until_healthy()
    with browser.new_context() as context:
        yield context.new_page()


def visit(page: Page, url: str) -> dict[str, Any]:
    """Open it, wait until it is complete, charts and live line included, and tell what it fetched."""
    page.goto(url)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    expect(page.locator("[data-chart=messages] canvas")).to_have_count(1)
    found: dict[str, Any] = page.evaluate(FILES)
    return found


def test_all_of_the_first_visit_is_small(stranger: Page, cluster: LiveCluster) -> None:
    sizes: list[int] = []
    stranger.on("requestfinished", lambda one: sizes.append(sum(one.sizes()[part] for part in ANSWER)))
    visit(stranger, f"{cluster.url}/login?token={cluster.token}")
    assert 50_000 < sum(sizes) < MOST_BYTES, sizes


def test_nothing_but_the_page_and_its_sheet_comes_before_the_first_paint(
    stranger: Page, cluster: LiveCluster
) -> None:
    found = visit(stranger, f"{cluster.url}/login?token={cluster.token}")
    assert [name(file) for file in found["files"] if file["blocks"]] == ["style.css"]
    ahead = {name(file) for file in found["files"] if file["began"] < found["painted"]}
    assert ahead <= {"style.css", "start.js", "icon.svg"}


def test_no_script_is_found_late(stranger: Page, cluster: LiveCluster) -> None:
    """What one script imports, the page has named already: a browser need not read the one to ask for the other."""
    found = visit(stranger, f"{cluster.url}/login?token={cluster.token}")
    scripts = {file["path"] for file in found["files"] if file["path"].endswith(".js")}
    assert {path.rpartition("/")[2] for path in scripts - set(found["named"])} == {
        "start.js",
        "uPlot.iife.min.js",
    }
    assert set(found["named"]) < scripts


def test_of_the_second_visit_only_the_page_is_sent(stranger: Page, cluster: LiveCluster) -> None:
    visit(stranger, f"{cluster.url}/login?token={cluster.token}")
    again = visit(stranger, f"{cluster.url}/?again")
    assert {name(file) for file in again["files"] if file["bytes"]} == set()


def test_the_login_page_needs_its_sheet_alone(stranger: Page, cluster: LiveCluster) -> None:
    stranger.goto(f"{cluster.url}/login")
    expect(stranger.get_by_label("Token")).to_be_visible()
    assert [name(file) for file in stranger.evaluate(FILES)["files"] if file["blocks"]] == ["style.css"]


def name(file: dict[str, Any]) -> str:
    return str(file["path"]).rpartition("/")[2]
