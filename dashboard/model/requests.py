"""The shapes of what one can ask of the HTTP API, and of what becomes of it.

What comes in is strict: an unknown key is an error, and a wrong value is answered with what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dashboard.i18n import Invalid
from dashboard.model.answers import AnswerModel
from luabus.cluster.entries import Registration
from luabus.messages import Message


class RequestModel(BaseModel):
    """Comes in; nothing unknown is let through."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _in_words(value: Any, check: Callable[[Any], Any], allowed: Message) -> Any:
    """`check(value)`; raises ValueError that says what is allowed instead of how it is checked."""
    try:
        return check(value)
    except ValidationError:
        raise Invalid(Message("problem.found-allowed", value=f"{value!r:.80}", allowed=allowed)) from None


class RegisterRequest(RequestModel):
    """`token`: of a live connection; 0 keeps a vacancy; null removes the entry; "own": at each router the connection
    that says it is this id."""

    router: str = Field(default="*", examples=["*", "router.1"])
    service_id: str = Field(examples=["2.1", "mail.1"], min_length=1, max_length=80)
    token: Annotated[int, Field(ge=0, lt=1 << 32, strict=True)] | Literal["own"] | None
    is_master: Annotated[bool, Field(strict=True)] = False

    @field_validator("token", mode="wrap")
    @classmethod
    def _checked_token(cls, value: Any, check: Callable[[Any], Any]) -> Any:
        return _in_words(value, check, Message("problem.a-connections-token-a-number-below"))

    def change(self, service_id: str) -> Registration:
        """For the id that the name stands for."""
        return Registration(service_id, self.token, self.router, self.is_master)


class Registered(AnswerModel):
    """What became of it at each router (`done`, `nothing to remove`, `not connected`, `no answer in time`), and the request that
    would take it back (null when nothing would)."""

    done: str = ""
    service_id: str
    results: dict[str, str]
    undo: Registration | None = None


class PromoteRequest(RequestModel):
    service_id: str = Field(examples=["2.1", "mail.1"], min_length=1, max_length=80)


class KillRequest(RequestModel):
    """`signal`: `SIGTERM`, `TERM`, `term` or `15`."""

    name: str = Field(examples=["mail.1"], min_length=1, max_length=120)
    signal: str = Field(default="SIGKILL", examples=["SIGKILL", "SIGTERM"], min_length=1, max_length=20)


class NameRequest(RequestModel):
    name: str = Field(examples=["mail", "mail.1"], min_length=1, max_length=120)


class ScaleRequest(RequestModel):
    service: str = Field(examples=["mail"], min_length=1, max_length=120)
    instances: int = Field(ge=0, le=65_535, strict=True)


class CloseRequest(RequestModel):
    router: str = Field(examples=["router.1"], min_length=1)
    token: int = Field(ge=1, lt=1 << 32, strict=True)


class CallRequest(RequestModel):
    """`route` is target:mail.2, hash:mail:alice, random:mail, broadcast:mail or master:director. With `one_way` no answer is
    waited for."""

    route: str = Field(
        pattern=r"^(hash:[^\x00-\x1f:]+:|(target|random|broadcast|master):)[^\x00-\x1f]+$",
        max_length=1100,
        examples=["random:mail"],
    )
    method: str = Field(min_length=1, max_length=200, examples=["stats"])
    args: tuple[Any, ...] = Field(default=(), max_length=64)
    timeout_s: float = Field(default=5.0, ge=0.05, le=20.0)
    one_way: Annotated[bool, Field(strict=True)] = False

    @field_validator("route", mode="wrap")
    @classmethod
    def _checked_route(cls, value: Any, check: Callable[[Any], Any]) -> Any:
        return _in_words(value, check, Message("problem.target-mail-2-hash-mail-alice"))


class Done(AnswerModel):
    """What the launcher or the router answered. `job`: the number of the work that goes on, null when all is done. `undo`: after
    a promotion, the one that takes it back."""

    done: str
    detail: Any = None
    job: int | None = None
    undo: PromoteRequest | None = None


class Consequence(AnswerModel):
    """What an action would do, in this cluster's terms."""

    title: str
    sentences: tuple[str, ...]
    danger: bool
