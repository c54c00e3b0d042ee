from __future__ import annotations

import asyncio

import pytest

from dashboard.http.proxies import networks
from dashboard.http.tokens import GUESSES, LONGEST_SESSION_S, RENEW_AFTER_S, SESSION_S, Role
from tests.dashboard.conftest import PAGE, TOKENS, Dash, Make


async def test_a_wrong_token_is_401_and_guessing_ends_in_429(dash: Dash) -> None:
    for number in range(GUESSES):
        answer = await dash.get("/api/v1/status", None, Authorization=f"Bearer guess-{number}")
        assert answer.status == 401
    answer = await dash.get("/api/v1/status", None, Authorization="Bearer one-more")
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) >= 1
    dash.clock.at += 60
    assert (await dash.get("/api/v1/status", None, Authorization="Bearer guess-a")).status == 401


async def test_whoever_guesses_locks_out_nobody_who_knows(dash: Dash) -> None:
    entered = await dash.client.get(f"/login?token={TOKENS[Role.viewer]}", allow_redirects=False)
    assert entered.status == 303
    for number in range(GUESSES + 5):
        await dash.get("/api/v1/status", None, Authorization=f"Bearer guess-{number}")
    assert (await dash.get("/api/v1/status", None, Authorization="Bearer one-more")).status == 429
    assert (await dash.get("/api/v1/status")).status == 200  # the token itself
    assert (await dash.get("/api/v1/status", None)).status == 200  # the session
    wrong = await dash.client.post("/login", data={"token": "yet-another"}, headers=PAGE)
    assert wrong.status == 429
    right = {"token": TOKENS[Role.admin], "next": "/"}
    assert (await dash.client.post("/login", data=right, allow_redirects=False)).status == 303


async def test_behind_a_trusted_proxy_each_has_a_limit_of_its_own(make_dash: Make) -> None:
    dash = await make_dash(trusted_proxies=networks(["127.0.0.1"]))
    for number in range(GUESSES + 1):
        await dash.get(
            "/healthz", None, Authorization=f"Bearer {number}", **{"X-Forwarded-For": "203.0.113.7"}
        )
    for address, status in (("203.0.113.7", 429), ("203.0.113.8", 401)):
        headers = {"Authorization": "Bearer x", "X-Forwarded-For": address}
        assert (await dash.get("/healthz", None, **headers)).status == status
    assert (
        "203.0.113.7"
        in await (
            await dash.get("/healthz", None, Authorization="Bearer y", **{"X-Forwarded-For": "203.0.113.7"})
        ).text()
    )


async def test_a_session_that_came_over_tls_is_never_sent_without(make_dash: Make) -> None:
    dash = await make_dash(trusted_proxies=networks(["127.0.0.1"]))
    path = f"/login?token={TOKENS[Role.viewer]}"
    for proto, secure in (("https", True), ("http", False)):
        entered = await dash.get(path, None, **{"X-Forwarded-Proto": proto})
        assert bool(entered.cookies["luabus_session_8070"]["secure"]) is secure


async def test_another_scheme_than_bearer_is_told(dash: Dash) -> None:
    answer = await dash.get("/api/v1/status", None, Authorization="Basic YTpi")
    assert answer.status == 401
    assert "Bearer" in (await answer.json())["detail"]


async def test_a_session_is_renewed_while_it_is_used_and_ends_when_not(dash: Dash) -> None:
    entered = await dash.get(f"/login?token={TOKENS[Role.viewer]}", None)
    first = entered.cookies["luabus_session_8070"]
    assert (first["httponly"], first["samesite"]) == (True, "Strict")
    dash.clock.at += RENEW_AFTER_S - 10
    assert "luabus_session_8070" not in (await dash.get("/api/v1/session", None)).cookies
    dash.clock.at += 20
    assert "luabus_session_8070" in (await dash.get("/api/v1/session", None)).cookies
    dash.clock.at += SESSION_S + 1
    assert (await (await dash.get("/api/v1/session", None)).json())["role"] is None


COOKIE = "luabus_session_8070"


async def test_logging_out_ends_every_copy_of_the_session_and_no_other(dash: Dash) -> None:
    entered = [await dash.get(f"/login?token={TOKENS[Role.admin]}", None) for _ in range(2)]
    mine, another = (answer.cookies[COOKIE].value for answer in entered)
    dash.client.session.cookie_jar.clear()

    async def role(cookie: str) -> str | None:
        answer = await dash.get("/api/v1/session", None, Cookie=f"{COOKIE}={cookie}")
        told: str | None = (await answer.json())["role"]
        return told

    dash.clock.at += RENEW_AFTER_S + 10
    renewed = (await dash.get("/api/v1/session", None, Cookie=f"{COOKIE}={mine}")).cookies[COOKIE].value
    dash.client.session.cookie_jar.clear()
    assert [await role(cookie) for cookie in (mine, renewed, another)] == ["admin"] * 3
    out = await dash.client.post("/logout", headers={"Cookie": f"{COOKIE}={renewed}"}, allow_redirects=False)
    assert out.status == 303
    dash.client.session.cookie_jar.clear()
    assert [await role(cookie) for cookie in (mine, renewed, another)] == [None, None, "admin"]
    dash.client.session.cookie_jar.clear()
    assert (await dash.get("/api/v1/status", None, Cookie=f"{COOKIE}={mine}")).status == 401


async def test_a_stream_ends_with_its_session(dash: Dash, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.api.event_stream.NOTICE_HEARTBEAT_S", 0.05)
    await dash.get(f"/login?token={TOKENS[Role.viewer]}", None)
    async with dash.client.get("/api/v1/events?notices=true") as stream:
        assert stream.status == 200
        await stream.content.readline()
        await dash.client.post("/logout", headers=PAGE, allow_redirects=False)
        async with asyncio.timeout(5):
            await stream.content.read()
    assert stream.content.at_eof()


async def test_a_stream_ends_with_the_token_of_its_session(
    dash: Dash, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.api.event_stream.NOTICE_HEARTBEAT_S", 0.05)
    await dash.get(f"/login?token={TOKENS[Role.viewer]}", None)
    async with dash.client.get("/api/v1/events?notices=true") as stream:
        await stream.content.readline()
        dash.context.tokens.replace({**TOKENS, Role.viewer: "another-token-of-a-viewer"})
        async with asyncio.timeout(5):
            await stream.content.read()
    assert stream.content.at_eof()


async def test_a_session_ends_however_often_it_was_used(dash: Dash) -> None:
    await dash.get(f"/login?token={TOKENS[Role.viewer]}", None)
    used_s = 0
    while (await (await dash.get("/api/v1/session", None)).json())["role"] is not None:
        dash.clock.at += SESSION_S / 2
        used_s += SESSION_S // 2
    assert used_s == LONGEST_SESSION_S
