"""Handlers by name: which arguments they take, and a clear error for those they do not. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import inf
from typing import Any

from luabus.errors import BadArguments, ConfigError, UnknownMethod
from luabus.rpc.method_stats import MethodStats

_NAME_LENGTH = 100


class Method:
    """One handler. `check_types`: validate (and convert, in pydantic's lax mode) arguments by their annotations. `guarded`: not
    everybody may call it."""

    __slots__ = ("check_types", "fn", "guarded", "least", "most", "name", "parameters", "signature", "stats")

    def __init__(self, name: str, fn: Callable[..., Any], *, check_types: bool = False) -> None:
        self.name = name
        self.signature = inspect.signature(fn)
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
            "signature": str(self.signature),
            "parameters": self.parameters,
            "required": self.least,
            "doc": inspect.getdoc(self.fn) or "",
        }


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
                f"{name}: {where}: {first['msg']}, not {first['input']!r:.80}", path=where, method=name
            ) from None
        return fn(*converted, **defaults)

    return call


def unknown_method(name: str, known: list[str], owner: str) -> UnknownMethod:
    """The error for a method nobody registered, with the closest name."""
    name = name[:_NAME_LENGTH]  # a stranger's; looking for what is close to it takes time
    if not name.startswith("luabus."):
        known = [name for name in known if not name.startswith("luabus.")]
    from difflib import get_close_matches  # slow to import, and only for errors

    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"it has: {', '.join(sorted(known)[:20]) or 'none'}"
    return UnknownMethod(f"{owner} has no method {name!r}; {hint}", method=name, known=sorted(known)[:50])
