"""up and down."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import click

from launcher.cli.commands.shared import as_json, warn_of_old_keys
from launcher.cli.identity import who
from launcher.cli.terminal import Style


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Return when every process is ready; the cluster runs on.")
@click.option(
    "-t",
    "--timeout",
    type=click.FloatRange(0.001),
    metavar="SECONDS",
    help="Wait no longer: what is not ready by then is told, exit code 1; it goes on being tried.",
)
@click.option(
    "--abort-on-failure",
    is_flag=True,
    help="Stop everything when any process has failed for good, at any time, or is not ready within -t.",
)
@click.option("--watch", is_flag=True, help="Restart services whose files change: for those who write them.")
@click.option("--report", is_flag=True, hidden=True)
@as_json
@click.pass_obj
def up(
    config: Path,
    detach: bool,
    timeout: float | None,
    abort_on_failure: bool,
    watch: bool,
    report: bool,
    as_json: bool,
) -> int:
    """Start the cluster.

    In the foreground: progress, the dashboard's login URL, then everybody's output, each line with its process' name.
    Ctrl-C stops everything in reverse order; a second Ctrl-C does not wait any more. With --json: a JSON object for each line
    of a log, as `logs --json` prints it, and for each event, which has a `kind`.

    With -d: returns when every process is ready, done or failed, or -t is over. Ctrl-C ends the waiting, not the cluster.

    SIGTERM and SIGQUIT stop it in order, too; SIGUSR1 and SIGUSR2 open the logs anew. SIGHUP reloads the file, but stops a
    cluster in a terminal, which was closed then.

    A process that crashes or is not ready within its `start_timeout` is tried again, as its restart policy says. When one
    fails for good, the end of its log is shown and the others stay up; the exit code is 1: of -d when all is decided, in
    the foreground at the cluster's end. What is not ready within -t is told in the same way, and goes on being tried. An
    essential one takes the cluster with it, and with --abort-on-failure any does.

    With --watch, for development: a service is restarted when its module changes, or one that this imports from your folder, or a
    .lua or .toml file there; a changed cluster.toml or env_file is reloaded. A file with a syntax error is told, and nothing is
    restarted before it changes again.

    
    luabus-cluster up                       here, with everybody's output
    luabus-cluster up --watch               and edit away
    luabus-cluster up -d -t 30              in the background; what is not ready after 30 s is told

    Should the launcher be killed, its processes end with it (Linux), or the next `up` ends them.
    """
    from launcher.cli import up as start

    options = start.StartOptions(timeout, abort_on_failure, watch)
    if report:
        return start.background(config, options)
    warn_of_old_keys(config)
    return (
        start.detached(config, options, as_json=as_json)
        if detach
        else start.foreground(config, options, as_json=as_json)
    )


@click.command()
@as_json
@click.pass_obj
def down(config: Path, as_json: bool) -> int:
    """Stop the cluster, in reverse order.

    Returns when nothing is left of it. Each process gets its stop signal and `stop_timeout` seconds, then SIGKILL. What
    it started goes with it.
    """

    async def work() -> dict[str, Any]:
        from launcher.runtime.control_client import Control, find_run_dir

        style = Style.of(sys.stdout)
        async with Control(find_run_dir(config)) as control:
            report: dict[str, Any] = await control.request("down", who())
            closed = asyncio.ensure_future(control.closed())
            if style.on and not as_json:
                await _show_stopping(control, closed)
            await closed
            await control.gone()
            text = "; ".join([*control.killed, "the cluster has stopped"])
        return {**report, "text": text, "processes": {}}

    report = asyncio.run(work())
    click.echo(json.dumps(report) if as_json else report["text"])
    return 0


async def _show_stopping(control: Any, closed: asyncio.Future[None]) -> None:
    from luabus.errors import LuabusError

    while not closed.done():
        try:
            rows = await control.request("processes")
        except LuabusError:
            break
        left = [row["name"] for row in rows if row["state"] not in ("exited", "failed")]
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        sys.stdout.write(f"\r\x1b[Kwaiting for {', '.join(left[:5])}{more}" if left else "\r\x1b[K")
        sys.stdout.flush()
        await asyncio.wait([closed], timeout=0.2)
    sys.stdout.write("\r\x1b[K")
