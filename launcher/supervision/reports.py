"""What a verb has done, as it is told to who asked for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from launcher.plan.diff import Changes
from luabus.messages import Message

Report = dict[str, Any]
"""`{"ok": bool, "message": {"code", "values"} | None, "text": str, "processes": {name: state}}`; the text is the message in
English, empty without one."""


def report(states: Mapping[str, str], *told: Message | None, ok: bool) -> Report:
    """A report of all that is `told`."""
    parts = [part for part in told if part is not None]
    message = parts[0] if len(parts) == 1 else Message("report.all", parts=parts) if parts else None
    return {
        "ok": ok,
        "message": None if message is None else message.as_map(),
        "text": str(message or ""),
        "processes": dict(states),
    }


def ended(failures: list[Message] | None) -> list[Message]:
    """What did not come about; that the work goes on, when nobody waited for its end."""
    return [Message("report.begun")] if failures is None else failures


def summary_of(changes: Changes, taken_away: Sequence[str] = ()) -> list[Message]:
    """What a reload does; `taken_away`: what it does only with `--yes`."""
    if not changes:
        return [Message("report.nothing-to-change")]
    parts = [
        Message(code, names=list(names))
        for code, names in (("report.add", changes.added), ("report.remove", changes.removed))
        if names
    ]
    if changes.told:
        parts.append(Message("report.tell-routers", keys=list(changes.told)))
    parts += [Message("report.restart", name=name, keys=list(keys)) for name, keys in changes.changed.items()]
    if taken_away:
        parts.append(Message("report.only-with-yes", keys=list(taken_away)))
    return parts
