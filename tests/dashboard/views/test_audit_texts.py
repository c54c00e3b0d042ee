from __future__ import annotations

import pytest

from dashboard.model.requests import CallRequest, RegisterRequest
from dashboard.views.audit_texts import called, registered
from luabus import admin
from luabus.messages import of_map

DONE = {"router.1": admin.DONE, "router.2": admin.DONE}


@pytest.mark.parametrize(
    ("token", "is_master", "whose", "results", "said"),
    [
        ("own", False, "", None, "register mail.2"),
        ("own", False, "", DONE, "register mail.2 at every router"),
        (
            0,
            False,
            "",
            DONE | {"router.2": admin.AWAY},
            f"vacate mail.2 at router.1, router.2 ({admin.AWAY})",
        ),
        (None, False, "", {"router.1": admin.DONE}, "remove mail.2 at router.1"),
        (
            17,
            True,
            "mail.3",
            DONE,
            "make mail.2 master with token 17, the connection of mail.3, at every router",
        ),
        (17, False, "", DONE, "register mail.2 with token 17 at every router"),
    ],
)
def test_a_change_by_hand_is_written_down_and_read_again(
    token: object, is_master: bool, whose: str, results: dict[str, str] | None, said: str
) -> None:
    router = "*" if results is None or len(results) > 1 else "router.1"
    asked = RegisterRequest.model_validate(
        {"service_id": "2.2", "token": token, "is_master": is_master, "router": router}
    )
    text = registered(asked, "mail.2", whose, results)
    assert str(text) == said
    assert text.to("zh") != said
    assert of_map(text.as_map()) == text


def test_a_request_is_one_line_with_its_arguments_shortened() -> None:
    asked = CallRequest(route="hash:mail:alice", method="echo", args=("<b>", 1))
    assert str(called(asked)) == 'request echo("<b>", 1) to hash:mail:alice'
    long = CallRequest(route="random:mail", method="echo", args=("x" * 1000,), one_way=True)
    assert str(called(long)).startswith('send echo("xxx')
    assert len(str(called(long))) < 200
