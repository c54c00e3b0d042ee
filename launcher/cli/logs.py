"""`logs`: from the launcher, or from the files when there is none."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from launcher.cli.log_printer import LogPrinter
from launcher.cli.terminal import Style
from launcher.errors import ConfigError, NotRunning, UsageError, suggest
from launcher.runtime.control_client import Control, find_run_dir
from launcher.runtime.log_files import Line
from launcher.runtime.log_reading import LogFilter, parse_pattern, parse_since
from launcher.runtime.log_store import log_names, read_tail
from launcher.runtime.run_dir import RunDir
from launcher.runtime.stdio import OutputLost, reader_watched
from luabus.visible import visible_json

Show = Callable[[Sequence[Line]], None]

LINES: Final = 100
"""Lines to begin with, if neither their number nor `--since` is given."""

MOST_LINES: Final = 10_000
"""Lines that the launcher gives at most before it follows."""


def show_logs(
    config: Path,
    names: Sequence[str],
    *,
    follow: bool = False,
    lines: int | None = None,
    since: str | None = None,
    grep: str | None = None,
    form: str = "text",
    utc: bool = False,
) -> int:
    """`form` is text, raw or json. Following ends with the cluster (exit code 0; 1 when it was killed) or Ctrl-C."""
    wanted = LogFilter(
        parse_since(since) if since is not None else "", parse_pattern(grep) if grep is not None else None
    )
    if lines is None and since is None:
        lines = LINES
    run_dir = find_run_dir(config)
    show = _shower(form, utc)
    if follow:
        return asyncio.run(_follow(run_dir, names, lines, wanted, show))
    # The files say all there is to know: no need to bother the launcher.
    show(read_tail(run_dir.log_dir, _resolve(run_dir, names, config), lines, wanted))
    return 0


async def _follow(
    run_dir: RunDir, names: Sequence[str], lines: int | None, wanted: LogFilter, show: Show
) -> int:
    early: list[list[dict[str, Any]]] = []
    begun = False
    unread = asyncio.Event()

    def take(batch: list[dict[str, Any]]) -> None:
        if not begun:
            early.append(batch)
            return
        try:
            show([line for line in map(Line.of_map, batch) if line in wanted])
        except OutputLost:
            unread.set()

    async with Control(run_dir, take) as control:
        # A pattern is searched here: one that takes for ever shall not hold the launcher.
        asked_for = MOST_LINES if lines is None or wanted.pattern is not None else lines
        first = await control.request("follow", list(names), asked_for, wanted.since)
        found = [line for line in map(Line.of_map, first) if line in wanted]
        show(found if lines is None else found[-lines:] if lines else [])
        begun = True
        for batch in early:
            take(batch)
        return await until_it_ends(control, unread)


async def until_it_ends(control: Control, unread: asyncio.Event) -> int:
    """Goes on until the cluster has stopped, which is said, or nobody reads any more (`unread`); the exit code. Raises as
    `Control.gone` when the launcher was killed."""
    ends = [asyncio.ensure_future(control.closed()), asyncio.ensure_future(unread.wait())]
    try:
        with reader_watched(unread.set):
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
    if unread.is_set():
        return 0
    await control.gone()
    sys.stderr.write("luabus-cluster: the cluster has stopped\n")
    return 0


def _resolve(run_dir: RunDir, names: Sequence[str], config: Path) -> list[str]:
    """The logs of these; of one that has printed nothing there is none."""
    known = log_names(run_dir.log_dir)
    if not known:
        raise NotRunning(f"there are no logs in {run_dir.log_dir}; `luabus-cluster up` starts the cluster")
    if not names:
        return known
    found = []
    for name in names:
        matching = [one for one in known if one == name or one.rpartition(".")[0] == name]
        if not matching and name not in _planned(config):
            services = {one.rpartition(".")[0] or one for one in known}
            raise UsageError(f'there is no log of "{name}"; {suggest(name, {*known, *services})}')
        found += matching
    return found


def _planned(config: Path) -> set[str]:
    """The names in cluster.toml, of services and instances; none while it is wrong."""
    from launcher.config.load import load  # slow to import, and only here of use
    from launcher.plan.plan import make_plan

    try:
        specs = make_plan(load(config), config).specs
    except ConfigError:
        return set()
    return {name for spec in specs for name in (spec.name, spec.service)}


def _shower(form: str, utc: bool) -> Show:
    if form == "text":
        return LogPrinter(Style.of(sys.stdout), sys.stdout, utc=utc).lines

    def show(lines: Sequence[Line]) -> None:
        if form == "json":
            sys.stdout.write("".join(visible_json(line.as_map()) + "\n" for line in lines))
        else:
            style = Style.of(sys.stdout)
            sys.stdout.write("".join(f"{style.clean(line.text)}\n" for line in lines))
        sys.stdout.flush()

    return show
