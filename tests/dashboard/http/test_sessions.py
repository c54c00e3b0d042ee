from __future__ import annotations

from dashboard.http.proxies import networks
from dashboard.http.tokens import GUESSES, RENEW_AFTER_S, SESSION_S, Role
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
