"""The many answers to one broadcast request. Pure, but for the future that it settles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from luabus.errors import LuabusError, ProtocolError, RequestTimeout
from luabus.ids import ServiceId
from luabus.protocol import codec


class Gather:
    """Collects answers until all whom the router reached have given theirs. `result` is `{ServiceId: value or exception}`."""

    def __init__(
        self,
        result: asyncio.Future[dict[ServiceId, Any]],
        done: Callable[[], None],
        describe: Callable[[], str],
    ) -> None:
        self.result = result
        self._done = done
        self._describe = describe
        self._answers: dict[ServiceId, Any] = {}
        self._reached: set[ServiceId] | None = None

    def reached(self, count: int, body: bytes) -> None:
        """The router says who got the request."""
        try:
            self._reached = {ServiceId(member) for member in codec.unpack_value(body)}
        except (ProtocolError, TypeError, ValueError) as error:
            self._fail(ProtocolError(f"a REACHED frame without a list of ids: {error}"))
            return
        self._check()

    def answer(self, source: int, value: Any) -> None:
        """One answer, or the error that stands for it; from nobody (source 0) it is about the whole request."""
        if source == 0 and isinstance(value, LuabusError):
            self._fail(value)
            return
        self._answers[ServiceId(source)] = value
        self._check()

    def expired(self) -> None:
        """The time is up: those who have not answered are named with a `RequestTimeout`."""
        self._complete(RequestTimeout(f"no answer from {self._describe()} in time", route=self._describe()))

    def lost(self, error: LuabusError) -> None:
        """The router is gone, and with it what was still to come."""
        if self._reached is None:
            self._fail(error)
        else:
            self._complete(error)

    def _check(self) -> None:
        if self._reached is not None and self._reached <= self._answers.keys():
            self._done()
            self._settle()

    def _complete(self, missing: LuabusError) -> None:
        if self._reached is None:
            self._fail(missing)
            return
        for member in self._reached - self._answers.keys():
            self._answers[member] = missing
        self._settle()

    def _settle(self) -> None:
        if not self.result.done():
            self.result.set_result(dict(sorted(self._answers.items())))

    def _fail(self, error: LuabusError) -> None:
        self._done()
        if not self.result.done():
            self.result.set_exception(error)


class Count:
    """How many a one-way broadcast reached."""

    def __init__(self, result: asyncio.Future[int], done: Callable[[], None]) -> None:
        self.result = result
        self._done = done

    def reached(self, count: int, body: bytes) -> None:
        """The router says how many got the message."""
        self._done()
        if not self.result.done():
            self.result.set_result(count)

    def answer(self, source: int, value: Any) -> None:
        """Only an error of the router comes here."""
        self._done()
        if not self.result.done() and isinstance(value, LuabusError):
            self.result.set_exception(value)

    def expired(self) -> None:
        """The router did not say in time."""
        if not self.result.done():
            self.result.set_exception(RequestTimeout("the router did not tell how many it reached"))

    def lost(self, error: LuabusError) -> None:
        """The router is gone."""
        if not self.result.done():
            self.result.set_exception(error)


class Answer:
    """One answer, and who gave it. `result` is `(ServiceId, value)`; of an error, `answered_by` tells."""

    def __init__(
        self,
        result: asyncio.Future[tuple[ServiceId, Any]],
        done: Callable[[], None],
        describe: Callable[[], str],
    ) -> None:
        self.result = result
        self._done = done
        self._describe = describe

    def reached(self, count: int, body: bytes) -> None:
        """Only broadcasts are told this."""

    def answer(self, source: int, value: Any) -> None:
        """The value, or the error that stands for it."""
        self._done()
        if isinstance(value, LuabusError):
            self.lost(value)
        elif not self.result.done():
            self.result.set_result((ServiceId(source), value))

    def expired(self) -> None:
        """Nobody answered in time."""
        self.lost(RequestTimeout(f"no answer from {self._describe()} in time", route=self._describe()))

    def lost(self, error: LuabusError) -> None:
        """The router is gone, or the request failed."""
        if not self.result.done():
            self.result.set_exception(error)
