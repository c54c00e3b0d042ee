from __future__ import annotations

import copy
import pickle
import sys
import types
from asyncio import CancelledError
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

import luabus
from luabus import errors
from luabus.errors import LuabusError, from_wire, wire_form
from luabus.protocol import codec
from tests.support.hostile import ERRORS, NoField

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


class Quota(LuabusError):
    def __init__(self, user: str, limit: int) -> None:
        super().__init__(f"{user} is over {limit}")
        self.user = user
        self.limit = limit
        self.note = "kept here"


COPIES = pytest.mark.parametrize(
    "again",
    [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)


@COPIES
def test_an_error_with_an_init_of_its_own_stays_what_it_is(again: Any) -> None:
    error = again(Quota("ann", 5))
    assert type(error) is Quota
    assert (str(error), error.user, error.limit, error.note) == ("ann is over 5", "ann", 5, "kept here")
    assert error.fields() == {"user": "ann", "limit": 5}


@COPIES
def test_a_class_that_nobody_can_import_stays_too(again: Any) -> None:
    class Local(LuabusError):
        limit: tuple[int, ...] = ()

        def __str__(self) -> str:
            return f"at most {self.limit}"

    error = again(Local("x", limit=(1, 2)))
    assert type(error) is Local
    assert (str(error), error.limit) == ("at most (1, 2)", (1, 2))


def test_an_init_of_its_own_gives_fields_and_is_not_called_where_it_arrives() -> None:
    arrived = from_wire(wire_form(Quota("ann", 5)), 0x20001)
    assert type(arrived) is Quota
    assert (str(arrived), arrived.user, arrived.limit, arrived.answered_by) == (
        "ann is over 5",
        "ann",
        5,
        0x20001,
    )
    assert not hasattr(arrived, "note")


class Owned(LuabusError):
    def __init__(self, user: str) -> None:
        super().__init__(f"{user}'s")
        self._user = user

    @property
    def user(self) -> str:
        return self._user


@dataclass(frozen=True)
class Frozen(LuabusError):
    user: str
    limit: int = 3


class Slotted(LuabusError):
    __slots__ = ("user", "why")

    def __init__(self, user: str) -> None:
        super().__init__("x")
        self.user = user
        self.why = None


class Unreadable(LuabusError, OSError):
    def __init__(self, *args: Any) -> None:
        OSError.__init__(self, *args)


class Misspelt(LuabusError, SyntaxError):
    def __init__(self, *args: Any) -> None:
        SyntaxError.__init__(self, *args)


class Undecodable(LuabusError, UnicodeDecodeError):
    def __init__(self, *args: Any) -> None:
        UnicodeDecodeError.__init__(self, *args)


class Unfound(LuabusError, ImportError):
    def __init__(self, text: str, **where: str) -> None:
        ImportError.__init__(self, text, **where)


class Several(LuabusError, ExceptionGroup[Exception]):
    def __init__(self, *args: Any) -> None:
        ExceptionGroup.__init__(self, *args)


KEPT = {
    "user": Owned("ann"), "limit": Frozen("ann", 5), "why": Slotted("ann"), "strerror": Unreadable(2, "no"),
    "lineno": Misspelt("bad", ("f", 7, 2, "x")), "reason": Undecodable("utf-8", b"x", 0, 1, "odd"),
    "path": Unfound("none", name="a", path="/a"), "exceptions": Several("two", [ValueError("a")]),
}  # fmt: skip


@COPIES
@pytest.mark.parametrize("name", KEPT)
def test_a_copy_has_what_its_class_keeps_wherever_that_is(again: Any, name: str) -> None:
    error = KEPT[name]
    copied = again(error)
    assert type(copied) is type(error)
    assert str(copied) == str(error)
    assert repr(getattr(copied, name)) == repr(getattr(error, name))
    assert repr(copied.fields()) == repr(error.fields())
    if isinstance(error, OSError):
        assert OSError.__str__(copied) == OSError.__str__(error)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["user", "limit", "why", "strerror", "lineno", "reason", "path"])
def test_an_error_arrives_as_its_own_class_whether_its_fields_can_be_set_or_not(name: str) -> None:
    arrived = from_wire(codec.unpack_value(codec.pack_value(wire_form(KEPT[name]))), 0x20001)
    assert type(arrived) is type(KEPT[name])
    assert (str(arrived), arrived.answered_by) == (str(KEPT[name]), 0x20001)
    if name == "limit":
        assert arrived.fields() == {"user": "ann", "limit": 5}


def _class(module: str, name: str) -> type[LuabusError]:
    return type(name, (LuabusError,), {"__module__": module})


def test_users_classes_take_nobodys_place() -> None:
    login = _class("login", "AuthError")
    assert type(from_wire(luabus.AuthError("no").to_wire())) is luabus.AuthError
    assert type(from_wire(["AuthError", "from another language", {}])) is luabus.AuthError
    assert type(from_wire(login("no").to_wire())) is login
    assert type(from_wire(_class("luabus.errors", "NoRoute")("x").to_wire())) is not luabus.NoRoute
    assert type(from_wire(luabus.NoRoute("x").to_wire())) is luabus.NoRoute
    main = _class("__main__", "Refused")
    assert type(from_wire(main("x").to_wire())) is main


def test_two_modules_classes_of_one_name_are_two() -> None:
    shop, mail = _class("shop", "NotThere"), _class("mail.errors", "NotThere")
    for kind in (shop, mail):
        assert kind("x").to_wire()[0] == f"{kind.__module__}.NotThere"
        assert type(from_wire(kind("x").to_wire())) is kind
    for name in ("NotThere", "__main__.NotThere", "other.NotThere"):
        unknown = from_wire([name, "x", {}], 0x20001)
        assert type(unknown) is luabus.RemoteError
        assert (unknown.type, unknown.text, unknown.answered_by) == ("NotThere", "x", 0x20001)


def test_a_bare_name_is_the_class_that_alone_has_it() -> None:
    alone = _class("some.where", "OnlyOneHasIt")
    for name in ("OnlyOneHasIt", "__main__.OnlyOneHasIt"):
        assert type(from_wire([name, "x", {}])) is alone
    assert type(from_wire(["another.OnlyOneHasIt", "x", {}])) is luabus.RemoteError


def test_a_pickle_finds_its_class_by_module() -> None:
    module = types.ModuleType("a_module_of_errors")
    sys.modules[module.__name__] = module
    try:
        module.Gone = kind = _class(module.__name__, "Gone")  # type: ignore[attr-defined]
        assert type(pickle.loads(pickle.dumps(kind("x")))) is kind
    finally:
        del sys.modules[module.__name__]


@pytest.mark.parametrize("what", [name for name in ERRORS if issubclass(type(ERRORS[name]()), LuabusError)])
def test_whatever_an_errors_class_does_it_arrives(what: str) -> None:
    error = ERRORS[what]()
    assert isinstance(error, LuabusError)
    body = codec.pack_value(wire_form(error))
    arrived = from_wire(codec.unpack_value(body))
    assert isinstance(arrived, luabus.RemoteError | type(error))
    assert isinstance(str(arrived), str)


class DiskFull(LuabusError, OSError):
    path: str = ""


class Missing(LuabusError, KeyError):
    pass


@pytest.mark.parametrize("error", [DiskFull("no space", path="/"), Missing("x")])
def test_a_class_that_is_a_builtin_as_well_arrives(error: LuabusError) -> None:
    for arrived in (from_wire(wire_form(error)), pickle.loads(pickle.dumps(error))):
        assert type(arrived) is type(error)
        assert (str(arrived), arrived.fields()) == (str(error), error.fields())


@pytest.mark.parametrize(
    "kind", [StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError]
)
def test_nobody_ends_or_cancels_his_caller(kind: type[BaseException]) -> None:
    ends = type("Ends", (LuabusError, kind), {"__module__": __name__})
    arrived = from_wire([f"{__name__}.Ends", "x", {}])
    assert type(arrived) is luabus.RemoteError
    assert arrived.type == ends.__name__


def test_a_field_that_is_not_set_is_left_out() -> None:
    assert NoField("x").fields() == {}
    arrived = from_wire(wire_form(NoField("x", user="ann")))
    assert isinstance(arrived, NoField)
    assert arrived.user == "ann"


def test_names_that_every_error_has_are_no_fields() -> None:
    class Odd(LuabusError):
        args: str = ""  # type: ignore[assignment]
        message: str = ""  # type: ignore[assignment]
        limit: ClassVar[int] = 3
        size: int = 0

    assert Odd("x").fields() == {"size": 0}
    arrived = from_wire([f"{Odd.__module__}.{Odd.__qualname__}", "x", {"args": 1, "__class__": 2, "size": 3}])
    assert (str(arrived), arrived.fields()) == ("x", {"size": 3})
