"""Every verb is written down with who asked for it and what became of it; and the poller looks again, so that what is asked after
the answer shows the change.

Changes of the cluster are in one log, the launcher's: what it did it writes down itself, with who asked; what was done at the
routers it is told; and the journal gets both from there. Refusals, what nobody knows the end of, requests that were sent, and
what no launcher can be told are in the journal alone.
"""

from __future__ import annotations

from typing import Final, Literal

from dashboard.http.context import Caller, Context
from dashboard.http.problems import ApiError
from luabus.errors import ConnectionLost, LuabusError, RequestTimeout, explain
from luabus.messages import Message

NOTE_TIMEOUT_S: Final = 1.0
"""A launcher that hangs does not hold up what has been done already."""


def who(caller: Caller | None) -> dict[str, str]:
    """As the launcher writes it down."""
    return {"by": f"{caller} (dashboard)", "from": caller.address} if caller else {}


class audited:
    """Around a verb. `text` says what was done; it may be made more exact within. `where` it is done: `bus` changes nothing."""

    def __init__(
        self,
        context: Context,
        caller: Caller | None,
        kind: str,
        subject: str,
        text: Message,
        where: Literal["launcher", "routers", "bus"] = "routers",
    ) -> None:
        self.text = text
        self._where = where
        self._context = context
        self._caller = caller
        self._kind = kind
        self._subject = subject

    async def __aenter__(self) -> audited:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if isinstance(error, LuabusError | ApiError):
            why = error.message if isinstance(error, ApiError) else explain(error)
            message = Message("verb.what-outcome-why", what=self.text, outcome=outcome(error), why=why)
            self._add(message, failed=True)
        elif error is None and (
            self._where == "bus" or (self._where == "routers" and not await self._noted())
        ):
            self._add(self.text)
        if self._where != "bus":
            await self._context.poller.after_change()

    def _add(self, message: Message, failed: bool = False) -> None:
        by, origin = (str(self._caller), self._caller.address) if self._caller else ("", "")
        self._context.journal.add(self._kind, self._subject, message, "warn" if failed else "ok", by, origin)

    async def _noted(self) -> bool:
        """Whether the launcher took it into its event log."""
        tell = self._context.poller.source.tell
        message = self.text.as_map()
        try:
            await tell("note", self._kind, self._subject, message, who(self._caller), timeout=NOTE_TIMEOUT_S)
        except LuabusError:
            return False
        return True


def outcome(error: LuabusError | ApiError) -> Message:
    """What became of a verb that ended so."""
    if isinstance(error, RequestTimeout | ConnectionLost):
        return Message("verb.not-known-whether-it-was-carried")
    return Message("word.failed") if isinstance(error, ApiError) else Message("word.refused")
