"""What a person sees and does: the first things one does with a cluster."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.dashboard.live import LiveCluster, go


def test_the_printed_url_logs_in_and_the_overview_tells_the_health(page: Page, cluster: LiveCluster) -> None:
    expect(page.locator("h1")).to_have_text("Healthy: 8 processes run, 2 routers agree.")
    drawing = page.locator(".topology-wide")
    for name in ("router.1", "router.2", "mail.1", "mail.3", "director.2"):
        expect(drawing.locator("text").filter(has_text=name).first).to_be_visible()
    expect(drawing.locator("path.line.preferred")).to_have_count(5)


def leave(page: Page) -> None:
    """End the session; not on a page that is open, which would find out at a time of its own and go to the login by itself."""
    page.goto("about:blank")
    page.context.clear_cookies()


def test_without_a_session_one_is_asked_for_the_token(cluster: LiveCluster, page: Page) -> None:
    leave(page)
    page.goto(f"{cluster.url}/routes")
    page.get_by_label("Token").fill("a wrong one")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("not right")
    page.get_by_label("Token").fill(cluster.token)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("h1")).to_have_text("Routes")


def test_a_token_after_the_hash_logs_in_without_crossing_the_network_in_a_url(
    cluster: LiveCluster, page: Page
) -> None:
    leave(page)
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.goto(f"{cluster.url}/login#token={cluster.token}")
    expect(page).to_have_url(f"{cluster.url}/")
    assert not any(cluster.token in url for url in seen)


def test_the_routing_table_is_seen_and_an_entry_vacated_and_taken_back(
    page: Page, cluster: LiveCluster
) -> None:
    go(page, cluster, "/routes")
    row = page.locator("#group-2 tr", has_text="mail.2")
    expect(row.get_by_text("live")).to_have_count(2)
    expect(page.locator("#group-3 .master-row")).to_contain_text(re.compile(r"director\.[12]"))

    row.get_by_label("Actions for mail.2").click()
    row.get_by_role("button", name="Vacate").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("33 % of the keys of mail move, to mail.3 (17 %), mail.1 (16 %)")
    dialog.get_by_role("button", name="Do it").click()
    expect(row.get_by_text("vacant")).to_have_count(2)
    expect(page.locator("#health")).to_contain_text("mail.2 runs, but is not ready")

    page.get_by_role("button", name="Undo").click()
    expect(dialog).to_contain_text("33 % of the keys of mail move, to mail.2 (33 %)")
    dialog.get_by_role("button", name="Do it").click()
    expect(row.get_by_text("live")).to_have_count(2)


def test_where_a_key_goes_changes_with_a_vacancy_without_reload(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/routes")
    page.get_by_placeholder("a key, such as an account name").fill("alice")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#places")).to_contain_text("bucket 3143 → mail.3")
    cluster.ask("/api/v1/register", {"service_id": "mail.3", "token": 0})
    expect(page.locator("#places")).to_contain_text("mail.1 when all are there: mail.3")
    cluster.ask("/api/v1/register", {"service_id": "mail.3", "token": "own"})
    expect(page.locator("#places")).not_to_contain_text("when all are there")


def test_registering_by_hand_tells_about_unknown_names(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/routes")
    page.get_by_role("button", name="Register…").click()
    page.get_by_label("Service id or name").fill("mial.1")
    page.get_by_role("button", name="Continue…").click()
    expect(page.get_by_role("dialog")).to_contain_text("did you mean 'mail.1'")
    expect(page.get_by_role("button", name="Do it")).to_be_disabled()


def test_a_kill_arrives_live_and_the_process_comes_back(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/processes")
    row = page.locator("tr[data-key='mail.1']")
    expect(row).to_contain_text("running")
    (before,) = [p["pid"] for p in cluster.ask("/api/v1/processes") if p["name"] == "mail.1"]
    row.get_by_label("Actions for mail.1").click()
    row.get_by_role("button", name="Kill…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("It ends at once")
    expect(dialog).to_contain_text("it is started again, for its restart policy is on-failure")
    dialog.get_by_role("button", name="Do it").click()
    expect(row).to_contain_text("SIGKILL", timeout=15_000)
    expect(row).to_contain_text("running", timeout=15_000)
    (after,) = [p["pid"] for p in cluster.ask("/api/v1/processes") if p["name"] == "mail.1"]
    assert after != before


def test_a_dialog_says_what_follows_a_signal_and_so_it_comes(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/processes/mail.1")
    buttons = page.locator(".group-buttons")
    buttons.get_by_role("button", name="Kill…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("it is started again, for its restart policy is on-failure")
    dialog.get_by_label("Signal").select_option("SIGTERM")
    expect(dialog).to_contain_text(
        "It ends with exit code 0: it stays down, for its restart policy is on-failure."
    )
    dialog.get_by_role("button", name="Do it").click()
    expect(page.locator(".page-head .state")).to_have_text("exited")
    expect(page.locator("#health")).to_contain_text("mail.1 has ended (exit code 0) and stays down")
    expect(buttons.get_by_role("button")).to_have_text(["Start"])
    buttons.get_by_role("button", name="Start").click()
    dialog.get_by_role("button", name="Do it").click()
    expect(page.locator(".page-head .state")).to_have_text("running")
    expect(dialog).to_be_hidden()

    # A button that makes no sense any more goes, and the keyboard goes on beside it.
    buttons.get_by_role("button", name="Kill…").focus()
    cluster.ask("/api/v1/kill", {"name": "mail.1", "signal": "SIGTERM"})
    expect(buttons.get_by_role("button", name="Start")).to_be_focused()
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Do it").press("Enter")
    expect(page.locator(".page-head .state")).to_have_text("running")


def test_on_a_phone_the_figures_of_a_process_are_below_its_name(page: Page, cluster: LiveCluster) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    go(page, cluster, "/processes")
    below = page.locator("tr[data-key='mail.2/more']")
    expect(below).to_be_visible()
    for name in ("Restarts", "CPU", "Memory", "Last exit"):
        expect(below).to_contain_text(name)
    page.set_viewport_size({"width": 1280, "height": 800})
    expect(below).to_be_hidden()


def test_how_a_process_ended_is_not_cut_off_by_wide_figures(page: Page, cluster: LiveCluster) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    go(page, cluster, "/processes")
    assert page.evaluate(WIDEST) == 0


WIDEST = """() => {
    const widest = ["not ready", "23 h 59 min", "1234", "100 %", "1003 MiB", "4194304", "exit code 137"];
    for (const { cells } of document.querySelectorAll("tbody tr:not(.service-row, .explains)")) {
        cells[1].firstChild.className = "state state-not-ready";
        for (const [at, text] of widest.entries()) {
            const cell = at ? cells[at + 1] : cells[1].firstChild;
            cell.lastChild.data = text;
            // A line of the last minutes comes with the second value of them.
            if (!cell.matches(".sparked") || cell.querySelector("svg")) continue;
            cell.insertAdjacentHTML("afterbegin", '<svg class="spark"></svg>');
        }
    }
    const { scrollWidth, clientWidth } = document.querySelector(".scroll");
    return scrollWidth - clientWidth;
}"""
"""Writes what takes most room into the table; by how much it then is wider than its place."""


def test_a_master_switch_is_seen_without_reload(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/routes")
    cell = page.locator("#group-3 .master-row td b").first
    master = cell.inner_text()
    cluster.ask("/api/v1/kill", {"name": master, "signal": "SIGKILL"})
    other = {"director.1": "director.2", "director.2": "director.1"}[master]
    expect(cell).to_have_text(other, timeout=20_000)


def test_another_instance_is_promoted_and_the_events_say_by_whom(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/routes")
    cells = page.locator("#group-3 .master-row td b")
    master = cells.first.inner_text()
    other = {"director.1": "director.2", "director.2": "director.1"}[master]
    row = page.locator("#group-3 tr", has_text=other).first
    row.get_by_label(f"Actions for {other}").click()
    row.get_by_role("button", name="Promote to master").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(master)  # who loses it is said before
    expect(dialog).to_contain_text(other)
    dialog.get_by_role("button", name="Do it").click()
    expect(cells).to_have_text([other, other])
    expect(page.locator("#group-3 .master-row")).to_contain_text("epoch")

    page.get_by_role("button", name="Undo").click()
    dialog.get_by_role("button", name="Do it").click()
    expect(cells).to_have_text([master, master])
    go(page, cluster, "/events?q=promote")
    entry = page.locator(".event", has_text=other).first
    expect(entry).to_contain_text("admin")
    expect(entry).to_contain_text("127.0.0.1")


def test_the_log_of_a_process_is_shown(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/processes/mail.2")
    expect(page.locator("#log")).to_contain_text("is ready")


def test_connections_are_filtered_while_typing(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/connections")
    page.get_by_role("searchbox").press_sequentially("director router.2")
    expect(page.locator(".dense tbody tr:not(.explains)")).to_have_count(2)
    assert "q=director" in page.url
    page.get_by_role("link", name="Peer").first.click()
    expect(page.locator("[aria-sort]")).to_contain_text("Peer")


def test_with_every_router_dead_the_page_says_so_and_shows_what_it_knew(
    page: Page, cluster: LiveCluster
) -> None:
    go(page, cluster, "/routes")
    for router in ("router.1", "router.2"):
        cluster.ask("/api/v1/kill", {"name": router, "signal": "SIGSTOP"})
    try:
        expect(page.get_by_text("these tables are what was last known")).to_be_visible(timeout=15_000)
        expect(page.locator("#health")).to_contain_text("Down: no router answers")
        expect(page.locator("#group-2")).to_contain_text("mail.3")
    finally:
        for router in ("router.1", "router.2"):
            cluster.ask("/api/v1/kill", {"name": router, "signal": "SIGCONT"})
    expect(page.get_by_text("routers agree", exact=True)).to_be_visible(timeout=15_000)


@pytest.mark.parametrize(
    "path", ["/", "/routes", "/connections", "/processes", "/processes/mail.1", "/events"]
)
def test_nothing_sticks_out_of_a_phone(page: Page, cluster: LiveCluster, path: str) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    go(page, cluster, path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_the_theme_follows_the_system_until_one_chooses(page: Page, cluster: LiveCluster) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(background)
    page.emulate_media(color_scheme="light")
    light = page.evaluate(background)
    assert dark != light
    page.get_by_label("Light or dark").click()
    assert page.evaluate(background) == dark
    page.reload()
    assert page.evaluate(background) == dark


def tab_to(page: Page, place: Locator) -> None:
    """Press Tab until the keyboard is there."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if place.evaluate("(element) => element === document.activeElement"):
            return
    pytest.fail(f"{place} is not reached with Tab")


def test_the_keyboard_alone_is_enough(page: Page, cluster: LiveCluster) -> None:
    """From the door to a process that gets another signal than usual: nothing is clicked, and no script moves the keyboard."""
    leave(page)
    page.goto(f"{cluster.url}/login")
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type(cluster.token)
    page.keyboard.press("Enter")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    tab_to(page, page.locator("nav").get_by_role("link", name="Processes"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{cluster.url}/processes")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")

    row = page.locator("tr[data-key='mail.2']")
    summary = row.get_by_label("Actions for mail.2")

    def kill() -> None:
        page.keyboard.press("Enter")
        expect(row.get_by_role("button", name="Restart", exact=True)).to_be_focused()
        page.keyboard.press("ArrowUp")  # the last, from the first
        expect(row.get_by_role("button", name="Kill…")).to_be_focused()
        page.keyboard.press("Enter")

    tab_to(page, summary)
    page.keyboard.press("Enter")
    expect(row.get_by_role("button", name="Restart", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(summary).to_be_focused()
    kill()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Send SIGKILL to mail.2?")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(summary).to_be_focused()

    kill()
    expect(dialog).to_be_visible()
    signal = dialog.get_by_label("Signal")
    if not signal.evaluate("(element) => element === document.activeElement"):
        tab_to(page, signal)
    page.keyboard.type("SIGHUP")
    expect(dialog).to_contain_text("Send SIGHUP to mail.2?")
    expect(dialog.get_by_role("button", name="Do it")).to_be_enabled()
    tab_to(page, dialog.get_by_role("button", name="Do it"))
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(row).to_contain_text("SIGHUP")
    expect(row).to_contain_text("running")


def test_an_entry_is_removed_and_put_back_by_mouse(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/routes")
    row = page.locator("#group-3 tr[data-key='3.2']")
    dialog, yes = page.get_by_role("dialog"), page.get_by_role("button", name="Do it")
    row.get_by_label("Actions for director.2").click()
    row.get_by_role("button", name="Remove").click()
    expect(dialog).to_contain_text("Messages to director.2 answer NoRoute")
    yes.click()
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(dialog).to_contain_text("Register director.2?")
    yes.click()
    expect(row.get_by_text("live")).to_have_count(2)
    go(page, cluster, "/events?kind=register")
    expect(page.locator(".event").nth(1)).to_contain_text("remove director.2 at every router")
    expect(page.locator(".event").nth(0)).to_contain_text("register director.2 at every router")


def test_a_process_is_stopped_and_started_by_mouse(page: Page, cluster: LiveCluster) -> None:
    go(page, cluster, "/processes")
    row = page.locator("tr[data-key='mail.3']")
    dialog = page.get_by_role("dialog")
    for verb, said, state in (
        ("Stop", "stays stopped until", "exited"),
        ("Start", "Start mail.3?", "running"),
    ):
        row.get_by_label("Actions for mail.3").click()
        row.get_by_role("button", name=verb, exact=True).click()
        expect(dialog).to_contain_text(said)
        dialog.get_by_role("button", name="Do it").click()
        expect(row).to_contain_text(state)


def test_a_viewer_is_offered_nothing_that_changes_anything(cluster: LiveCluster, browser: Browser) -> None:
    token = (cluster.folder / "run" / "dashboard.viewer.token").read_text().strip()
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{cluster.url}/login?token={token}")
    for path in ("/", "/routes", "/connections", "/processes", "/processes/mail.1", "/events"):
        go(page, cluster, path)
        expect(page.locator("h1")).to_be_visible()
        expect(page.locator("[data-verb], [data-open], details.menu")).to_have_count(0)
    go(page, cluster, "/try?group=mail")
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_disabled()
    expect(page.locator("main")).to_contain_text("Sending needs the role operator; you are viewer.")
    context.close()


def test_the_keyboard_goes_on_where_it_was_after_a_yes_and_after_a_refusal(
    page: Page, cluster: LiveCluster
) -> None:
    go(page, cluster, "/routes")
    summary = page.locator("#group-2").get_by_label("Actions for mail.2")
    dialog = page.get_by_role("dialog")

    def choose(number: int) -> None:
        summary.focus()
        page.keyboard.press("Enter")
        expect(page.locator("details[open] .item").first).to_be_focused()
        for _ in range(number):
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(dialog).to_be_visible()

    # Refused, and given up: back at the menu.
    choose(1)
    page.route("**/api/v1/register", lambda route: route.fulfill(status=409, json={"detail": "not today"}))
    dialog.get_by_role("button", name="Do it").press("Enter")
    expect(dialog).to_contain_text("not today")
    expect(dialog.get_by_role("button", name="Do it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(summary).to_be_focused()
    page.unroute("**/api/v1/register")

    # Done: at the button that takes it back, and then at the menu again.
    choose(1)
    dialog.get_by_role("button", name="Do it").press("Enter")
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_focused()
    undo.press("Enter")
    expect(dialog).to_contain_text("33 % of the keys of mail move, to mail.2")
    dialog.get_by_role("button", name="Do it").press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.locator("#group-2")).not_to_contain_text("when all are there")

    go(page, cluster, "/processes/mail.2")
    restart = page.get_by_role("button", name="Restart")
    restart.press("Enter")
    dialog.get_by_role("button", name="Do it").press("Enter")
    expect(dialog).to_be_hidden()
    expect(restart).to_be_focused()


def test_a_chart_that_has_lost_its_figures_shows_its_message_over_no_line(
    page: Page, cluster: LiveCluster
) -> None:
    go(page, cluster, "/")
    chart = page.locator("[data-chart=messages]")
    expect(chart.locator("canvas")).to_have_count(1, timeout=20_000)
    page.route(
        "**/api/v1/series?kind=messages**",
        lambda route: route.fulfill(json={"kind": "messages", "unit": "/s", "at": [], "series": []}),
    )
    page.evaluate("dispatchEvent(new Event('luabus:series'))")
    expect(chart).to_contain_text("Two values are needed")
    expect(chart.locator("canvas")).to_have_count(0)
    page.unroute("**/api/v1/series?kind=messages**")
    page.evaluate("dispatchEvent(new Event('luabus:series'))")
    expect(chart.locator("canvas")).to_have_count(1)
