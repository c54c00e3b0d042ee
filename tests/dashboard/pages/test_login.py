from __future__ import annotations

import pytest

from dashboard.http.tokens import Role
from dashboard.pages.login import local
from tests.dashboard.conftest import PAGE, TOKENS, Dash


async def test_the_printed_url_logs_in(dash: Dash) -> None:
    answer = await dash.get(f"/login?token={TOKENS[Role.operator]}&next=/routes", None)
    assert (answer.status, answer.headers["Location"]) == (303, "/routes")
    assert (await (await dash.get("/api/v1/session", None)).json()) == {"role": "operator", "by": "session"}


async def test_the_form_logs_in_and_out(dash: Dash) -> None:
    wrong = await dash.client.post("/login", data={"token": "x", "next": "/"}, headers=PAGE)
    assert wrong.status == 401
    assert "not right" in await wrong.text()
    right = await dash.client.post(
        "/login", data={"token": TOKENS[Role.admin], "next": "/"}, allow_redirects=False
    )
    assert (right.status, right.headers["Location"]) == (303, "/")
    assert (await dash.get("/login", None)).status == 303
    out = await dash.client.post("/logout", allow_redirects=False)
    assert (out.status, out.headers["Location"]) == (303, "/login")
    assert (await (await dash.get("/api/v1/session", None)).json())["role"] is None


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "routes", "/a\nb", "/\t/e",
        "http://[::1", "//[::1",
    ],
)  # fmt: skip
def test_after_the_login_one_stays_here(target: str) -> None:
    assert local(target) == "/"


async def test_a_next_that_is_no_address_is_ignored(dash: Dash) -> None:
    answer = await dash.get(f"/login?token={TOKENS[Role.viewer]}&next=http://[::1", None)
    assert (answer.status, answer.headers["Location"]) == (303, "/")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "multipart/form-data"}, b"x", 415),
        ({"Content-Type": "application/x-www-form-urlencoded; charset=nope"}, b"token=x", 401),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"token=\xff&next=%ff", 401),
        ({"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}, b"token=x", 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"a=b&" * 2000, 422),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"a" * 70_000, 413),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"", 401),
    ],
)
async def test_a_form_that_is_none_is_told_so(
    dash: Dash, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = await dash.client.post("/login", data=body, headers=headers, allow_redirects=False)
    assert answer.status == status
