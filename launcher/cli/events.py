"""`events`: what happened, from the file where it is written down, and from the launcher as it happens."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from launcher.cli.log_printer import shown_time
from launcher.cli.logs import until_it_ends
from launcher.cli.terminal import Style
from launcher.errors import NotRunning
from launcher.runtime.control_client import Control, find_run_dir
from launcher.runtime.log_files import numbered
from launcher.runtime.log_reading import parse_since
from launcher.runtime.run_dir import RunDir
from launcher.runtime.stdio import OutputLost
from luabus.visible import visible, visible_json

Event = Mapping[str, Any]
Show = Callable[[Sequence[Event]], None]

EVENTS: Final = 100
"""Events to begin with, if neither their number nor `--since` is given."""

MOST_FOLLOWED: Final = 2000
"""Events that a launcher keeps."""


def show_events(
    config: Path,
    *,
    follow: bool = False,
    since: str | None = None,
    lines: int | None = None,
    as_json: bool = False,
    utc: bool = False,
) -> int:
    """Following ends with the cluster (exit code 0; 1 when it was killed) or Ctrl-C."""
    begin = parse_since(since) if since is not None else ""
    if lines is None and since is None:
        lines = EVENTS
    run_dir = find_run_dir(config)
    show = _shower(as_json=as_json, utc=utc)
    if follow:
        return asyncio.run(_follow(run_dir, begin, lines, show))
    written = read_events(run_dir)
    if not written:
        raise NotRunning(
            f"nothing is written down in {run_dir.events_file}; `luabus-cluster up` starts the cluster"
        )
    show(_newest(written, begin, lines))
    return 0


def read_events(run_dir: RunDir) -> list[dict[str, Any]]:
    """All that is kept in run_dir, oldest first; what is no event any more, or not yet, is left out."""
    found = []
    for file in (numbered(run_dir.events_file, 1), run_dir.events_file):
        try:
            text = file.read_text("utf-8", "replace")
        except FileNotFoundError:
            continue
        for line in text.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and {"time", "kind", "name", "text"} <= event.keys():
                found.append(event)
    return found


def _newest(events: Sequence[dict[str, Any]], since: str, lines: int | None) -> Sequence[dict[str, Any]]:
    wanted = [event for event in events if str(event["time"]) >= since]
    return wanted if lines is None else wanted[-lines:] if lines else []


async def _follow(run_dir: RunDir, since: str, lines: int | None, show: Show) -> int:
    early: list[list[dict[str, Any]]] = []
    begun = False
    unread = asyncio.Event()

    def take(batch: list[dict[str, Any]]) -> None:
        if not begun:
            early.append(batch)
            return
        try:
            show(batch)
        except OutputLost:
            unread.set()

    async with Control(run_dir, take) as control:
        first = await control.request("follow_events", MOST_FOLLOWED)
        show(_newest(first, since, lines))
        begun = True
        last = first[-1]["id"] if first else 0
        for batch in early:
            take([event for event in batch if event["id"] > last])
        return await until_it_ends(control, unread)


def _shower(*, as_json: bool, utc: bool) -> Show:
    style = Style.of(sys.stdout)

    def show(events: Sequence[Event]) -> None:
        today = datetime.now(UTC).date() if utc else date.today()
        texts = (visible_json(event) if as_json else _line(event, style, today, utc=utc) for event in events)
        sys.stdout.write("".join(f"{text}\n" for text in texts))
        sys.stdout.flush()

    return show


def _line(event: Event, style: Style, today: date, *, utc: bool) -> str:
    """When, whose, what, and who asked for it."""
    time = style(shown_time(str(event["time"]), today, utc=utc), "dim")
    name = style(visible(str(event["name"] or "cluster")).ljust(10), "cyan")
    by = f" (by {visible(str(event['by']))})" if event.get("by") else ""
    text = visible(str(event["text"]))
    state = event.get("state")
    return f"{time} {name} {style(text, 'red') if state in ('failed', 'backoff') else text}{by}"
