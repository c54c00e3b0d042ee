"""A real cluster, started by the launcher on free ports: routers, three mailboxes, two directors, and the dashboard."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Page, expect

from tests.support.imports import ROOT
from tests.support.ports import free_ports

START_S = 60.0

CONFIG = """
[cluster]
name = "browsed"
run_dir = "run"
env = {{ PYTHONPATH = "{root}" }}
[routers]
count = 2
port = {port}
[dashboard]
port = {dashboard}
[lease]
ttl = 2.0
renew = 0.3
[services.mail]
group = 2
instances = 3
run = "examples.mail:service"
route = "hash"
[services.director]
group = 3
instances = 2
run = "examples.director:service"
route = "master"
"""


def go(page: Page, cluster: LiveCluster, path: str) -> None:
    """Open a page and wait until it is live."""
    page.goto(cluster.url + path)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")


@dataclass
class LiveCluster:
    """`url` of the dashboard; `token` is the admin's."""

    url: str
    folder: Path

    @property
    def token(self) -> str:
        return (self.folder / "run" / "dashboard.token").read_text().strip()

    def ask(self, path: str, body: Any = None) -> Any:
        """Call the HTTP API."""
        request = Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def read(self, path: str) -> str:
        """The text at a path, such as the metrics."""
        request = Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    def put_right(self) -> None:
        """Undo what a test left behind that failed half-way: stopped routers, and slots vacated by hand."""
        for router in ("router.1", "router.2"):
            self.ask("/api/v1/kill", {"name": router, "signal": "SIGCONT"})
        for table in self.ask("/api/v1/routes")["routers"]:
            for slot in (slot for group in table["groups"] for slot in group["slots"] if slot["token"] == 0):
                wanted = {"service_id": slot["service_id"], "token": "own", "router": table["router"]}
                with contextlib.suppress(HTTPError):  # it is just starting: then it joins by itself
                    self.ask("/api/v1/register", wanted)

    def until_healthy(self) -> None:
        """Wait until every process runs and the routers agree on a table without vacancies."""
        deadline = time.monotonic() + START_S
        status: Any = "nothing yet"
        while True:
            try:
                status = self.ask("/api/v1/status")
                if status["level"] == "ok" and status["processes"] == {"running": 8}:
                    return
            except OSError as error:
                status = error
            if time.monotonic() > deadline:
                pytest.fail(
                    f"the cluster did not become healthy in {START_S:g} s. The dashboard says: {status}"
                )
            time.sleep(0.05)


@contextlib.contextmanager
def live_cluster(folder: Path) -> Iterator[LiveCluster]:
    """Start it, wait until it is healthy; stop it and wait until it is gone."""
    first = free_ports(3)
    (folder / "cluster.toml").write_text(CONFIG.format(root=ROOT, port=first, dashboard=first + 2))
    command = [sys.executable, "-m", "launcher", "-c", str(folder / "cluster.toml"), "up"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / "up.log").open("wb") as out:
        launcher = subprocess.Popen(command, env=environ, stdout=out, stderr=out, start_new_session=True)
    try:
        cluster = LiveCluster(f"http://127.0.0.1:{first + 2}", folder)
        cluster.until_healthy()
        yield cluster
    finally:
        launcher.terminate()
        try:
            launcher.wait(30)
        except subprocess.TimeoutExpired:
            launcher.kill()
            launcher.wait()
            raise
