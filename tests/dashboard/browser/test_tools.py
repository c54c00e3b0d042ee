"""What one works with for longer: charts, logs, requests, the API page, scaling; in Chinese as well."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard.live import LiveCluster, go

PATHS = [
    "/",
    "/routes",
    "/connections",
    "/processes",
    "/processes/mail.1",
    "/events",
    "/events/1",
    "/try",
    "/api",
]


def test_charts_are_drawn_and_the_day_is_a_click_away(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/")
    charts = page.locator("[data-chart]")
    expect(charts).to_have_count(4)
    expect(page.locator("[data-chart=messages] canvas")).to_have_count(1, timeout=20_000)
    expect(page.locator("[data-chart=messages] .chart-legend")).to_contain_text(
        re.compile(r"router\.1 [\d.]+.*/s")
    )
    page.get_by_role("button", name="1 day").click()
    with page.expect_response(re.compile("window=1d")):
        page.reload()
    expect(page.get_by_role("button", name="1 day")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="15 minutes").click()


def test_a_log_is_followed_searched_and_paused(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/processes/dashboard")
    log, search = page.locator("#log"), page.get_by_placeholder("Search the log …")
    expect(log).to_contain_text("dashboard listens at")
    search.fill("listens nowhere")
    expect(log).to_contain_text("No line fits.")
    search.fill("LISTENS at")
    expect(log.locator("mark").first).to_have_text("listens")
    search.fill("")

    go(page, cluster, "/processes/router.1")
    expect(log).to_contain_text("listens", ignore_case=True)
    # Other tests register by hand as well: only lines that come after this one count.
    by_hand = log.get_by_text("mail.1 registered by hand: token")
    count = by_hand.count()
    page.get_by_role("button", name="Pause", exact=True).click()
    cluster.ask("/api/v1/register", {"service_id": "mail.1", "token": 0, "router": "router.1"})
    go_on = page.get_by_role("button", name="Go on")
    expect(go_on).to_contain_text("+")
    expect(by_hand).to_have_count(count)
    go_on.click()
    expect(by_hand).to_have_count(count + 1)
    cluster.ask("/api/v1/register", {"service_id": "mail.1", "token": "own", "router": "router.1"})
    expect(by_hand).to_have_count(count + 2)


def test_a_request_is_sent_and_one_sees_who_answered(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/try?group=mail")
    expect(page.locator("#method-list")).to_contain_text("Put a mail from `account` into the receiver's box")
    figures = page.locator("[data-key='method-send_mail'] .method-figures")
    calls = int(figures.inner_text().split()[0])
    page.get_by_role("button", name="send_mail").click()
    page.get_by_role("combobox", name="Route").select_option("hash")
    page.get_by_label("Key", exact=True).fill("alice")
    for name, typed in (("account", "bob"), ("receiver", "alice"), ("title", "hello"), ("body", "<b>x</b>")):
        page.get_by_label(name, exact=True).fill(typed)
    page.get_by_role("button", name="Send", exact=True).click()
    answer = page.locator(".answer").first
    expect(answer).to_contain_text("mail.3")
    expect(answer).to_contain_text(re.compile(r"[\d.]+ (µs|ms)"))
    expect(answer.locator("pre")).to_have_text(re.compile(r"\d+"))
    expect(figures).to_contain_text(f"{calls + 1} calls")

    page.get_by_role("combobox", name="Route").select_option("broadcast")
    page.get_by_role("combobox", name="Method").fill("stats")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator(".answer").first.locator(".answer-one")).to_have_count(3)

    page.get_by_role("combobox", name="Method").fill("no_such_method")
    page.get_by_role("combobox", name="Route").select_option("random")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#try-problem")).to_contain_text("UnknownMethod")
    go(page, cluster, "/events?kind=call")
    expect(page.locator(".events")).to_contain_text("request stats() to broadcast:mail")
    expect(page.locator(".events")).to_contain_text("admin by session")


def test_the_api_is_read_and_tried(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/api")
    key = page.locator("#key")
    key.locator("summary").first.click()
    key.get_by_label("group").fill("mail")
    key.get_by_label("key", exact=False).nth(0).fill("alice")
    key.get_by_role("button", name="Send").click()
    expect(key.locator(".op-status")).to_contain_text("200")
    expect(key.locator(".op-result pre")).to_contain_text('"name": "mail.3"')
    kill = page.locator("#kill")
    kill.locator("summary").first.click()
    kill.get_by_role("button", name="Send").click()
    expect(kill.locator(".op-result pre")).to_contain_text("Send SIGKILL to mail.1?")


def test_a_service_is_scaled_and_restarted_with_its_progress(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/processes")

    def scale(count: str, said: str) -> None:
        page.get_by_label("Actions for mail", exact=True).click()
        page.get_by_role("button", name="Scale…").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Instances").fill(count)
        expect(dialog).to_contain_text(said)
        dialog.get_by_role("button", name="Do it").click()
        expect(dialog).to_be_hidden()

    scale("4", "24 % of the keys of mail move, to mail.4")
    expect(page.locator("tr[data-key='mail.4']")).to_contain_text("running", timeout=15_000)
    scale("3", "mail.4 finishes what it works on and stops.")
    expect(page.locator("tr[data-key='mail.4']")).to_have_count(0, timeout=15_000)

    page.get_by_label("Actions for mail", exact=True).click()
    page.get_by_role("button", name="Restart one by one").click()
    page.get_by_role("dialog").get_by_role("button", name="Do it").click()
    job = page.locator(".job", has_text="restart mail")
    expect(job).to_contain_text("of 3")
    expect(job).to_contain_text("3 of 3", timeout=30_000)
    expect(job).to_contain_text("done")


def test_a_closed_connection_is_listed_with_its_reason(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/connections?q=director.1")
    page.get_by_label("Actions for director.1").first.click()
    page.get_by_role("button", name="Close the connection").click()
    page.get_by_role("dialog").get_by_role("button", name="Do it").click()
    expect(page.locator("section", has_text="Recently closed")).to_contain_text("closed by an administrator")
    # From the launcher's event log, which the command line's changes are in as well.
    go(page, cluster, "/events?kind=close")
    event = page.locator(".events .event").first
    expect(event).to_contain_text("close the connection of director.1 at router.")
    expect(event).to_contain_text("admin by session (dashboard) · 127.0.0.1")


@pytest.mark.parametrize("path", PATHS)
def test_every_page_is_chinese_for_a_chinese_browser(
    cluster: LiveCluster, browser: Browser, path: str
) -> None:
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()
    page.goto(f"{cluster.url}/login?token={cluster.token}")
    go(page, cluster, path)
    expect(page.locator("#live")).to_have_text("实时")
    expect(page.locator("nav").first).to_contain_text("试一试")
    assert (
        re.search("[\u4e00-\u9fff]", page.locator("h1").inner_text())
        or path == "/processes/mail.1"
        or path == "/api"
    )
    context.close()


def test_html_in_names_keys_and_messages_is_text(page: Page, cluster: LiveCluster) -> None:
    evil = "<img src=x onerror=document.title='owned'>"
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    asked = {"route": f"hash:mail:{evil}", "method": "send_mail", "args": [evil] * 4}
    cluster.ask("/api/v1/call", asked)
    for path, place in (
        ("/events?kind=call", ".events"),
        (f"/routes?group=mail&key={quote(evil)}", "input[name=key]"),
        (f"/connections?q={quote(evil)}", "input[name=q]"),
    ):
        go(page, cluster, path)
        shown = page.locator(place)
        if place == ".events":
            expect(shown).to_contain_text(evil)
        else:
            expect(shown).to_have_value(evil)
        expect(page.locator("img")).to_have_count(0)
        assert page.title() != "owned"
    assert said == []


def test_a_page_whose_session_ended_asks_for_the_token_again(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/connections")
    # Nobody looks, so that it is the typing that finds out and no change that comes at the same moment.
    page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", { value: true, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    page.context.clear_cookies()
    page.get_by_role("searchbox").fill("mail")
    expect(page).to_have_url(re.compile("/login"))
    page.get_by_label("Token").fill(cluster.token)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{cluster.url}/connections?q=mail")
