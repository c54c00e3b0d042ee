"""For everyone: axe looks at every page in light and dark; a hidden tab costs nothing; actions stay in reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.browser.test_tools import PATHS
from tests.dashboard.live import LiveCluster, go

AXE = Path(__file__).parents[1] / "vendor" / "axe-core" / "axe.min.js"
HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
"""Makes a page believe that it is in a tab that nobody sees, or that somebody sees it again."""


def complaints(page: Page, options: str) -> list[str]:
    """What axe finds serious or critical, with the places."""
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE.read_text("utf-8"))
    found: list[dict[str, Any]] = page.evaluate(f"axe.run({options}).then((result) => result.violations)")
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def in_light_and_dark(page: Page) -> list[str]:
    """Everything in light; in dark what can differ there."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    found = complaints(page, "{}")
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    return found + complaints(page, "{ runOnly: ['color-contrast'] }")


@pytest.mark.parametrize("path", PATHS)
def test_axe_finds_nothing_serious(page: Page, cluster: LiveCluster, path: str) -> None:
    go(page, cluster, path)
    for summary in page.locator("details.operation > summary").all()[:4]:
        summary.click()
    assert in_light_and_dark(page) == []


def test_axe_finds_nothing_serious_in_a_dialog_and_at_the_door(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/processes/mail.1")
    page.get_by_role("button", name="Kill…").click()
    expect(page.get_by_role("dialog")).to_contain_text("Send SIGKILL")
    assert in_light_and_dark(page) == []
    page.context.clear_cookies()
    page.goto(f"{cluster.url}/login")
    assert in_light_and_dark(page) == []


def test_a_hidden_tab_asks_for_nothing(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/processes/mail.1")
    expect(page.locator("[data-chart] canvas")).to_have_count(2)  # the page has all that it came for
    page.evaluate(HIDE, True)
    while metric(cluster, "luabus_dashboard_watchers"):  # the dashboard finds out that the line was dropped
        page.wait_for_timeout(50)
    # Two looks of the poller later: whatever listens would have been told by now.
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    polls = metric(cluster, "luabus_dashboard_polls_total")
    while metric(cluster, "luabus_dashboard_polls_total") < polls + 3:
        page.wait_for_timeout(100)
    assert metric(cluster, "luabus_dashboard_watchers") == 0
    assert asked == []
    page.evaluate(HIDE, False)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    assert asked


def metric(cluster: LiveCluster, name: str) -> float:
    (line,) = [line for line in cluster.read("/metrics").splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


@pytest.mark.parametrize("path", ["/processes", "/connections", "/routes"])
def test_actions_stay_in_reach_however_wide_the_rows_are(page: Page, cluster: LiveCluster, path: str) -> None:
    go(page, cluster, path)
    page.evaluate(HIDE, True)
    for width in (1280, 1100, 900, 768, 400):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(WIDENED)
        assert page.evaluate(OUT_OF_REACH) == [], width
    # The menu lies above the rows below it; scrolling closes it, so that must be over.
    page.locator(".actions summary").first.scroll_into_view_if_needed()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.locator(".actions summary").first.click()
    page.locator(".actions .item").first.click(trial=True)


WIDENED = """() => {
    for (const name of document.querySelectorAll("table:has(.actions) tbody th")) {
        if (!name.textContent.includes("xxx")) name.append("x".repeat(60)); // a fetch under way may have taken it away
    }
    dispatchEvent(new Event("luabus:shown"));
    const { scrollWidth, clientWidth, classList } = document.querySelector(".scroll:has(.actions)");
    return scrollWidth - clientWidth > 2 === classList.contains("more");
}"""
"""Gives each row a long name; whether the table says at its edge that there is more."""
OUT_OF_REACH = """[...document.querySelectorAll(".actions summary")].filter((one) => {
    scrollBy(0, one.getBoundingClientRect().top - innerHeight / 2);
    const { left, right, top, bottom } = one.getBoundingClientRect();
    const there = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return right > innerWidth || !one.contains(there);
}).map((one) => one.getAttribute("aria-label"))"""
