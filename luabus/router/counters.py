"""What a router counts, and what it remembers of connections that are gone and of things that went wrong."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from luabus.errors import BadArguments, ProtocolError
from luabus.host_addresses import format_address
from luabus.ids import MAX_GROUP, ServiceId
from luabus.logs import Log
from luabus.messages import Message, of_map
from luabus.protocol.codec import pack_value, unpack_value
from luabus.router.repetitions import Repetitions
from luabus.routing.table_digests import FORGET_S, Disagreements
from luabus.rpc.shapes import MAX_U32, NAME, MapOf, Whole
from luabus.transport.stream import Stream

log = Log("luabus.router")

_CLOSED_KEPT: Final = 200
_ALARMS_KEPT: Final = 100
_PROBLEMS_SHOWN: Final = 100
_PROBLEM_LENGTH: Final = 500
_PEER_LENGTH: Final = 500
"""Characters of what a peer says about the end of its connection."""
_PROBLEM_BYTES: Final = 1024
"""The values that the text is made of, packed."""
_ROUTERS_TOLD: Final = 64
"""Other routers that one PING may tell about."""
_DIFFERING: Final = MapOf(NAME, MapOf(Whole(0, MAX_GROUP), Whole(0, MAX_U32), MAX_GROUP + 1), _ROUTERS_TOLD)
_COUNTERS: Final = ("messages_in", "messages_out", "bytes_in", "bytes_out")


class Counters:
    """The records of one router. `closed`: the connections that ended last, as `luabus.stats` shows them, oldest first."""

    def __init__(self, router: str) -> None:
        self.closed: deque[dict[str, Any]] = deque(maxlen=_CLOSED_KEPT)
        self._router = router
        self._totals = dict.fromkeys(_COUNTERS, 0)
        self._undeliverable: dict[str, int] = {}
        self._alarms: dict[Message, dict[str, Any]] = {}
        self._problems: dict[Stream, tuple[Message, float]] = {}
        self._repetitions = Repetitions()
        self._disagreements = Disagreements()
        self._namesake_at = self._namesake_since = float("-inf")

    # --- counting ---------------------------------------------------------------------------------------------

    def gone(self, stream: Stream) -> None:
        """A connection has ended: what it counted stays in the totals, what it complained of is over."""
        self._problems.pop(stream, None)
        _add(self._totals, _counters(stream))
        _add(self._undeliverable, stream.undeliverable)

    def totals(self, streams: Iterable[Stream]) -> dict[str, Any]:
        """Messages, bytes, and messages that went nowhere by reason, since the start; `streams` are the open ones."""
        totals, undeliverable = dict(self._totals), dict(self._undeliverable)
        for stream in streams:
            _add(totals, _counters(stream))
            _add(undeliverable, stream.undeliverable)
        return {**totals, "undeliverable": undeliverable}

    def note_closed(self, stream: Stream, reason: str) -> None:
        """Why a connection ended."""
        service_id = str(ServiceId(stream.id))
        reason = _clean(reason, _PEER_LENGTH)
        row = {
            "router": self._router, "token": stream.token, "service_id": service_id, "name": stream.name or service_id,
            "peer": format_address(*stream.peer), "reason": reason, "at": time.time(),
        }  # fmt: skip
        self.closed.append(row)

    # --- what is wrong ----------------------------------------------------------------------------------------

    def alarm(self, message: Message, kind: str) -> None:
        """Keep it for good; the same again is counted."""
        log.error("%s: ALARM: %s", self._router, message)
        known = self._alarms.get(message)
        if known is None:
            if len(self._alarms) >= _ALARMS_KEPT:
                del self._alarms[next(iter(self._alarms))]
            self._alarms[message] = alarm_row(kind, message, time.time())
        else:
            known["count"] += 1

    def repeated(self, message: Message, kind: str, *, times: int = 1, least: int = 1) -> bool:
        """It went wrong `times` times: an alarm from `least` within a minute on, until a minute was quiet. True when it has just
        become one."""
        return self._repetitions.noted(message, kind, time.monotonic(), times=times, least=least)

    def problem(self, stream: Stream, given: Any) -> None:
        """A service says what is wrong with itself, by a message's map or a text: an alarm until "" comes or it is gone."""
        if not given:
            self._problems.pop(stream, None)
            return
        problem = _bounded(of_map(given) or Message.verbatim(str(given)))
        service = stream.name or str(ServiceId(stream.id))
        since = self._problems[stream][1] if stream in self._problems else time.time()
        self._problems[stream] = (Message("alarm.of-service", service=service, problem=problem), since)

    def differences(self, body: bytes, table: Mapping[int, int]) -> None:
        """A service's PING says `{router: {group: digest}}`, where others differ from this router's `table`.

        A router of its own name among them is another one that goes by it. Raises `ProtocolError` for another body.
        """
        now = time.monotonic()
        differing = unpack_value(body)
        try:
            _DIFFERING.check(differing, "the body")
        except BadArguments as error:
            raise ProtocolError(f"a PING whose body is not {{router: {{group: digest}}}}: {error}") from None
        seen = [
            (other, group, table.get(group, 0), digest)
            for other, groups in differing.items()
            for group, digest in groups.items()
        ]
        self._disagreements.reported(seen, now)
        if self._router in differing:
            self._namesake_seen(now)

    def alarms(self, names: Mapping[int, str]) -> list[dict[str, Any]]:
        """`{"kind", "code", "values", "text", "since", "count"}` each; `names` are the groups'."""
        now = time.monotonic()
        differing: dict[Message, dict[str, Any]] = {}
        for found in self._disagreements.lasting(now):
            # Both routers raise it, in the same words; and it goes on when one table changes, and they still differ.
            one, other = sorted((self._router, found["router"]), key=lambda name: (len(name), name))
            group = names.get(found["group"], str(found["group"]))
            message = Message("alarm.tables-differ", one=one, other=other, group=group)
            since = time.time() - found["for_s"]
            known = differing.setdefault(message, alarm_row("tables differ", message, since))
            known["since"] = min(known["since"], since)
        told = list(self._problems.values())[:_PROBLEMS_SHOWN]
        troubled = [alarm_row("service", message, since) for message, since in told]
        wall = time.time()
        repeated = [
            {**alarm_row(run.kind, run.message, wall - (now - run.since)), "count": run.count}
            for run in self._repetitions.lasting(now)
        ]
        alarms = [*self._alarms.values(), *list(differing.values())[:_ALARMS_KEPT], *troubled, *repeated]
        if now - self._namesake_at <= FORGET_S:
            message = Message("alarm.two-routers-one-name", router=self._router)
            alarms.append(alarm_row("names", message, wall - (now - self._namesake_since)))
        return alarms

    def _namesake_seen(self, now: float) -> None:
        if now - self._namesake_at > FORGET_S:
            self._namesake_since = now
            log.error(
                "%s: ALARM: %s", self._router, Message("alarm.two-routers-one-name", router=self._router)
            )
        self._namesake_at = now


def _clean(text: str, most: int) -> str:
    """A peer's words in one line that can be printed."""
    shown = "".join(character if character.isprintable() else " " for character in text[:most])
    return " ".join(shown.split())


def _bounded(problem: Message) -> Message:
    """A peer's message, cleaned; in its English words when it says more than somebody reads."""
    values = _cleaned(problem.as_map()["values"])
    clean = of_map({"code": _clean(problem.code, _PROBLEM_LENGTH), "values": values})
    try:
        if clean is not None and len(pack_value(clean.as_map())) <= _PROBLEM_BYTES:
            text = str(clean)
            return clean if len(text) <= _PROBLEM_LENGTH else Message.verbatim(text[:_PROBLEM_LENGTH])
        text = str(problem)
    except Exception:  # values that the text by this code cannot be made of
        text = f"{problem.code}: its values make no text"
    return Message.verbatim(_clean(text, _PROBLEM_LENGTH))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _clean(value, _PROBLEM_LENGTH)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {name: _cleaned(item) for name, item in value.items()}
    return value


def alarm_row(kind: str, message: Message, since: float) -> dict[str, Any]:
    """A row of `alarms`."""
    return {"kind": kind, **message.as_map(), "text": str(message), "since": since, "count": 1}


def _counters(stream: Stream) -> dict[str, int]:
    return dict(
        zip(
            _COUNTERS,
            (stream.frames_in, stream.frames_out, stream.bytes_in, stream.bytes_out),
            strict=True,
        )
    )


def _add(to: dict[str, int], more: Mapping[str, int]) -> None:
    for name, count in more.items():
        to[name] = to.get(name, 0) + count
