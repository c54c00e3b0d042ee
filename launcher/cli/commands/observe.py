"""status, top, logs, check and token: looking at a cluster without changing it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from launcher.cli.commands.shared import as_json, complete_names, warn_of_old_keys
from launcher.cli.status import show_status
from launcher.errors import ConfigError, LauncherError
from luabus.visible import visible


@click.command()
@click.argument("names", metavar="[NAME..]", nargs=-1, shell_complete=complete_names)
@as_json
@click.pass_obj
def status(config: Path, names: tuple[str, ...], as_json: bool) -> int:
    """Show processes, routers and masters at a glance.

    With NAMEs, only these services or instances, and what is wrong with them.

    Exit code 0: healthy, 1: starting, stopping or degraded (the reasons are listed), 3: not running.

    \b
    luabus-cluster status                 all
    luabus-cluster status mail web.2      all of mail, and web.2
    """
    return show_status(config, names, as_json=as_json)


@click.command()
@click.option("--interval", default=1.0, show_default=True, type=click.FloatRange(0.1, 60), help="Seconds.")
@click.pass_obj
def top(config: Path, interval: float) -> int:
    """A live view of processes, routes, masters and rates.

    \b
    up, down    choose a process         r    restart it
    tab         processes or routes      k    kill it (SIGKILL, after a question)
    l           follow its log           s    stop it, or start it again
    q           leave                    ?    all keys
    """
    from launcher.cli.top.app import run_top
    from launcher.errors import UsageError

    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
        raise UsageError(
            "top needs a terminal that can move its cursor (this is a pipe, or TERM is dumb);"
            " `luabus-cluster status --json` is the same for programs"
        )

    return run_top(config, interval)


@click.command()
@click.argument("name", nargs=-1, shell_complete=complete_names)
@click.option("-f", "--follow", is_flag=True, help="Go on printing, also across restarts.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, 10_000),
    help="Lines to begin with.  [default: 100; with --since all]",
)
@click.option(
    "--since",
    metavar="TIME",
    help='No older lines: 10m, 2h, 1d (ago); today, 14:05, "2026-01-31 14:05"; 2026-01-31T14:05:00Z.',
)
@click.option(
    "-g",
    "--grep",
    metavar="PATTERN",
    help="Only lines in which this regular expression is found. It heeds capitals if it has any.",
)
@click.option("--utc", is_flag=True, help="Times in UTC instead of local time.")
@click.option("--raw", is_flag=True, help="Only the text of each line, as the process wrote it.")
@as_json
@click.pass_obj
def logs(
    config: Path,
    name: tuple[str, ...],
    follow: bool,
    lines: int | None,
    since: str | None,
    grep: str | None,
    utc: bool,
    raw: bool,
    as_json: bool,
) -> int:
    """Print what processes wrote.

    No NAME: all, merged by time. Rotated files are read, too. Works while the cluster is stopped, but for -f. Times are local,
    with the date if that is not today's. A red bar marks what went to stderr, unless its level is INFO or DEBUG; a line in
    parentheses is the launcher's own.

    \b
    luabus-cluster logs -f chat.1
    luabus-cluster logs --since 10m --grep 'error|timeout'
    luabus-cluster logs --since today --grep '(?-i:warn)' --json
    """
    from launcher.cli.logs import show_logs

    form = "json" if as_json else "raw" if raw else "text"
    return show_logs(config, name, follow=follow, lines=lines, since=since, grep=grep, form=form, utc=utc)


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on printing, until the cluster stops.")
@click.option("--since", metavar="TIME", help="None from before: 10m, 2h, today, 14:05, or an RFC 3339 time.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, 10_000),
    help="Events to begin with.  [default: 100, with --since all]",
)
@click.option("--utc", is_flag=True, help="Times in UTC, not in local time.")
@as_json
@click.pass_obj
def events(config: Path, follow: bool, since: str | None, lines: int | None, utc: bool, as_json: bool) -> int:
    """Print what happened: states that changed, and who did what.

    Works while the cluster is stopped, too, but for -f. With --json: an object a line, as the HTTP API has them.

    \b
    luabus-cluster events --since 1h
    luabus-cluster events -f --json | jq 'select(.kind == "state")'
    """
    from launcher.cli.events import show_events

    return show_events(config, follow=follow, since=since, lines=lines, as_json=as_json, utc=utc)


@click.command()
@as_json
@click.pass_obj
def check(config: Path, as_json: bool) -> int:
    """Check cluster.toml.

    Tells every fault with its line, what was found and what is allowed: also modules and programs that are not there and, while
    the cluster does not run, ports that are taken. Starts nothing, and runs nothing of yours."""
    from launcher.plan.checks import checked_plan

    try:
        plan = checked_plan(config)
    except ConfigError as error:
        if as_json:
            faults = [{"line": p.line, "key": p.key, "text": p.text} for p in error.problems]
            click.echo(json.dumps({"ok": False, "file": error.file, "problems": faults}))
            return error.exit_code
        raise
    warn_of_old_keys(config)
    names = [spec.name for spec in plan.specs]
    if as_json:
        click.echo(json.dumps({"ok": True, "file": str(config), "problems": [], "processes": names}))
    else:
        click.echo(f"{visible(str(config))} is right: {len(names)} processes: {', '.join(names)}")
    return 0


@click.command()
@as_json
@click.pass_obj
def token(config: Path, as_json: bool) -> int:
    """Print the dashboard's login URL. Whoever has it can steer the cluster."""
    from launcher.cli.progress import login_url
    from launcher.config.load import load
    from launcher.plan.plan import make_plan
    from launcher.runtime.run_dir import RunDir

    plan = make_plan(load(config), config)
    run_dir = RunDir(plan.run_dir)
    run_dir.prepare()
    secret = run_dir.dashboard_token()
    url = login_url(plan, secret)
    if url is None:
        raise LauncherError(f"the dashboard is not enabled in {config}")
    click.echo(json.dumps({"ok": True, "url": url, "token": secret}) if as_json else url)
    return 0
