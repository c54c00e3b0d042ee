from __future__ import annotations

import json
import re
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest

from dashboard.http.problems import ApiError, from_luabus, likely, not_found, response
from dashboard.http.tokens import Role
from luabus import errors
from tests.dashboard.conftest import Dash, bearer


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.Refused("no such token"), 409), (errors.Forbidden("not you"), 403),
        (errors.NotConnected("nobody"), 503), (errors.NoRoute("nobody"), 404),
        (errors.NoMaster("none"), 503), (errors.RequestTimeout("late"), 504), (errors.PeerLost("gone"), 502),
        (errors.RouterLost("gone"), 502), (errors.Overloaded("full"), 503), (errors.BadArguments("what"), 422),
        (errors.RemoteError("raised"), 502), (errors.ProtocolError("what"), 502), (errors.LuabusError("?"), 502),
    ],
)  # fmt: skip
def test_each_luabus_error_has_its_status_and_keeps_its_words(error: errors.LuabusError, status: int) -> None:
    made = from_luabus(error)
    assert (made.status, made.detail, made.error) == (status, str(error), type(error).__name__)


def test_every_error_class_has_a_status() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type):
            assert 400 <= from_luabus(kind("x")).status < 600


def test_an_unknown_name_gets_a_suggestion_or_a_list() -> None:
    assert "did you mean 'mail.1'?" in not_found("process", "mial.1", ["mail.1", "gate.1"]).detail
    assert "there are: gate, mail" in not_found("process", "zzz", ["mail", "gate"]).detail
    assert "none is known now" in not_found("process", "zzz", []).detail


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mial.1", "mail.1"), ("mail.7", "mail.3"), ("mail.x", "mail.1"), ("mal", "mail"), ("router.3", "router.1"),
        ("directr.2", "director.2"), ("nope.1", ""), ("999.1", ""), ("4.9", ""), ("999", ""), ("zzz", ""), ("", ""),
    ],
)  # fmt: skip
def test_what_was_probably_meant(name: str, meant: str) -> None:
    known = ["mail", "mail.1", "mail.2", "mail.3", "router.1", "director.1", "director.2", "4.1", "98"]
    assert likely(name, known) == meant


def test_the_document() -> None:
    answer = response(ApiError(422, "bad", invalid=[{"at": "token", "message": "no"}]), "/api/v1/register")
    assert answer.content_type == "application/problem+json"
    assert json.loads(answer.text or "") == {
        "title": HTTPStatus(422).phrase,  # newer Pythons say it in the words of RFC 9110
        "status": 422,
        "detail": "bad",
        "instance": "/api/v1/register",
        "errors": [{"at": "token", "message": "no"}],
    }


CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9"}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/v1/status", None, 401),
        ("/api/v1/nope", None, 404),
        ("/api/v1/processes/mial.1/logs", None, 404),
        ("/api/v1/routes/key?group=mail&key=x&type=int", None, 422),
        ("/api/v1/connections?sort=bogus", None, 422),
        ("/api/v1/connections?limit=0", None, 422),
        ("/api/v1/connections?limit=x&bogus=1", None, 422),
        ("/api/v1/connections?limit=1&limit=2", None, 422),
        ("/api/v1/events?topics=bogus", None, 422),
        ("/api/v1/series?kind=bogus", None, 422),
        ("/api/v1/kill", {"name": "mail.1", "signal": "SIGWHAT"}, 422),
        ("/api/v1/register", {"service_id": "mail.1", "token": "x"}, 422),
        ("/api/v1/register", {"service_id": "mail.1"}, 422),
        ("/api/v1/register?preview=true", {"service_id": "mail.1", "token": 99}, 409),
        ("/api/v1/register", {"service_id": "0.1", "token": 0}, 409),
        ("/api/v1/promote?preview=true", {"service_id": "mail.1"}, 409),
        ("/api/v1/scale", {"service": "router", "instances": 3}, 409),
        ("/api/v1/call", {"route": "mail", "method": "x"}, 422),
        ("/api/v1/call", {"route": "random:mail", "method": "luabus.ping"}, 422),
        ("/api/v1/stop", {"name": "mail.1", "force": True}, 422),
        ("/api/v1/stop", "no object", 422),
    ],
)
async def test_a_refusal_is_in_the_language_that_was_asked_for(
    dash: Dash, path: str, body: object, status: int
) -> None:
    role = None if status == 401 else Role.admin
    method = "GET" if body is None else "POST"
    for headers, language in (({}, "en"), (CHINESE, "zh")):
        answer = await dash.client.request(method, path, json=body, headers=bearer(role) | headers)
        told = await answer.json()
        assert (answer.status, answer.headers["Content-Language"]) == (status, language), told
        said = told["detail"] + "".join(one["message"] for one in told.get("errors", ()))
        assert bool(re.search("[\u4e00-\u9fff]", said)) == (language == "zh"), said


async def test_what_is_wrong_with_a_request_itself_is_told_in_its_language(dash: Dash) -> None:
    async def said(status: int, path: str = "/api/v1/stop", **options: Any) -> None:
        options["headers"] = CHINESE | bearer(Role.admin) | options.pop("headers", {})
        answer = await dash.client.post(path, **options)
        assert (answer.status, answer.headers["Content-Language"]) == (status, "zh")
        assert re.search("[\u4e00-\u9fff]", (await answer.json())["detail"])

    await said(415, data="name=mail.1")
    await said(413, data=b"x" * 70_000, headers={"Content-Type": "application/json"})
    await said(403, json={"name": "mail.1"}, headers={"Sec-Fetch-Site": "cross-site"})
    await said(403, json={"name": "mail.1"}, headers={"Origin": "https://evil.example"})
    await said(403, json={"name": "mail.1"}, headers=bearer(Role.viewer))
    await said(401, json={"name": "mail.1"}, headers={"Authorization": "Basic x"})
    for _ in range(20):
        await dash.client.get("/api/v1/status", headers={"Authorization": f"Bearer wrong-{_}"})
    await said(429, json={"name": "mail.1"}, headers={"Authorization": "Bearer wrong"})
    dash.cluster.launcher = False
    dash.cluster.up = dict.fromkeys(dash.cluster.up, False)
    dash.context.poller.snapshot = replace(
        dash.context.poller.snapshot, processes=(), routers=(), connections=()
    )
    await dash.look()
    await said(503, json={"name": "mail.1"})
    await said(503, "/api/v1/register", json={"service_id": "mail.1", "token": 0})


async def test_an_answer_that_is_a_sentence_names_its_language(dash: Dash) -> None:
    for headers, language, said in (({}, "en", "Start mail.1?"), (CHINESE, "zh", "启动 mail.1？")):
        answer = await dash.post("/api/v1/start?preview=true", {"name": "mail.1"}, **headers)
        assert (answer.headers["Content-Language"], (await answer.json())["title"]) == (language, said)
