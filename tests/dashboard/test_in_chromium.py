"""A real Chromium over a scripted cluster: what a real one shows only now and then, such as names that are HTML (`static/`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

import luabus
from dashboard.collector.cluster_source import Answer
from dashboard.http.tokens import Role
from luabus.errors import RemoteError
from tests.dashboard.browser.conftest import CHROMIUM, FLAGS
from tests.dashboard.cluster import ScriptedCluster, connection, method, process, table
from tests.dashboard.conftest import SECRET, TOKENS, Dash, Make, Routed

# As in the tests of `browser`: what is awaited comes, but not always within five seconds.
expect.set_options(timeout=15_000)

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"

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


EVIL = "<img src=x onerror=document.title='owned'>"
EVERYWHERE = ["/", "/routes", "/connections", "/processes", "/events", "/try?group=9"]


async def stays_text(page: Page) -> None:
    """What is HTML in somebody's words is on the page as it was written, and nothing of it became an element or was run."""
    await expect(page.locator("body")).to_contain_text(EVIL)
    await expect(page.locator("img, main script")).to_have_count(0)
    assert "owned" not in (await page.title()).replace(EVIL, "")


def evil_cluster() -> ScriptedCluster:
    """Every name, log line, close reason, handler's error and event that can be HTML, is."""
    cluster = ScriptedCluster()
    for router, told in cluster.tables.items():
        held = {"service_id": "9.1", "name": EVIL, "token": 99, "share": 1.0}
        told["groups"].append({"group": 9, "name": EVIL, "mode": "hash", "slots": [held]})
        said = {"last_error": EVIL, "last_error_at": 1_800_000_000.0, "undeliverable": {EVIL: 3}}
        cluster.rows.append(connection(router, EVIL, "9.1", 99, peer=EVIL, **said))
    ended = {"code": 1, "text": EVIL, "stderr": [EVIL]}
    cluster.processes.append(process(EVIL, "9.1", service=EVIL, state="failed", exit=ended, detail=EVIL))
    cluster.closed = [{"router": EVIL, "token": 5, "name": EVIL, "peer": EVIL, "reason": EVIL, "at": 1.8e9}]
    cluster.events = [
        {"id": 1, "at": 1.8e9, "kind": EVIL, "name": EVIL, "text": EVIL, "by": EVIL, "from": EVIL}
    ]
    cluster.declared = [method(EVIL, signature=f"({EVIL})", parameters=[EVIL], doc=EVIL)]
    cluster.logs = [EVIL, f"ERROR {EVIL}"]
    return cluster


async def test_html_in_names_logs_reasons_and_errors_is_text(
    make_dash: Make, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = evil_cluster()
    dash = await make_dash(cluster)
    page = await open_page(dash, "/")
    for path in EVERYWHERE:
        await go(page, dash, path)
        await stays_text(page)

    await go(page, dash, f"/processes/{quote(EVIL)}")
    await expect(page.locator("#log")).to_contain_text(f"ERROR {EVIL}")
    cluster.written.put_nowait(f"later {EVIL}")
    await expect(page.locator("#log")).to_contain_text(f"later {EVIL}")
    await page.get_by_placeholder("Search the log …").fill("<IMG")
    await expect(page.locator("#log mark").first).to_have_text("<img")
    await stays_text(page)
    await page.get_by_role("button", name="Start").first.click()
    await expect(page.get_by_role("dialog")).to_contain_text(f"Start {EVIL}?")
    await page.get_by_role("button", name="Do it").click()
    await expect(page.locator(".toast")).to_contain_text(EVIL)
    await stays_text(page)

    async def call(*args: Any) -> list[Answer]:
        return [
            Answer("9.1", None, RemoteError(EVIL, type=EVIL, text=EVIL, traceback=EVIL)),
            Answer("9.1", EVIL),
        ]

    monkeypatch.setattr(cluster, "call", call)
    await go(page, dash, "/try?group=9")
    await page.locator(".method-name").click()
    await page.get_by_label(EVIL, exact=True).fill(EVIL)
    await page.get_by_role("combobox", name="Route").select_option("broadcast")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.locator(".answer-bad pre")).to_contain_text(f"{EVIL}: {EVIL}")
    await stays_text(page)


async def test_a_peer_that_joins_with_html_for_a_name_stays_text(chromium: Browser, routed: Routed) -> None:
    routers, _, client = routed
    manager = luabus.SocketMgr(2, security=luabus.Security.of(SECRET))
    for router in routers:
        stream = manager.connect("127.0.0.1", router.port, 2000)
        await stream.connected()
        await stream.request("luabus.join", 0x0009_0001, EVIL, 1, "")
    page = await chromium.new_page()
    base = str(client.make_url("/"))[:-1]
    await page.goto(f"{base}/login?token={TOKENS[Role.admin]}")
    for path in ("/", "/routes", "/connections"):
        await page.goto(base + path)
        await stays_text(page)
    await manager.close()
    await expect(
        page.locator("section", has_text="Recently closed").locator("tbody tr").first
    ).to_contain_text(EVIL)
    await stays_text(page)


def sick_cluster() -> ScriptedCluster:
    """One in which much is wrong."""
    cluster = ScriptedCluster()
    cluster.tables["router.2"] = table("router.2", mail=(11, 0, 13), master=None)
    cluster.rows[0] |= {"pending_bytes": 1 << 20, "last_error": "it reads too slowly", "last_error_at": 1.8e9}
    ended = {"code": 1, "text": "exit code 1", "stderr": ["ValueError: no"]}
    cluster.processes[-1] |= {
        "state": "failed",
        "pid": None,
        "exit": ended,
        "detail": "gave up after 5 crashes",
    }
    cluster.processes[-2] |= {
        "state": "backoff",
        "pid": None,
        "restarts": 3,
        "exit": ended,
        "detail": "in 4 s",
    }
    cluster.processes[-3] |= {"ready": False}
    cluster.closed = [{"router": "router.1", "token": 5, "name": "mail.2", "reason": "closed", "at": 1.8e9}]
    cluster.events = [
        {
            "id": n,
            "at": 1.8e9 + n,
            "kind": "state",
            "name": "mail.3",
            "text": f"running -> {state}",
            "state": state,
        }
        for n, state in enumerate(("failed", "backoff", "running"), 1)
    ]
    return cluster


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ({"color_scheme": "light"}, ("Vacate", "Do it", "Undo", "Send")),
        (
            {"color_scheme": "dark", "locale": "zh-CN", "viewport": {"width": 390, "height": 844}},
            ("置空", "执行", "撤销", "发送"),
        ),
    ],
    ids=["light", "dark-chinese-phone"],
)
async def test_axe_finds_nothing_serious_where_much_is_wrong(
    make_dash: Make, open_page: Open, context: dict[str, Any], words: tuple[str, str, str, str]
) -> None:
    vacate, yes, undo, send = words
    dash = await make_dash(sick_cluster())
    page = await open_page(dash, "/", reduced_motion="reduce", **context)

    async def passes() -> None:
        if await page.evaluate("typeof axe") == "undefined":
            await page.evaluate(AXE.read_text("utf-8"))
        found = await page.evaluate("axe.run().then((result) => result.violations)")
        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        assert [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in serious] == []
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    for path in (
        "/",
        "/routes?group=mail&key=alice",
        "/connections",
        "/processes",
        "/processes/mail.3",
        "/events",
    ):
        await go(page, dash, path)
        await passes()
    dash.cluster.up["router.2"] = dash.cluster.launcher = False
    await dash.look()
    await go(page, dash, "/")
    await passes()
    dash.cluster.launcher = True
    dash.cluster.up["router.2"] = True
    await dash.look()

    await go(page, dash, "/routes")
    await page.locator("#group-2 summary").first.click()
    await page.get_by_role("button", name=vacate).first.click()
    await expect(page.locator("#confirm-text li").first).to_be_visible()
    await passes()
    await page.get_by_role("button", name=yes).click()
    await expect(page.get_by_role("button", name=undo)).to_be_visible()
    await passes()

    await go(page, dash, "/try?group=mail")
    await page.locator(".method-name").first.click()
    await page.locator("#try-args input").first.fill("1")
    await page.locator("select[name=kind]").select_option("random")
    await page.get_by_role("button", name=send, exact=True).click()
    await expect(page.locator(".answer")).to_have_count(1)
    await passes()


async def test_an_open_page_to_try_follows_and_leaves_what_was_typed(
    make_dash: Make, open_page: Open
) -> None:
    boom = method("boom", calls=1, signature="(x: int, *, why: str = '<b>')", parameters=["x"])
    dash = await make_dash(ScriptedCluster(declared=[boom]))
    page = await open_page(dash, "/try?group=mail")
    await expect(page.locator(".method-figures")).to_contain_text("3 calls")
    await page.locator(".method-name").click()
    # No field for what no caller can give, nor one for more arguments than it takes.
    await expect(page.locator("#try-args label")).to_have_text(["x"])
    await expect(page.locator("#method-list")).to_contain_text("arguments travel by position: why")
    await page.get_by_label("x", exact=True).fill("5")

    dash.cluster.declared = [boom | method("boom", calls=2, signature="(x)", parameters=["x"])]
    await page.get_by_role("combobox", name="Route").select_option("master")
    await page.get_by_label("one way").check()
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.locator(".answer")).to_contain_text("mail has no master now: nobody gets it.")
    await expect(page.locator(".method-figures")).to_contain_text("6 calls")

    await dash.cluster.register("2.2", 0, False, "*")
    await dash.look()
    await expect(page.locator("#health")).to_contain_text("1 of 3 instances vacant")
    await expect(page.get_by_label("x", exact=True)).to_have_value("5")

    dash.cluster.up = dict.fromkeys(dash.cluster.up, False)
    await dash.look()
    await expect(page.locator("main")).to_contain_text(
        "No router answers: what mail declares cannot be asked now."
    )
    await expect(page.locator("#method-list")).to_contain_text("boom")


async def test_a_dialog_says_in_the_readers_language_that_the_dashboard_cannot_be_reached(
    make_dash: Make, chromium: Browser
) -> None:
    dash = await make_dash()
    page = await (await chromium.new_context(locale="zh-CN")).new_page()
    await page.goto(f"{dash.client.make_url('/login')}?token={TOKENS[Role.admin]}")
    await go(page, dash, "/processes/mail.1")
    await page.route("**/api/v1/stop**", lambda route: route.abort())
    await page.get_by_role("button", name="停止").click()
    await expect(page.locator("#confirm-problem")).to_have_text("无法连接到仪表盘。")
    await expect(page.get_by_role("button", name="执行")).to_be_disabled()
