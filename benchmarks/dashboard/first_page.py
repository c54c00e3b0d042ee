"""How long a browser that was never here before takes to show the dashboard, and how much it is sent for it.

    python -m benchmarks.dashboard.first_page        # a cluster, then 12 new browsers for each kind of visit: about five minutes
    python -m benchmarks.dashboard.first_page --visits 30

A real Chromium with a new profile for each visit; times are the browser's own, from the moment that one presses Enter. In turn
with each visit the same browser program opens a bare page (a heading, served by aiohttp), also with a new profile: how much of
the time is the browser's and the machine's, whoever is visited. *Shown* is the largest contentful paint: the overview is there,
with health, figures, topology and events. Its charts and its live line come after that.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from urllib.request import Request, urlopen

from aiohttp import web
from playwright.sync_api import Page, sync_playwright

from benchmarks.children import ROOT
from benchmarks.dashboard.load import CLUSTER

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SETTLE_S = 1.5
"""A browser that was just started is busy with itself; nobody types an address so soon."""
PATIENCE_S = 30.0

BARE = '<!doctype html><html lang="en"><title>bare</title><h1>A bare page</h1>'
WATCH = """(() => {
    const seen = (window.luabusSeen = {});
    new PerformanceObserver((list) => list.getEntries().forEach((one) => { seen.shown = one.startTime; }))
        .observe({ type: "largest-contentful-paint", buffered: true });
    addEventListener("DOMContentLoaded", () => new MutationObserver(() => {
        if (document.querySelector("[data-chart=messages] canvas")) seen.charts ??= performance.now();
        if (document.querySelector("#live[data-state=live]")) seen.live ??= performance.now();
    }).observe(document.documentElement, { subtree: true, childList: true, attributes: true }));
})()"""
FOUND = """() => {
    const [page] = performance.getEntriesByType("navigation");
    const all = [page, ...performance.getEntriesByType("resource")];
    return {
        "first byte": page.responseStart,
        "first paint": performance.getEntriesByName("first-contentful-paint")[0].startTime,
        shown: window.luabusSeen.shown,
        "DOM complete": page.domContentLoadedEventEnd,
        load: page.loadEventEnd,
        charts: window.luabusSeen.charts ?? null,
        live: window.luabusSeen.live ?? null,
        bytes: all.reduce((sum, one) => sum + one.transferSize, 0),
        requests: all.length + page.redirectCount,
    };
}"""

Figures = dict[str, float | None]


def bare(port: int) -> None:
    """The process that serves the bare page."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=BARE, content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/", page)])
    web.run_app(app, host="127.0.0.1", port=port, print=None)


def visit(url: str, path: str, token: str = "", complete: bool = False) -> Figures:
    """Open it in a new browser; with a `token` there is a session already. `complete`: wait for charts and live line as well."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context()
        if token:
            context.request.get(f"{url}/login?token={token}", max_redirects=0)
        page = context.new_page()
        page.add_init_script(WATCH)
        page.wait_for_timeout(1000 * SETTLE_S)
        page.goto(url + path)
        _wait(page, "() => window.luabusSeen.shown")
        if complete:
            _wait(page, "() => window.luabusSeen.charts && window.luabusSeen.live")
        found: Figures = page.evaluate(FOUND)
        browser.close()
        return found


def _wait(page: Page, condition: str) -> None:
    page.wait_for_function(condition, timeout=1000 * PATIENCE_S)


def until_charted(url: str, token: str) -> None:
    """Wait until the dashboard has two values of a chart: one makes no line."""
    asked = Request(
        f"{url}/api/v1/series?kind=messages&window=15m", headers={"Authorization": f"Bearer {token}"}
    )
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        with urlopen(asked, timeout=PATIENCE_S) as answer:
            series = json.load(answer)["series"]
        if any(sum(value is not None for value in one["values"]) > 1 for one in series):
            return
        time.sleep(0.2)
    raise SystemExit(f"the dashboard at {url} has no figures after {PATIENCE_S:g} s")


def measure(url: str, bare_url: str, token: str, visits: int) -> dict[str, list[Figures]]:
    """All visits, the kinds in turn."""
    found: dict[str, list[Figures]] = defaultdict(list)
    for _ in range(visits):
        found["bare page"].append(visit(bare_url, "/"))
        found["login page"].append(visit(url, "/login"))
        found["overview, by the printed link"].append(visit(url, f"/login?token={token}", complete=True))
        found["overview, with a session"].append(visit(url, "/", token, complete=True))
    return found


def show(found: dict[str, list[Figures]]) -> None:
    """Medians and the worst; a ratio is the median of the rounds' ratios to the bare page."""
    visits = len(found["bare page"])
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{visits} new browsers each, {os.cpu_count()} cores, load {load}; ms from pressing Enter")
    for kind, rounds in found.items():
        print(f"  {kind}")
        for key in rounds[0]:
            values = [value for one in rounds if (value := one[key]) is not None]
            if not values:
                continue
            line = f"    {key:<14}median {statistics.median(values):8.0f}   max {max(values):8.0f}"
            if key == "shown" and kind != "bare page":
                ratios = [
                    (one[key] or 0) / (other[key] or 1)
                    for one, other in zip(rounds, found["bare page"], strict=True)
                ]
                line += f"   {statistics.median(ratios):.1f} x the bare page"
            print(line)


def run(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="luabus-first-page-") as name:
        folder = Path(name)
        text = CLUSTER.format(root=ROOT, port=arguments.port, dashboard=arguments.port + 2)
        (folder / "cluster.toml").write_text(text, "utf-8")
        launcher = [sys.executable, "-m", "launcher", "-c", str(folder / "cluster.toml")]
        served = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.dashboard.first_page", "--bare", str(arguments.port + 3)]
        )
        try:
            subprocess.run([*launcher, "up", "-d"], check=True, stdout=subprocess.DEVNULL)
            try:
                token = (folder / "run" / "dashboard.viewer.token").read_text("utf-8").strip()
                url, bare_url = (f"http://127.0.0.1:{arguments.port + number}" for number in (2, 3))
                until_charted(url, token)
                found = measure(url, bare_url, token, arguments.visits)
            finally:
                subprocess.run([*launcher, "down"], check=True, stdout=subprocess.DEVNULL)
        finally:
            served.terminate()
            served.wait()
    show(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--visits", type=int, default=12, help="new browsers for each kind of visit")
    parser.add_argument("--port", type=int, default=31_950, help="the first of four")
    parser.add_argument("--bare", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        bare(arguments.bare)
    else:
        run(arguments)


if __name__ == "__main__":
    main()
