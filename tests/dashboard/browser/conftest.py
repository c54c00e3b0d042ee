"""A logged-in page in a real Chromium over a real cluster, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.dashboard.live import LiveCluster, live_cluster

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


# Two cores may be shared with much else: what is awaited comes, but not always within the five seconds of the default.
expect.set_options(timeout=15_000)


OUTCOME = pytest.StashKey[pytest.TestReport]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[OUTCOME] = report
    return report


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCluster]:
    folder: Path = tmp_path_factory.mktemp("browsed")
    with live_cluster(folder) as started:
        yield started


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture
def page(cluster: LiveCluster, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A logged-in page of a person who was never here before; an error in its scripts fails the test."""
    cluster.until_healthy()
    errors: list[str] = []
    context = browser.new_context()
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{cluster.url}/login?token={cluster.token}")
    expect(page).to_have_url(f"{cluster.url}/")
    yield page
    context.close()
    # What a test that fails leaves undone must not fail those after it.
    report = request.node.stash.get(OUTCOME, None)
    if report is not None and report.failed:
        cluster.put_right()
    assert errors == []
