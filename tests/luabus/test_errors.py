from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest

import luabus
from luabus import errors
from luabus.errors import LuabusError, from_wire
from luabus.protocol import codec

ALL = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LuabusError)),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_public_and_in_the_tree_of_the_docstring(kind: type[LuabusError]) -> None:
    assert kind.__name__ in errors.__all__
    assert getattr(luabus, kind.__name__) is kind
    assert f" {kind.__name__} " in f"{errors.__doc__}".replace("\n", " \n")


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not LuabusError])
def test_every_error_travels_with_its_default_fields(kind: type[LuabusError]) -> None:
    body = codec.pack_value(kind("what happened").to_wire())
    arrived = from_wire(codec.unpack_value(body))
    assert type(arrived) is kind
    assert str(arrived) == arrived.message == "what happened"
    assert {name: _listed(value) for name, value in kind("").fields().items()} == arrived.fields()


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def test_typed_fields_arrive() -> None:
    error = luabus.Overloaded("full", what="bytes", limit=10, current=11)
    arrived = from_wire(codec.unpack_value(codec.pack_value(error.to_wire())))
    assert isinstance(arrived, luabus.Overloaded)
    assert (arrived.what, arrived.limit, arrived.current) == ("bytes", 10, 11)


def test_inherited_fields_count() -> None:
    assert luabus.RouterLost("x", peer="router.1", reason="cut").fields() == {
        "peer": "router.1",
        "reason": "cut",
    }


def test_an_unknown_field_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        TypeError, match=r"Overloaded has no field 'size'; it has \('what', 'limit', 'current'\)"
    ):
        luabus.Overloaded("x", size=3)


class Odd:
    def __str__(self) -> str:
        return "an odd one"


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (luabus.ServiceId.of(2, 1), 0x0002_0001),
        (("a", ("b",)), ["a", ["b"]]),
        ({"k": Odd(), 1: 2}, {"k": "an odd one", 1: 2}),
        (Odd(), "an odd one"),
        (1 << 80, str(1 << 80)),
        ("half a pair: \ud800", "half a pair: ?"),
        (datetime(2026, 1, 1), "2026-01-01 00:00:00"),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_an_error_travels_whatever_its_fields_hold(value: object, arrives: object) -> None:
    body = codec.pack_value(luabus.ConfigError("x", key=value).to_wire())
    arrived = from_wire(codec.unpack_value(body))
    assert isinstance(arrived, luabus.ConfigError)
    assert arrived.key == arrives


def test_an_error_travels_with_a_field_that_contains_itself() -> None:
    endless: list[object] = []
    endless.append(endless)
    codec.pack_value(luabus.ConfigError("x", key=endless).to_wire())


def test_a_text_that_is_no_unicode_travels() -> None:
    body = codec.pack_value(luabus.Refused("file \udcff").to_wire())
    assert str(from_wire(codec.unpack_value(body))) == "file ?"


def test_a_users_own_error_is_the_same_type_at_the_other_end() -> None:
    class BoxFull(LuabusError):
        account: str = ""

    arrived = from_wire(BoxFull("full", account="alice").to_wire())
    assert type(arrived) is BoxFull
    assert arrived.account == "alice"


def test_a_type_this_end_does_not_know_becomes_a_remote_error_that_names_it() -> None:
    arrived = from_wire(["FromTheFuture", "what it says", {"x": 1}])
    assert type(arrived) is luabus.RemoteError
    assert (arrived.type, arrived.text, str(arrived)) == (
        "FromTheFuture",
        "what it says",
        "FromTheFuture: what it says",
    )


def test_a_field_this_end_does_not_know_is_left_out() -> None:
    arrived = from_wire(["NoMaster", "none", {"group": 3, "since": 5}])
    assert arrived.fields() == {"group": 3}


@pytest.mark.parametrize(
    "body", [None, 1, "x", [], ["NoRoute"], ["NoRoute", "x", 3], [[], "x", {}], {"a": 1}]
)
def test_a_body_that_is_no_error_is_a_protocol_error(body: object) -> None:
    assert type(from_wire(body)) is luabus.ProtocolError


def test_pickled_and_back() -> None:
    error = pickle.loads(pickle.dumps(luabus.NoRoute("nobody", route="target 2.1")))
    assert type(error) is luabus.NoRoute
    assert (str(error), error.route) == ("nobody", "target 2.1")
