"""The reporter of `up --json`: a JSON object a line, for whoever collects a container's output."""

from __future__ import annotations

import errno
import sys
from typing import Any, TextIO

from launcher.cli.answers import answer_of
from launcher.cli.log_printer import Output
from launcher.cli.screen import Screen
from launcher.cli.terminal import Style
from launcher.errors import LauncherError, StartFailed, told
from launcher.plan.plan import Plan
from launcher.runtime.log_files import Line, utc_now
from launcher.runtime.stdio import say_lost
from launcher.supervision.supervisor import Supervisor
from luabus.visible import visible_json


class JsonLines:
    """Log lines as `logs --json` prints them, and events as `events --json` does: what has a `kind` is an event."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._screen = (
            Screen(sys.stdout.fileno(), sys.stdout.encoding, missed=_missed) if out is None else None
        )
        self._out: Output = out or self._screen or sys.stdout

    def close(self) -> None:
        """Lets the last words out."""
        if self._screen is None:
            return
        self._screen.close()
        if self._screen.lost is not None and self._screen.lost.errno not in (errno.EPIPE, errno.EIO):
            say_lost(str(self._screen.lost.strerror))

    def prepared(self, plan: Plan, ended_leftovers: int) -> None:
        """The event that the cluster starts says it."""

    def attach(self, supervisor: Supervisor) -> None:
        for event in supervisor.events.after(0, 1000):
            self._write([event])
        supervisor.events.listen(lambda event: self._write([event]))
        supervisor.run_task(self._follow(supervisor), "log printer")

    def ready(self, supervisor: Supervisor, seconds: float) -> None:
        """An event says it."""

    def degraded(self, supervisor: Supervisor, seconds: float, error: StartFailed) -> None:
        """An event says it."""

    def failed(self, error: StartFailed) -> None:
        """Events say it."""

    def stopping(self, why: str) -> None:
        """An event says it."""

    def waiting(self, names: list[str]) -> None:
        """Events say who has ended."""

    def stopped(self, code: int) -> None:
        """An event says it."""

    def refused(self, error: LauncherError) -> None:
        """Answers as every verb with `--json` does, and says it on stderr."""
        self._write([answer_of(error)])
        sys.stderr.write(f"{Style.of(sys.stderr)('luabus-cluster', 'bold')}: {told(error)}\n")

    async def _follow(self, supervisor: Supervisor) -> None:
        follower = supervisor.logs.follow(())
        while lines := await follower.next():
            self._write([line.as_map() for line in lines])

    def _write(self, values: list[dict[str, Any]]) -> None:
        self._out.write("".join(visible_json(value) + "\n" for value in values))
        self._out.flush()


def _missed(count: int) -> str:
    line = Line(utc_now(), "launcher", "sys", f"{count} lines are not shown here; they are in the logs")
    return visible_json(line.as_map())
