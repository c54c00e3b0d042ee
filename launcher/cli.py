"""The command line: `luabus-cluster [-c cluster.toml] VERB`. What each verb does is in its help text.

Exit codes: 0 done or healthy, 1 failed or degraded, 2 bad usage or configuration, 3 not running. Modules are imported where
they are used: a verb should not wait for what it does not need.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from launcher.cli_status import ask, show_status
from launcher.errors import LauncherError, UsageError
from launcher.style import Style

T = TypeVar("T")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-c", "--config", "config", type=click.Path(path_type=Path), default=Path("cluster.toml"), show_default=True,
    envvar="LUABUS_CLUSTER_FILE", help="The cluster's configuration file.",
)  # fmt: skip
@click.version_option(package_name="luabus", prog_name="luabus-cluster")
@click.pass_context
def cli(context: click.Context, config: Path) -> None:
    """Runs and supervises a cluster of services, its routers and its dashboard.

    `up` starts what cluster.toml describes; `status` shows it; `logs -f` follows what it prints; `down` stops it. NAME is a
    service (mail: all its instances) or an instance (mail.2).

    Exit codes: 0 done or healthy, 1 failed or degraded, 2 bad usage or configuration, 3 not running.
    """
    context.obj = config


# -- starting and stopping ----------------------------------------------------------------------------------------


@cli.command()
@click.option("-d", "--detach", is_flag=True, help="Return when every process is ready; the cluster runs on.")
@click.option("--report", is_flag=True, hidden=True)
@as_json
@click.pass_obj
def up(config: Path, detach: bool, report: bool, as_json: bool) -> int:
    """Start the cluster.

    In the foreground: progress, the dashboard's login URL, then everybody's output, each line with its process' name.
    Ctrl-C stops everything in reverse order; a second Ctrl-C does not wait any more.

    With -d: returns when every process is ready. When one fails for good, the cluster is stopped again, the end of that
    process' log is shown, and the exit code is 1.
    """
    from launcher import up as start

    if report:
        return start.background(config)
    return start.detached(config, as_json=as_json) if detach else start.foreground(config)


@cli.command()
@as_json
@click.pass_obj
def down(config: Path, as_json: bool) -> int:
    """Stop the cluster, in reverse order; returns when nothing is left of it."""

    async def work() -> dict[str, Any]:
        from launcher.client import Control, find_run_dir

        style = Style.of(sys.stdout)
        async with Control(find_run_dir(config)) as control:
            report: dict[str, Any] = await control.request("down", _who())
            closed = asyncio.ensure_future(control.closed())
            if style.on and not as_json:
                await _show_stopping(control, closed)
            await closed
            pid = control.pid
        await _until_gone(pid)
        return {**report, "text": "the cluster has stopped", "processes": {}}

    report = _run(work())
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


async def _until_gone(pid: int) -> None:
    from launcher import family

    while family.started_at(pid) is not None:  # noqa: ASYNC110 - no event tells of a stranger's end
        await asyncio.sleep(0.02)


@cli.command()
@click.argument("name", nargs=-1, required=True)
@as_json
@click.pass_obj
def start(config: Path, name: tuple[str, ...], as_json: bool) -> int:
    """Start services or instances that are stopped or have failed; returns when they are ready (exit code 1: not)."""
    return _verb(config, "start", name, as_json)


@cli.command()
@click.argument("name", nargs=-1, required=True)
@as_json
@click.pass_obj
def stop(config: Path, name: tuple[str, ...], as_json: bool) -> int:
    """Stop services or instances; they stay stopped until `start`. Returns when nothing of them lives."""
    return _verb(config, "stop", name, as_json)


@cli.command()
@click.argument("name", nargs=-1, required=True)
@as_json
@click.pass_obj
def restart(config: Path, name: tuple[str, ...], as_json: bool) -> int:
    """Restart, one instance at a time: the next only when the one before is ready again.

    When one does not come back the rest is not touched, and the exit code is 1.
    """
    return _verb(config, "restart", name, as_json)


@cli.command()
@click.argument("name")
@click.option("-s", "--signal", default="SIGKILL", show_default=True, help="A signal by name or number.")
@as_json
@click.pass_obj
def kill(config: Path, name: str, signal: str, as_json: bool) -> int:
    """Send a signal to a process (not to its children). What comes after is up to its restart policy."""
    return _report([ask(config, "kill", name, signal, _who())], as_json)


@cli.command()
@click.argument("target", metavar="SERVICE=N")
@as_json
@click.pass_obj
def scale(config: Path, target: str, as_json: bool) -> int:
    """Change a service's number of instances; those that run on are not touched.

    Hash slots stay as configured. The number holds until the cluster is stopped or the file says another one at `reload`.
    """
    service, equals, number = target.partition("=")
    if not equals or not number.isascii() or not number.isdigit():
        raise UsageError(f"found {target!r}; allowed: SERVICE=N, such as mail=5")
    return _report([ask(config, "scale", service, int(number), _who(wait=True), timeout=None)], as_json)


@cli.command()
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@as_json
@click.pass_obj
def reload(config: Path, dry_run: bool, as_json: bool) -> int:
    """Apply the changed cluster.toml: start what is new, stop what is gone, restart what changed, leave the rest alone.

    A file with a fault changes nothing.
    """
    return _report([ask(config, "reload", dry_run, _who(wait=True), timeout=None)], as_json)


# -- looking ------------------------------------------------------------------------------------------------------


@cli.command()
@as_json
@click.pass_obj
def status(config: Path, as_json: bool) -> int:
    """Show processes, routers and masters. Exit code 0: healthy, 1: not (the reasons are listed), 3: not running."""
    return show_status(config, as_json=as_json)


@cli.command()
@click.argument("name", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on printing, also across restarts.")
@click.option(
    "-n",
    "--lines",
    default=100,
    show_default=True,
    type=click.IntRange(0, 10_000),
    help="Lines to begin with.",
)
@click.option("--raw", is_flag=True, help="Only the text of each line, as the process wrote it.")
@as_json
@click.pass_obj
def logs(config: Path, name: tuple[str, ...], follow: bool, lines: int, raw: bool, as_json: bool) -> int:
    """Print what processes wrote (no NAME: all, merged by time). Works while the cluster is stopped, too, but for -f."""
    from launcher.cli_logs import show_logs

    return show_logs(
        config, name, follow=follow, lines=lines, form="json" if as_json else "raw" if raw else "text"
    )


@cli.command()
@as_json
@click.pass_obj
def check(config: Path, as_json: bool) -> int:
    """Check cluster.toml: every fault with its line, what was found and what is allowed. Starts nothing."""
    from launcher.errors import ConfigError
    from launcher.load import load
    from launcher.plan import make_plan

    try:
        plan = make_plan(load(config), config)
    except ConfigError as error:
        if as_json:
            faults = [{"line": p.line, "key": p.key, "text": p.text} for p in error.problems]
            click.echo(json.dumps({"ok": False, "file": error.file, "problems": faults}))
            return error.exit_code
        raise
    names = [spec.name for spec in plan.specs]
    if as_json:
        click.echo(json.dumps({"ok": True, "file": str(config), "problems": [], "processes": names}))
    else:
        click.echo(f"{config} is right: {len(names)} processes: {', '.join(names)}")
    return 0


@cli.command()
@as_json
@click.pass_obj
def token(config: Path, as_json: bool) -> int:
    """Print the dashboard's login URL."""
    from launcher.console import login_url
    from launcher.load import load
    from launcher.plan import make_plan
    from launcher.rundir import RunDir

    plan = make_plan(load(config), config)
    run_dir = RunDir(plan.run_dir)
    run_dir.prepare()
    secret = run_dir.dashboard_token()
    url = login_url(plan, secret)
    if url is None:
        raise LauncherError(f"the dashboard is not enabled in {config}")
    click.echo(json.dumps({"url": url, "token": secret}) if as_json else url)
    return 0


# -- the bus ------------------------------------------------------------------------------------------------------


@cli.command()
@as_json
@click.pass_obj
def routes(config: Path, as_json: bool) -> int:
    """Show every router's routing table, and whether they agree (exit code 1: they do not)."""
    from launcher.cli_bus import show_routes

    return _run(show_routes(config, as_json=as_json))


@cli.command()
@click.argument("service_id", metavar="ID")
@click.argument("token", metavar="TOKEN|none")
@click.option("--master", is_flag=True, help="It is its group's master, until the lease says otherwise.")
@click.option("--router", default="*", show_default=True, help="Only at this router.")
@as_json
@click.pass_obj
def register(config: Path, service_id: str, token: str, master: bool, router: str, as_json: bool) -> int:
    """Change a routing entry by hand. ID is 2.1 or mail.1.

    TOKEN is a stream of the router (see `routes`), 0 for a slot that is kept vacant, `own` for the connection that says
    it has this id, or `none` to remove the entry.
    """
    from launcher.cli_bus import register as work

    return _run(work(config, service_id, token, master=master, router=router, as_json=as_json))


@cli.command()
@click.argument("name")
@as_json
@click.pass_obj
def promote(config: Path, name: str, as_json: bool) -> int:
    """Make an instance (director.2) its group's master."""
    from launcher.cli_bus import promote as work

    return _run(work(config, name, as_json=as_json))


@cli.command()
@click.argument("route")
@click.argument("msg")
@click.argument("args", metavar="[JSON..]", nargs=-1)
@click.option(
    "-t", "--timeout", default=5.0, show_default=True, type=click.FloatRange(0.001), help="Seconds to wait."
)
@click.pass_obj
def call(config: Path, route: str, msg: str, args: tuple[str, ...], timeout: float) -> int:
    """Call a handler of a service and print its reply as JSON.

    ROUTE is target:mail.2, hash:mail:alice, random:mail, broadcast:gateway (all replies) or master:director. Each argument is
    JSON; what is no JSON is taken as text. An error prints its type and text, exit code 1.
    """
    from launcher.cli_bus import call as work

    return _run(work(config, route, msg, args, timeout))


# -- within -------------------------------------------------------------------------------------------------------


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def _who(*, wait: bool = False) -> dict[str, Any]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "somebody"
    return {"by": user, "from": "command line", "wait": wait}


def _verb(config: Path, verb: str, names: tuple[str, ...], as_json: bool) -> int:
    async def work() -> list[dict[str, Any]]:
        from launcher.client import Control, find_run_dir

        async with Control(find_run_dir(config)) as control:
            asked = (control.request(verb, name, _who(wait=True), timeout=None) for name in names)
            return list(await asyncio.gather(*asked))

    return _report(_run(work()), as_json)


def _report(reports: list[dict[str, Any]], as_json: bool) -> int:
    ok = all(report["ok"] for report in reports)
    if as_json:
        click.echo(json.dumps(reports[0] if len(reports) == 1 else reports))
        return 0 if ok else 1
    style = Style.of(sys.stdout)
    for report in reports:
        if report["text"]:
            click.echo(
                style.clean(report["text"]) if report["ok"] else style(style.clean(report["text"]), "red")
            )
        for name, state in report["processes"].items():
            click.echo(f"{name} is {style.state(state)}" if state != "removed" else f"{name} is gone")
    return 0 if ok else 1
