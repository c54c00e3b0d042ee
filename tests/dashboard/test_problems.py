from __future__ import annotations

import json

import pytest

from dashboard.problems import ApiError, from_luabus, likely, not_found, response
from luabus import errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.Refused("no such token"), 409), (errors.NotConnected("nobody"), 503), (errors.NoRoute("nobody"), 404),
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
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "bad",
        "instance": "/api/v1/register",
        "errors": [{"at": "token", "message": "no"}],
    }
