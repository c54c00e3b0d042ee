"""What a verb answers with --json when it did not come about."""

from __future__ import annotations

import json

import pytest

from launcher.cli.answers import answer_of, error_answer, print_answer
from launcher.errors import NotRunning, UsageError
from luabus.errors import NoRoute, Refused
from luabus.messages import Message


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (NotRunning("no"), "NotRunning", None),
        (UsageError("no", Message("hint.there-are-none")), "UsageError", "hint.there-are-none"),
        (NoRoute("no"), "NoRoute", None),
        (
            Refused.coded(Message("refusal.the-cluster-is-stopping")),
            "Refused",
            "refusal.the-cluster-is-stopping",
        ),
    ],
)
def test_an_error_as_an_answer(error: Exception, kind: str, code: str | None) -> None:
    answer = answer_of(error)
    assert answer == error_answer(kind, str(error), code)
    assert (answer["ok"], answer["text"], answer["error"]["message"]) == (False, str(error), str(error))


def test_it_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_answer(error_answer("X", "two\nlines", tail=[]))
    out = capsys.readouterr().out
    assert (out.count("\n"), json.loads(out)["tail"]) == (1, [])
