from __future__ import annotations

from dashboard.app import make_app
from dashboard.http.endpoints import TABLE
from dashboard.pages.assets import address
from tests.dashboard.conftest import Dash


async def test_what_the_interfaces_promise_is_served(dash: Dash) -> None:
    promised = {
        ("GET", "/healthz"), ("GET", "/metrics"), ("GET", "/api/v1/openapi.json"), ("GET", "/api/v1/status"),
        ("GET", "/api/v1/processes"), ("GET", "/api/v1/processes/{name}/logs"), ("GET", "/api/v1/routes"),
        ("GET", "/api/v1/connections"), ("GET", "/api/v1/events"), ("POST", "/api/v1/register"),
        ("POST", "/api/v1/kill"), ("POST", "/api/v1/start"), ("POST", "/api/v1/stop"), ("POST", "/api/v1/restart"),
        ("POST", "/api/v1/scale"),
    }  # fmt: skip
    assert promised <= {(one.method, one.path) for one in TABLE}


async def test_static_files_are_served(dash: Dash) -> None:
    answer = await dash.get(address("morph.js"), None)
    assert (answer.status, answer.content_type) == (200, "text/javascript")


async def test_an_event_wakes_the_pages(dash: Dash) -> None:
    before = dash.context.poller.snapshot.versions["events"]
    dash.context.journal.add("state", "mail.1", "changed")
    assert dash.context.poller.snapshot.versions["events"] == before + 1
    assert make_app(dash.context) is not None
