"""Handlers by name: which arguments they take, and a clear error for those they do not. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

from luabus.errors import BadArguments, ConfigError, UnknownMethod
from luabus.exception_text import repr_of, text_of
from luabus.rpc.method_stats import MethodStats

_NAME_LENGTH = 100
"""Characters of a stranger's name that are repeated."""
_LONGEST_NAME = 200
"""Characters of a handler's name."""
OWN_PREFIX = "luabus."
"""How the names of the bus' own methods begin."""


class Method:
    """One handler. `check_types`: validate (and convert, in pydantic's lax mode) arguments by their annotations. `guarded`: not
    everybody may call it."""

    __slots__ = ("check_types", "fn", "guarded", "least", "most", "name", "parameters", "signature", "stats")

    def __init__(self, name: str, fn: Callable[..., Any], *, check_types: bool = False) -> None:
        self.name = name
        self.signature = _signature(name, fn)
        self.stats = MethodStats()
        self.check_types = check_types
        self.guarded = False
        self.parameters: list[str] = []
        self.least = 0
        self.most: float = 0
        """Arguments at most; infinite with *args."""
        for parameter in self.signature.parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:
                self.most = inf
            elif parameter.kind is parameter.KEYWORD_ONLY:
                if parameter.default is parameter.empty:
                    raise ConfigError(
                        f"{name}: the keyword-only argument {parameter.name!r} can never be given; arguments travel by position",
                        key=name,
                    )
            elif parameter.kind is not parameter.VAR_KEYWORD:
                self.parameters.append(parameter.name)
                self.most += 1
                if parameter.default is parameter.empty:
                    self.least += 1
        self.fn = _typed(name, fn) if check_types else fn

    def misfit(self, args: list[Any]) -> BadArguments | None:
        """What is wrong with the number of arguments, if anything."""
        count = len(args)
        if self.least <= count <= self.most:
            return None
        wanted = f"{self.name}({', '.join(self.parameters)})"
        if count < self.least:
            missing = ", ".join(self.parameters[count : self.least])
            return BadArguments(f"{wanted} got {count} arguments; missing: {missing}", method=self.name)
        return BadArguments(
            f"{wanted} got {count} arguments; {self.most} is the most it takes", method=self.name
        )

    def describe(self) -> dict[str, Any]:
        """Name, signature and docstring, for those who want to call it."""
        return {
            "name": self.name,
            "signature": text_of(self.signature),
            "parameters": self.parameters,
            "required": self.least,
            "doc": _doc(self.fn),
        }


def handler_name(fn: Any, name: Any = None) -> str:
    """The name under which `fn` is to be called: `name`, or its own. Raises `ConfigError` for one that nobody could use."""
    if name is None:
        inner = fn
        while isinstance(inner, partial):
            inner = inner.func
        name = getattr(inner, "__name__", None) or type(inner).__name__
    if type(name) is not str:
        raise ConfigError(f"a handler's name is a str, not {repr_of(name):.60}", key="name")
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        text = f"{name!r:.80} is no name for a handler: it has 1 to {_LONGEST_NAME} printable characters"
        raise ConfigError(text, key="name")
    if name.startswith(OWN_PREFIX):
        raise ConfigError(f"{name!r}: names that begin with {OWN_PREFIX!r} are the bus' own", key=name)
    return name


def _signature(name: str, fn: Any) -> inspect.Signature:
    if not callable(fn):
        raise ConfigError(f"{name}: {repr_of(fn):.80} cannot be called", key=name)
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError):  # some builtins do not tell
        return inspect.Signature([inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)])


def _doc(fn: Any) -> str:
    """A handler's own docstring."""
    while isinstance(fn, partial):
        fn = fn.func
    try:
        doc = inspect.getdoc(fn)
    except Exception:  # a property of its class
        doc = None
    return doc if isinstance(doc, str) else ""


def _typed(name: str, fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` with its arguments validated by pydantic; a mismatch is `BadArguments` that names the argument."""
    from functools import wraps

    from pydantic import ValidationError, validate_call

    # Only the arguments go through pydantic: what the handler itself raises, at once or awaited, is its own.
    @validate_call
    @wraps(fn)
    def check(*args: Any, **defaults: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, defaults

    names = list(inspect.signature(fn).parameters)

    @wraps(fn)
    def call(*args: Any) -> Any:
        try:
            converted, defaults = check(*args)
        except ValidationError as error:
            first = error.errors()[0]
            top, *inner = first["loc"]
            where = names[min(top, len(names) - 1)] if isinstance(top, int) else str(top)
            where += "".join(f"[{part!r}]" for part in inner)
            raise BadArguments(
                f"{name}: {where} {_in_our_words(first['msg'])}, not {first['input']!r:.80}",
                path=where,
                method=name,
            ) from None
        return fn(*converted, **defaults)

    return call


def _in_our_words(found: str) -> str:
    """Pydantic's sentence about a value, to go on behind the value's name: "should be a valid integer"."""
    _, should, what = found.partition(" should ")
    if should:
        return f"should {what.partition(', unable to parse')[0]}"
    return f"is refused: {found.removeprefix('Value error, ')}"


def unknown_method(name: str, known: list[str], owner: str) -> UnknownMethod:
    """The error for a method nobody registered, with the closest name."""
    name = name[:_NAME_LENGTH]  # a stranger's; looking for what is close to it takes time
    if not name.startswith(OWN_PREFIX):
        known = [name for name in known if not name.startswith(OWN_PREFIX)]
    from difflib import get_close_matches  # slow to import, and only for errors

    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"it has: {', '.join(sorted(known)[:20]) or 'none'}"
    return UnknownMethod(f"{owner} has no method {name!r}; {hint}", method=name, known=sorted(known)[:50])
