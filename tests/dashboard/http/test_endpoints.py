from __future__ import annotations

import asyncio

import pytest

from dashboard.http.endpoints import MOST_BODY_BYTES, TABLE
from dashboard.http.tokens import Role
from tests.dashboard.conftest import Dash, bearer


def test_reading_needs_the_viewer_and_changing_more() -> None:
    for one in TABLE:
        if one.method == "GET":
            assert one.role in (None, Role.viewer), one.path
        else:
            assert one.role in (Role.operator, Role.admin), one.path


@pytest.mark.parametrize("one", [one for one in TABLE if one.method == "POST"], ids=lambda one: one.path)
async def test_a_role_that_is_too_low_is_403(dash: Dash, one: object) -> None:
    answer = await dash.post(one.path, {}, Role.viewer)  # type: ignore[attr-defined]
    assert answer.status == 403
    assert "viewer" in (await answer.json())["detail"]


async def test_a_wrong_query_is_422_with_the_place(dash: Dash) -> None:
    for path, at in (
        ("/api/v1/connections?limit=0", "limit"),
        ("/api/v1/connections?sort=nonsense", "sort"),
        ("/api/v1/status?what=1", "what"),
        ("/api/v1/connections?q=a&q=b", "q"),
        ("/api/v1/processes/mail.1/logs?since=bogus", "since"),
    ):
        answer = await dash.get(path)
        assert answer.status == 422, path
        told = await answer.json()
        assert [one["at"] for one in told["errors"]] == [at]
        assert "Value error" not in told["detail"]


async def test_a_wrong_body_is_422_with_the_place(dash: Dash) -> None:
    answer = await dash.post("/api/v1/register", {"service_id": "2.1", "token": "x", "extra": 1})
    assert answer.status == 422
    assert {one["at"]: one["message"] for one in (await answer.json())["errors"]} == {
        "extra": "is not known here",
        "token": "found 'x'; allowed: a connection's token (a number below 2^32), 0, null or \"own\"",
    }


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"name": "\\ud800"}'])
async def test_what_is_no_json_object_is_422(dash: Dash, body: bytes) -> None:
    headers = bearer(Role.admin) | {"Content-Type": "application/json"}
    answer = await dash.client.post("/api/v1/kill", data=body, headers=headers)
    assert answer.status == 422, await answer.text()


@pytest.mark.parametrize(
    ("path", "body", "at"),
    [
        ("kill", '{"name": "mail.1", "name": "mail.2"}', "name"),
        ("kill", '{"name": "mail.1", "signal": "SIGTERM", "signal": "SIGKILL"}', "signal"),
        ("call", '{"route": "target:mail.1", "method": "m", "args": [{"a": {"b": 1, "b": 2}}]}', "b"),
    ],
)
async def test_a_key_that_is_given_twice_is_422(dash: Dash, path: str, body: str, at: str) -> None:
    headers = bearer(Role.admin) | {"Content-Type": "application/json"}
    answer = await dash.client.post(f"/api/v1/{path}", data=body, headers=headers)
    assert answer.status == 422, await answer.text()
    assert [one["at"] for one in (await answer.json())["errors"]] == [at]


async def test_a_body_that_does_not_come_is_408(dash: Dash, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.http.endpoints.BODY_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", dash.client.port)
    head = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    writer.write(f"{head}Content-Length: 10\r\n\r\ntok".encode())
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_another_content_type_is_415(dash: Dash) -> None:
    answer = await dash.client.post("/api/v1/kill", data="name=mail.1", headers=bearer(Role.admin))
    assert answer.status == 415


async def test_a_body_without_end_is_413(dash: Dash) -> None:
    headers = bearer(Role.admin) | {"Content-Type": "application/json"}
    big = b'{"name": "' + b"a" * MOST_BODY_BYTES + b'"}'
    answer = await dash.client.post("/api/v1/kill", data=big, headers=headers)
    assert answer.status == 413
    assert dash.cluster.done == []
