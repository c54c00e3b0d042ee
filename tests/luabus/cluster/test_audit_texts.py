from __future__ import annotations

import pytest

import dashboard.i18n  # noqa: F401 - has the Chinese texts
from luabus import admin
from luabus.cluster.audit_texts import closed, promoted, registered, whose
from luabus.cluster.entries import Held, Registration
from luabus.cluster.state import ConnectionState
from luabus.messages import of_map

TELL_NOTHING: tuple[Held, ...] = (0, 18, None, "own")
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
    token: Held, is_master: bool, whose: str, results: dict[str, str] | None, said: str
) -> None:
    router = "*" if results is None or len(results) > 1 else "router.1"
    text = registered(Registration("2.2", token, router, is_master), "mail.2", whose, results)
    assert str(text) == said
    assert text.to("zh") != said
    assert of_map(text.as_map()) == text


def test_whose_connection_a_token_is() -> None:
    rows = [
        ConnectionState("router.1", 17, name="mail.3", peer="127.0.0.1:5"),
        ConnectionState("router.2", 17, peer="127.0.0.1:6"),
    ]
    assert (whose(rows, 17, "*"), whose(rows, 17, "router.2")) == ("mail.3", "127.0.0.1:6")
    assert {whose(rows, token, "*") for token in TELL_NOTHING} == {""}


def test_what_has_no_variants() -> None:
    assert str(promoted("director.2", 7)) == "promote director.2 to master, epoch 7"
    assert str(closed("mail.1", "router.2")) == "close the connection of mail.1 at router.2"
