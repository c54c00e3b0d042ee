"""What `up` shows: progress while the cluster starts, then everybody's logs, then for what it waits while it stops."""

from __future__ import annotations

import errno
import json
import os
import sys
from typing import Any, TextIO

from launcher.cli.log_printer import LogPrinter, Output, tail_lines
from launcher.cli.screen import Screen
from launcher.cli.terminal import Style
from launcher.errors import LauncherError, StartFailed, told
from launcher.plan.plan import Plan, dashboard_url
from launcher.plan.spec import Kind
from launcher.runtime.stdio import OutputLost, say_lost
from launcher.supervision.supervisor import Supervisor
from luabus.messages import Message, of_map
from luabus.visible import visible


class Foreground:
    """The reporter of `up`."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._screen = Screen(sys.stdout.fileno(), sys.stdout.encoding) if out is None else None
        self._out: Output = out or self._screen or sys.stdout
        self._style = Style.of(out or sys.stdout)
        self._printer = LogPrinter(self._style, self._out)
        self._up = False

    def close(self) -> None:
        """Lets the last words out."""
        if self._screen is None:
            return
        self._screen.close()
        if self._screen.lost is not None and self._screen.lost.errno not in (errno.EPIPE, errno.EIO):
            say_lost(str(self._screen.lost.strerror))  # neither a pipe nor a terminal that was closed

    def prepared(self, plan: Plan, ended_leftovers: int) -> None:
        if ended_leftovers:
            self._say(f"ended {ended_leftovers} processes that a crashed launcher had left behind")
        count = len(plan.specs)
        self._say(
            f"starting cluster {self._style(plan.name, 'bold')}: {count} processes  (Ctrl-C stops them)"
        )

    def attach(self, supervisor: Supervisor) -> None:
        supervisor.events.listen(self._event)
        supervisor.run_task(self._follow(supervisor), "log printer")

    def ready(self, supervisor: Supervisor, seconds: float) -> None:
        self._up = True
        self._say(
            self._style(
                f"all {len(supervisor.instances)} processes are ready after {seconds:.1f} s", "bold", "green"
            )
        )
        self._say_where(supervisor)

    def _say_where(self, supervisor: Supervisor) -> None:
        url = login_url(supervisor.plan, supervisor.run_dir.dashboard_token())
        if url:
            self._say(f"dashboard: {self._style(url, 'bold')}")

    def degraded(self, supervisor: Supervisor, seconds: float, error: StartFailed) -> None:
        self._up = True
        for line in tail_lines(self._style, error.tail):
            self._say(line)
        self._say(self._style(told(error), "bold", "red"))
        self._say(
            self._style(f"degraded: the other processes stay up (after {seconds:.1f} s)", "bold", "yellow")
        )
        if _has_page(supervisor):
            self._say_where(supervisor)

    def failed(self, error: StartFailed) -> None:
        self._say(self._style(f"the cluster does not come up: {told(error)}", "bold", "red"))
        for line in tail_lines(self._style, error.tail):
            self._say(line)

    def stopping(self, why: str) -> None:
        self._say(f"stopping: {why} (Ctrl-C again: no more waiting)")

    def waiting(self, names: list[str]) -> None:
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        self._say(self._style(f"waiting for {shown} to end", "dim"))

    def stopped(self, code: int) -> None:
        self._say("everything has stopped")

    def _event(self, event: dict[str, Any]) -> None:
        if event["kind"] == "state":
            state = str(event["state"])
            if state in ("backoff", "failed") or (not self._up and state == "running"):
                self._say(self._style.as_state(state, visible(state_line(event))))
        elif event["by"]:
            self._say(visible(f"{event['text']} (by {event['by']})"))

    async def _follow(self, supervisor: Supervisor) -> None:
        follower = supervisor.logs.follow(())
        while lines := await follower.next():
            self._printer.lines(lines)

    def refused(self, error: LauncherError) -> None:
        """It does not start at all."""
        who = Style.of(sys.stderr)("luabus-cluster", "bold")
        sys.stderr.write("".join(f"{who}: {line}\n" for line in told(error).split("\n")))

    def _say(self, text: str) -> None:
        self._out.write(f"{self._style('luabus-cluster', 'bold')}: {text}\n")
        self._out.flush()


class Background:
    """The reporter of the launcher behind `up -d`: JSON lines to whoever started it, until the cluster is up or not."""

    def __init__(self, out: TextIO) -> None:
        self._out: TextIO | None = out

    def close(self) -> None:
        """Nothing waits here."""

    def prepared(self, plan: Plan, ended_leftovers: int) -> None:
        self._tell({"total": len(plan.specs), "name": plan.name, "leftovers": ended_leftovers})

    def attach(self, supervisor: Supervisor) -> None:
        def event(event: dict[str, Any]) -> None:
            ready = [instance.name for instance in supervisor.instances.values() if instance.ready]
            self._tell({"event": event, "ready": len(ready), "total": len(supervisor.instances)})

        supervisor.events.listen(event)

    def ready(self, supervisor: Supervisor, seconds: float) -> None:
        url = login_url(supervisor.plan, supervisor.run_dir.dashboard_token())
        self._tell({"done": "ready", "seconds": seconds, "processes": len(supervisor.instances), "url": url})
        self._detach()

    def degraded(self, supervisor: Supervisor, seconds: float, error: StartFailed) -> None:
        url = (
            login_url(supervisor.plan, supervisor.run_dir.dashboard_token())
            if _has_page(supervisor)
            else None
        )
        up = supervisor.instances.values()
        ready = sum(one.ready or one.machine.completed or not one.machine.wanted for one in up)
        told_of = {"reason": told(error), "tail": list(error.tail), "url": url}
        processes = {"ready": ready, "processes": len(supervisor.instances)}
        self._tell({"done": "degraded", "seconds": seconds, **processes, **told_of})
        self._detach()

    def failed(self, error: StartFailed) -> None:
        self._tell({"done": "failed", "reason": told(error), "tail": list(error.tail)})
        self._detach()

    def stopping(self, why: str) -> None:
        self._tell({"done": "failed", "reason": f"stopped: {why}", "tail": []})
        self._detach()

    def waiting(self, names: list[str]) -> None:
        return

    def stopped(self, code: int) -> None:
        return

    def refused(self, error: LauncherError) -> None:
        """It does not start at all."""
        kind = type(error).__name__
        self._tell({"done": "error", "type": kind, "reason": told(error), "code": error.exit_code})

    def _tell(self, value: dict[str, Any]) -> None:
        if self._out is None:
            return
        try:
            self._out.write(json.dumps(value) + "\n")
            self._out.flush()
        except (OSError, OutputLost):
            self._out = None  # whoever waited was interrupted; the cluster goes on

    def _detach(self) -> None:
        if self._out is None:
            return
        self._out = None
        # The pipe must close now, so that the one who waits can end; later prints must not fail for that.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)


def state_line(event: dict[str, Any]) -> str:
    """A process' change of state, as a sentence."""
    message = of_map(event["message"])
    why = message.values.get("why") if message is not None else None
    if why is None:
        return str(Message(f"told.{event['state']}", name=event["name"], seconds=""))
    return str(Message(f"run.is-{event['state']}", name=event["name"], why=why))


def _has_page(supervisor: Supervisor) -> bool:
    """Whether there is a dashboard to log in to."""
    instances = supervisor.instances.values()
    return any(instance.ready for instance in instances if instance.spec.kind is Kind.DASHBOARD)


def login_url(plan: Plan, token: str) -> str | None:
    """Where a browser logs in to the dashboard; None without a dashboard."""
    section = plan.config.dashboard
    return f"{dashboard_url(section)}/login?token={token}" if section.enabled else None
