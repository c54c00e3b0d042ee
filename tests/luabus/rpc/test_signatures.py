from __future__ import annotations

from functools import partial
from math import inf
from typing import Annotated, Any

import pydantic
import pytest

import luabus
from luabus.errors import BadArguments, ConfigError
from luabus.rpc.dispatcher import Dispatcher
from luabus.rpc.signatures import Method, unknown_method


def send_mail(account: str, receiver: str, title: str = "", *, urgent: bool = False) -> int:
    """Put a letter into the receiver's box."""
    return len(account + receiver + title)


def test_the_number_of_arguments_is_checked() -> None:
    method = Method("send_mail", send_mail)
    assert method.misfit(["a", "b"]) is None
    assert method.misfit(["a", "b", "c"]) is None


def test_missing_arguments_are_named() -> None:
    error = Method("send_mail", send_mail).misfit([])
    assert isinstance(error, BadArguments)
    assert str(error) == "send_mail(account, receiver, title) got 0 arguments; missing: account, receiver"
    assert error.method == "send_mail"


def test_surplus_arguments_are_counted() -> None:
    error = Method("send_mail", send_mail).misfit([1, 2, 3, 4])
    assert str(error) == "send_mail(account, receiver, title) got 4 arguments; 3 is the most it takes"


def test_a_handler_with_star_args_takes_any_number() -> None:
    def log(level: str, *words: Any, **_: Any) -> None: ...

    method = Method("log", log)
    assert method.misfit(["info", *range(1000)]) is None
    assert "missing: level" in str(method.misfit([]))


def test_a_bound_method_does_not_count_self() -> None:
    class Box:
        def put(self, letter: str) -> None: ...

    assert Method("put", Box().put).misfit(["x"]) is None


def test_an_argument_that_can_never_be_given_is_a_configuration_error() -> None:
    def search(text: str, *, limit: int) -> None: ...

    with pytest.raises(
        ConfigError, match="search: the keyword-only argument 'limit' can never be given"
    ) as caught:
        Method("search", search)
    assert caught.value.key == "search"


def test_described_for_those_who_want_to_call_it() -> None:
    assert Method("send_mail", send_mail).describe() == {
        "name": "send_mail",
        "signature": "(account: 'str', receiver: 'str', title: 'str' = '', *, urgent: 'bool' = False) -> 'int'",
        "parameters": ["account", "receiver", "title"],
        "required": 2,
        "doc": "Put a letter into the receiver's box.",
    }


# --- types, for those who ask for it --------------------------------------------------------------------------


def add(a: int, b: Annotated[int, pydantic.Field(ge=0)] = 0) -> int:
    return a + b


def test_types_are_not_checked_unless_asked_for() -> None:
    assert Method("join", lambda a: a).fn("x") == "x"
    with pytest.raises(TypeError):
        Method("add", add).fn("1", 2)


def test_a_value_that_does_not_fit_its_annotation_is_named() -> None:
    method = Method("add", add, check_types=True)
    with pytest.raises(BadArguments, match="add: a should be a valid integer") as caught:
        method.fn("one")
    assert (caught.value.path, caught.value.method) == ("a", "add")
    with pytest.raises(BadArguments, match=r"add: b should be greater than or equal to 0, not -1") as caught:
        method.fn(1, -1)
    assert caught.value.path == "b"


def test_a_value_inside_a_list_is_named_with_its_place() -> None:
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    with pytest.raises(BadArguments, match=r"total: numbers\[1\] should be a valid integer"):
        Method("total", total, check_types=True).fn([1, "x"])


def test_values_that_can_be_converted_are() -> None:
    assert Method("add", add, check_types=True).fn("1", 2) == 3


async def test_async_handlers_are_checked_too() -> None:
    async def double(number: int) -> int:
        return number * 2

    method = Method("double", double, check_types=True)
    assert await method.fn(4) == 8
    with pytest.raises(BadArguments, match="double: number"):
        await method.fn("x")


def test_a_models_own_error_inside_the_handler_is_the_handlers() -> None:
    class Point(pydantic.BaseModel):
        x: int

    def make(_: int) -> None:
        Point(x="no number")  # type: ignore[arg-type]

    with pytest.raises(pydantic.ValidationError):
        Method("make", make, check_types=True).fn(1)


def test_an_unknown_method_is_answered_with_the_closest_one() -> None:
    error = unknown_method("sned_mail", ["send_mail", "read_mail"], "mail.1")
    assert str(error) == "mail.1 has no method 'sned_mail'; did you mean 'send_mail'?"
    assert (error.method, error.known) == ("sned_mail", ["read_mail", "send_mail"])
    assert str(unknown_method("x", ["send_mail"], "mail.1")) == "mail.1 has no method 'x'; it has: send_mail"
    assert str(unknown_method("x", [], "mail.1")) == "mail.1 has no method 'x'; it has: none"


def test_the_handlers_of_an_object_are_checked_too() -> None:
    class Box:
        def put(self, count: int) -> int:
            return count

    method = Method("put", Box().put, check_types=True)
    assert method.fn("3") == 3
    with pytest.raises(BadArguments, match="put: count"):
        method.fn([])


class Counter:
    """Counts."""

    def __init__(self) -> None:
        self.value = 0

    def __call__(self, by: int = 1) -> int:
        self.value += by
        return self.value

    def method(self, a: int) -> int:
        return a

    @staticmethod
    def static(a: int) -> int:
        return a


@pytest.mark.parametrize(
    ("fn", "name", "least", "most"),
    [
        (partial(Counter().method, 1), "method", 0, 0),
        (partial(partial(pow, 2)), "pow", 1, 2),
        (Counter(), "Counter", 0, 1),
        (Counter().method, "method", 1, 1),
        (Counter.static, "static", 1, 1),
        (Counter.__dict__["static"], "static", 1, 1),
        (len, "len", 1, 1),
        (max, "max", 0, inf),
    ],
)
def test_every_callable_can_be_a_handler(fn: Any, name: str, least: int, most: float) -> None:
    handlers = Dispatcher()
    assert handlers.rpc(fn) is fn
    method = handlers.methods[name]
    assert (method.least, method.most) == (least, most)
    assert isinstance(method.describe()["doc"], str)


@pytest.mark.parametrize(
    "name",
    ["", 5, b"x", "luabus.methods", "luabus.", "x" * 201, "a\nb", "a\x1b[2J", "\u202e", "\ud800", ["x"]],
)
def test_a_name_that_nobody_could_use_is_refused(name: Any) -> None:
    for dispatcher in (Dispatcher(), luabus.Service("mail")):
        with pytest.raises(ConfigError):
            dispatcher.rpc(lambda: None, name=name)
        with pytest.raises(ConfigError):
            dispatcher.rpc(name=name)(lambda: None)


def test_a_name_is_given_once() -> None:
    handlers = Dispatcher()

    def work() -> None: ...

    handlers.rpc(work)
    with pytest.raises(ConfigError, match="two handlers are called 'work'"):
        handlers.rpc(lambda: None, name="work")
    assert handlers.methods["work"].fn is work
    with pytest.raises(ConfigError, match="5 cannot be called"):
        handlers.rpc(5, name="five")  # type: ignore[type-var]
