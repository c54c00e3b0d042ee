"""Many pages of one browser, and a dashboard that goes away and comes back: what the line to the dashboard is good for."""

from __future__ import annotations

import json
import os
import signal

from playwright.sync_api import Page, expect

from tests.dashboard.browser.test_everyone import metric
from tests.dashboard.live import LiveCluster, go

MANY = 12
STALE_MS = 5000
"""A silence of 3.5 s is noticed; the rest is for a busy machine."""


def dashboard_pid(cluster: LiveCluster) -> int:
    (pid,) = [int(p["pid"]) for p in cluster.ask("/api/v1/processes") if p["name"] == "dashboard"]
    return pid


def test_twelve_pages_of_one_browser_all_load_and_all_hear_of_changes(
    page: Page, cluster: LiveCluster
) -> None:
    paths = ["/processes/mail.1", "/processes/mail.2", "/processes/router.1", "/routes", "/", "/processes"]
    pages = [page, *(page.context.new_page() for _ in range(MANY - 1))]
    for number, one in enumerate(pages):
        go(one, cluster, paths[number % len(paths)])
    watchers = metric(cluster, "luabus_dashboard_watchers")
    assert watchers == 1
    cluster.ask("/api/v1/register", {"service_id": "mail.3", "token": 0})
    for number, one in enumerate(pages):
        if paths[number % len(paths)] == "/":
            expect(one.locator("h1")).to_contain_text("mail.3 runs, but is not ready")
        else:
            expect(one.locator("#health")).to_contain_text("mail.3 runs, but is not ready")
    for one in pages[2::6]:
        expect(one.locator("#log")).to_contain_text("mail.3 registered by hand: token")
    cluster.ask("/api/v1/register", {"service_id": "mail.3", "token": "own"})
    for one in pages:
        expect(one.locator("main, #health").filter(has_text="not ready")).to_have_count(0)
    for one in pages:
        expect(one.locator("#live")).to_have_attribute("data-state", "live")


def test_a_browser_without_shared_workers_is_live_as_well(page: Page, cluster: LiveCluster) -> None:
    page.add_init_script("delete window.SharedWorker")
    go(page, cluster, "/processes/router.1")
    expect(page.locator("#log")).to_contain_text("listens", ignore_case=True)
    cluster.ask("/api/v1/register", {"service_id": "mail.3", "token": 0})
    expect(page.locator("#health")).to_contain_text("mail.3 runs, but is not ready")
    cluster.ask("/api/v1/register", {"service_id": "mail.3", "token": "own"})
    expect(page.locator("#health")).not_to_contain_text("not ready")


def test_what_styles_a_terminal_is_left_out_of_a_followed_log(page: Page, cluster: LiveCluster) -> None:
    page.add_init_script("delete window.SharedWorker")  # so that the test can answer in the dashboard's place
    lines = json.dumps({"name": "mail.1", "lines": ["\x1b[1;31mERROR\x1b[0m \x1b]0;t\x07in a[0]"]})
    stream = f"event: lines\ndata: {lines}\n\n"
    page.route(
        "**/api/v1/follow?**", lambda route: route.fulfill(content_type="text/event-stream", body=stream)
    )
    go(page, cluster, "/processes/mail.1")
    expect(page.locator("#log")).to_have_text("ERROR in a[0]")


def test_a_dashboard_that_says_nothing_is_soon_said_to_be_stale(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/processes")
    pid = dashboard_pid(cluster)
    os.kill(pid, signal.SIGSTOP)
    try:
        expect(page.locator("#live")).to_contain_text("Stale since", timeout=STALE_MS)
        assert "grayscale" in page.locator("#health").evaluate("(e) => getComputedStyle(e).filter")
        assert float(page.locator("main").evaluate("(e) => getComputedStyle(e).opacity")) < 1
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    assert page.locator("#health").evaluate("(e) => getComputedStyle(e).filter") == "none"


def test_a_dead_dashboard_is_said_at_once_and_a_new_one_found(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/")
    page.evaluate(
        """() => {
            const sign = document.getElementById("live");
            window.states = [];
            new MutationObserver(() => states.push([sign.dataset.state, performance.now()]))
                .observe(sign, { attributeFilter: ["data-state"] });
        }"""
    )
    before = dashboard_pid(cluster)
    os.kill(before, signal.SIGKILL)
    # The launcher needs longer to start a new one than the page to find out that there is none.
    expect(page.locator("#live")).to_have_attribute("data-state", "stale", timeout=STALE_MS)
    expect(page.locator("#live")).to_have_attribute("data-state", "live", timeout=30_000)
    states = dict(reversed(page.evaluate("states")))
    assert states["stale"] - states["waiting"] < 1500
    assert dashboard_pid(cluster) != before
    # The new one counts its versions anew: what it tells is heard all the same.
    cluster.ask("/api/v1/register", {"service_id": "mail.3", "token": 0})
    expect(page.locator("h1")).to_contain_text("mail.3 runs, but is not ready")
    cluster.ask("/api/v1/register", {"service_id": "mail.3", "token": "own"})
    expect(page.locator("h1")).to_contain_text("Healthy")


def test_the_page_of_a_process_that_was_removed_says_so_and_comes_back_with_it(
    page: Page, cluster: LiveCluster
) -> None:
    def scale(instances: int) -> None:
        cluster.ask("/api/v1/scale", {"service": "mail", "instances": instances})

    scale(4)
    go(page, cluster, "/processes")
    expect(page.locator("tr[data-key='mail.4']")).to_contain_text("running")
    go(page, cluster, "/processes/mail.4")
    expect(page.locator("#log")).to_contain_text("is ready")
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    scale(3)
    expect(page.locator("h1")).to_have_text("The process mail.4 is gone")
    expect(page.locator("main").get_by_role("link", name="To the processes")).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    scale(4)
    expect(page.locator("h1")).to_have_text("mail.4")
    expect(page.locator("#log")).to_contain_text("is ready")
    assert said == []
    scale(3)
    expect(page.locator("h1")).to_have_text("The process mail.4 is gone")


def test_an_address_that_does_not_exist_leads_back(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/nope")
    expect(page.locator("main")).to_contain_text("there is nothing at /nope")
    page.get_by_role("link", name="Routes").click()
    expect(page.locator("h1")).to_have_text("Routes")
