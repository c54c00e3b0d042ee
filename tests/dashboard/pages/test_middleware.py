from __future__ import annotations

import pytest

from dashboard.http.proxies import networks
from dashboard.http.tokens import GUESSES
from tests.dashboard.conftest import PAGE, Dash, Make


async def test_every_answer_has_the_headers_that_keep_a_page_safe(dash: Dash) -> None:
    for path in ("/healthz", "/login", "/api/v1/status", "/nothing", "/static/app.js"):
        headers = (await dash.get(path)).headers
        assert "script-src 'self'" in headers["Content-Security-Policy"], path
        assert "unsafe" not in headers["Content-Security-Policy"], path
        assert headers["X-Content-Type-Options"] == "nosniff", path
    assert (await dash.get("/api/v1/status")).headers["Cache-Control"] == "no-store"


async def test_without_a_token_the_api_says_what_is_needed(dash: Dash) -> None:
    answer = await dash.get("/api/v1/status", None)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.content_type == "application/problem+json"
    assert "luabus-cluster token" in (await answer.json())["detail"]


async def test_a_page_leads_to_the_login(dash: Dash) -> None:
    answer = await dash.get("/routes?key=a", None, **PAGE)
    assert (answer.status, answer.headers["Location"]) == (303, "/login?next=%2Froutes%3Fkey%3Da")


async def test_without_one_whoever_says_that_it_forwards_is_not_believed(dash: Dash) -> None:
    for number in range(GUESSES):
        headers = {"Authorization": f"Bearer {number}", "X-Forwarded-For": f"203.0.113.{number}"}
        assert (await dash.get("/healthz", None, **headers)).status == 401
    headers = {"Authorization": "Bearer x", "X-Forwarded-For": "203.0.113.200"}
    assert (await dash.get("/healthz", None, **headers)).status == 429


async def test_the_audit_says_from_where_behind_a_trusted_proxy(make_dash: Make) -> None:
    dash = await make_dash(trusted_proxies=networks(["127.0.0.1"]))
    headers = {"X-Forwarded-For": "203.0.113.7"}
    assert (await dash.post("/api/v1/kill", {"name": "mail.1"}, **headers)).status == 200
    assert dash.cluster.done[-1][-1]["from"] == "203.0.113.7"


async def test_the_scheme_of_the_origin_counts(make_dash: Make) -> None:
    dash = await make_dash(trusted_proxies=networks(["127.0.0.1"]))
    host = f"127.0.0.1:{dash.client.port}"
    kill = {"name": "mail.1"}
    plain, secure = {"Origin": f"http://{host}"}, {"Origin": f"https://{host}"}
    assert (await dash.post("/api/v1/kill", kill, **plain)).status == 200
    refused = await dash.post("/api/v1/kill", kill, **secure)
    assert refused.status == 403
    assert "trusted_proxies" in (await refused.json())["detail"]
    by_tls = {"X-Forwarded-Proto": "https"}
    assert (await dash.post("/api/v1/kill", kill, **secure, **by_tls)).status == 200
    assert (await dash.post("/api/v1/kill", kill, **plain, **by_tls)).status == 403
    # A browser that has compared them itself, at a proxy with TLS that nobody named here.
    assert (
        await dash.post("/api/v1/kill", kill, **secure, **{"Sec-Fetch-Site": "same-origin"})
    ).status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8070", 200), ("127.0.0.1:8070", 200), ("[::1]:8070", 200), ("192.168.1.5", 200),
        ("evil.example", 421), ("localhost.evil.example", 421), ("", 421), ("[::1", 421), ("\u00e9", 421),
        ("evil.example@localhost", 421), ("localhost:x", 421),
    ],
)  # fmt: skip
async def test_only_our_own_names_are_answered(dash: Dash, host: str, status: int) -> None:
    answer = await dash.get("/healthz", Host=host)
    assert answer.status == status or (host == "" and answer.status == 400)


async def test_a_further_name_can_be_allowed(make_dash: Make) -> None:
    dash = await make_dash(hosts=["Board.example"])
    for name in ("board.example:443", "BOARD.EXAMPLE"):
        assert (await dash.get("/healthz", Host=name)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"},
        {"Origin": "null"}, {"Origin": "http://[::1"}, {"Origin": "{x}"}, {"Sec-Fetch-Site": "{x}"}, {"Origin": ""},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
)  # fmt: skip
async def test_nothing_unsafe_from_another_sites_page(dash: Dash, headers: dict[str, str]) -> None:
    answer = await dash.post("/api/v1/kill", {"name": "mail.1"}, **headers)
    assert answer.status == 403
    assert dash.cluster.done == []
    assert (await dash.get("/api/v1/status", **headers)).status == 200


async def test_our_own_pages_and_programs_may(dash: Dash) -> None:
    own = f"http://127.0.0.1:{dash.client.port}"
    for headers in ({}, {"Origin": own, "Sec-Fetch-Site": "same-origin"}):
        assert (await dash.post("/api/v1/kill", {"name": "mail.1"}, **headers)).status == 200


async def test_an_unknown_path_and_method_are_problems_too(dash: Dash) -> None:
    missing = await dash.get("/api/v2/status")
    assert (missing.status, missing.content_type) == (404, "application/problem+json")
    method = await dash.post("/api/v1/status")
    assert (method.status, method.headers["Allow"]) == (405, "GET, HEAD")


async def test_an_error_of_ours_is_500_without_its_traceback(
    dash: Dash, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*args: object) -> object:
        raise ZeroDivisionError("inner secret")

    dash.cluster.tell = broken  # type: ignore[method-assign]
    answer = await dash.post("/api/v1/kill", {"name": "mail.1"})
    assert answer.status == 500
    assert "inner secret" not in await answer.text()
    assert "inner secret" in caplog.text
