"""Who may call which method, as routers tell it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

from luabus.ids import CLIENT_BASE
from luabus.rpc.context import CallContext, current
from luabus.rpc.dispatcher import Dispatcher
from luabus.rpc.method_access import MethodAccess
from luabus.rpc.signatures import Method

MAIL, GATEWAY, DIRECTOR = 0x0002_0001, 0x0001_0001, 0x0003_0001
FACTS = {"methods": {"purge": ["director", "ops"]}, "groups": {3: "director"}, "clients": {}}


@contextmanager
def said_over(token: int) -> Iterator[None]:
    """A router's word that came over the stream with this token."""
    stream = SimpleNamespace(token=token)
    call = SimpleNamespace(source=0, epoch=0, trace=0, stream=stream, remaining_s=None)
    mark = current.set(cast(CallContext, call))
    try:
        yield
    finally:
        current.reset(mark)


def made() -> tuple[MethodAccess, dict[str, Method], Callable[..., Any]]:
    methods = {name: Method(name, lambda: None) for name in ("purge", "send")}
    access = MethodAccess(methods)
    return (
        access,
        methods,
        lambda source, token=1, method="purge": access.refusal(token, source, method, 2, "mail.1"),
    )


def test_a_rule_holds_for_its_method_alone_and_for_what_comes_through_who_told_it() -> None:
    access, methods, refusal = made()
    with said_over(1):
        access.tell(FACTS)
    assert {name: method.guarded for name, method in methods.items()} == {"purge": True, "send": False}
    assert refusal(DIRECTOR) is None
    assert refusal(MAIL) is None, "one's own group"
    for source in (GATEWAY, CLIENT_BASE | 5):
        assert refusal(source).method == "purge"
        assert list(refusal(source).allowed) == ["director", "ops"]
        assert refusal(source, method="send") is None
        assert refusal(source, token=2) is None
    assert str(refusal(CLIENT_BASE | 5)) == "client may not call mail.1's purge; allowed: director, ops"


def test_callers_without_an_id_are_known_by_what_the_router_says_of_them() -> None:
    access, _, refusal = made()
    with said_over(1):
        access.tell({**FACTS, "clients": {CLIENT_BASE | 5: "ops"}})
        assert refusal(CLIENT_BASE | 5) is None
        access.tell_caller(CLIENT_BASE | 6, "ops")
        assert refusal(CLIENT_BASE | 6) is None
        access.tell_caller(CLIENT_BASE | 5, "")
        assert refusal(CLIENT_BASE | 5) is not None
    with said_over(9):
        access.tell_caller(CLIENT_BASE | 5, "ops")  # it has told no rules
    assert refusal(CLIENT_BASE | 5) is not None


def test_a_rule_that_is_lifted_or_whose_router_is_gone_holds_no_more() -> None:
    access, methods, refusal = made()
    for token in (1, 2):
        with said_over(token):
            access.tell(FACTS)
    access.keep([2])
    assert refusal(GATEWAY) is None
    assert refusal(GATEWAY, token=2) is not None
    with said_over(2):
        access.tell({"methods": {}, "groups": {}, "clients": {}})
    assert not methods["purge"].guarded


def test_a_method_that_is_registered_later_is_guarded_too() -> None:
    dispatcher = Dispatcher("mail.1")
    with said_over(1):
        dispatcher.access.tell(FACTS)
    dispatcher.rpc(lambda: None, name="purge")
    assert dispatcher.methods["purge"].guarded


def test_a_service_is_let_in_by_its_own_instances_without_an_id_too() -> None:
    access, _, refusal = made()
    with said_over(1):
        access.tell(
            {**FACTS, "groups": {2: "mail"}, "clients": {CLIENT_BASE | 5: "mail", CLIENT_BASE | 6: "x"}}
        )
    assert refusal(CLIENT_BASE | 5) is None
    assert refusal(CLIENT_BASE | 6).caller == "x"
