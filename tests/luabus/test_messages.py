from __future__ import annotations

import json

import pytest

from luabus.errors import LuabusError, NotConnected, Refused, explain, from_wire
from luabus.messages import Message, of_map


def test_a_message_is_its_code_with_its_values() -> None:
    inner = Message("event.the-launcher-answers-again")
    message = Message("audit.at", what=inner, where="router.1")
    assert str(message) == "the launcher answers again at router.1"
    assert (
        message
        == Message("audit.at", what=inner, where="router.1")
        != Message("audit.at", what=inner, where="x")
    )
    assert len({message, Message("audit.at", what=inner, where="router.1")}) == 1


def test_lists_are_told_one_after_the_other() -> None:
    again = Message("event.the-launcher-answers-again")
    assert str(Message("audit.at", what=[again, again], where=["a", "b"])) == f"{again}; {again} at a, b"


def test_values_with_braces_are_no_templates() -> None:
    assert str(Message("audit.remove", name="{evil}")) == "remove {evil}"


def test_other_peoples_words_stay_as_they_are() -> None:
    words = Message.verbatim("a {brace} in it")
    assert str(words) == words.to("zh") == "a {brace} in it"


def test_an_unknown_code_shows_its_values() -> None:
    assert str(Message("future.thing", name="mail.1", count=2)) == "future.thing (name=mail.1, count=2)"


def test_a_missing_value_is_shown_by_its_name() -> None:
    assert str(Message("audit.at", what="x")) == "x at {where}"


def test_a_message_travels_as_a_map_with_the_messages_in_it() -> None:
    message = Message(
        "audit.at", what=Message("audit.remove", name="mail.1"), where=["a", Message.verbatim("b")], n=1
    )
    assert of_map(json.loads(json.dumps(message.as_map()))) == message


@pytest.mark.parametrize(
    "value",
    [None, "text", 5, [], {}, {"code": 1, "values": {}}, {"code": "a.b", "values": 3}, {"code": "a.b"}],
)
def test_what_is_no_message_is_none(value: object) -> None:
    assert of_map(value) is None


def test_an_error_carries_its_message_over_the_wire() -> None:
    message = Message("audit.remove", name="mail.1")
    error = from_wire(Refused.coded(message).to_wire())
    assert (type(error), str(error), explain(error)) == (Refused, "remove mail.1", message)
    assert explain(NotConnected.coded(message, routers=["a"])) == message


def test_an_error_without_a_code_is_told_in_its_own_words() -> None:
    assert explain(LuabusError("as it is")) == Message.verbatim("as it is")
    assert explain(from_wire(["Refused", "as it is", {"reported": "nonsense"}])) == Message.verbatim(
        "as it is"
    )
    assert str(explain(ValueError())) == "ValueError"
