"""`run NAME` and `env NAME`: an instance in this terminal, and what it is given."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from launcher.cli.identity import who
from launcher.cli.terminal import Style
from launcher.config.expansion import inherited
from launcher.config.load import load
from launcher.errors import LauncherError, UsageError, suggest
from launcher.plan.plan import Plan, make_plan
from launcher.plan.spec import ProcessSpec
from launcher.processes import process_tag, process_tree
from launcher.processes.exit_status import signal_name
from launcher.processes.linux import die_with
from launcher.runtime.control_client import Control
from launcher.runtime.run_dir import RunDir
from luabus.ids import MAX_INSTANCE
from luabus.visible import visible

DEBUGGED: Final = "LUABUS_DEBUGGED"
"""Tells a service that it may stand at a breakpoint, and the routers that it is not lost then."""

NO_PROGRAM: Final = 127
CANNOT_RUN: Final = 126
"""What shells say of a program that there is not, and of one that cannot be run."""

LEFT_BEHIND_S: Final = 5.0
"""How long to wait for what was killed to be gone."""


def find_spec(config: Path, name: str) -> tuple[Plan, ProcessSpec]:
    """The process of that name as the file describes it now; an instance beyond the file's number, which `scale` may have
    started, is made as the others are. Raises `UsageError`."""
    plan = make_plan(load(config, here=True), config)
    service, _, number = name.rpartition(".")
    if (
        service in plan.config.services
        and number.isascii()
        and number.isdigit()
        and 0 < int(number) <= MAX_INSTANCE
        and name == f"{service}.{int(number)}"
        and name not in plan.by_name()
    ):
        plan = plan.scaled({service: int(number)})
    specs = plan.by_name()
    meant = [spec for spec in plan.specs if name in (spec.name, spec.service)]
    if name in specs:
        return plan, specs[name]
    if len(meant) == 1:
        return plan, meant[0]
    if meant:
        raise UsageError(f'"{name}" is a service; its processes: {", ".join(spec.name for spec in meant)}')
    services = {spec.service for spec in plan.specs}
    raise UsageError(f'there is no process or service "{name}"; {suggest(name, {*specs, *services})}')


def shell_lines(env: Mapping[str, str], *, export: bool) -> list[str]:
    """`KEY='value'`, sorted, as a shell can read them; of what no shell takes for a name a comment is left."""
    lines = []
    for key, value in sorted(env.items()):
        if not key.isascii() or not key.isidentifier():
            lines.append(f"# {visible(key)} is no name for a shell")
            continue
        quoted = "'" + value.replace("'", "'\\''") + "'"
        lines.append(f"{'export ' if export else ''}{key}={quoted}")
    return lines


def run_here(config: Path, name: str, *, keep_stopped: bool) -> int:
    """Runs an instance in this terminal in place of the supervised one; its exit code, 128 + N for signal N."""
    plan, spec = find_spec(config, name)
    return asyncio.run(_run(plan, spec, keep_stopped=keep_stopped))


async def _run(plan: Plan, spec: ProcessSpec, *, keep_stopped: bool) -> int:
    async with Control(RunDir(plan.run_dir)) as control:
        report = await control.request("lend", spec.name, keep_stopped, who(), timeout=None)
        if not report["ok"]:
            raise LauncherError(str(report["text"]))
        again = "it stays stopped then" if keep_stopped else "then the supervised one takes its place again"
        _say(f"{spec.name} runs here; Ctrl-C ends it, {again}")
        code = await _child(spec, control, str(report["loan"]))
        running = control.is_open
    after = f"; `luabus-cluster start {spec.name}` starts it" if keep_stopped else "; it is supervised again"
    _say(f"{spec.name} has ended here ({_how(code)}){after if running else ''}")
    return code


async def _child(spec: ProcessSpec, control: Control, loan: str) -> int:
    """Runs it until it ends. Ctrl-C is the terminal's word to both: it is for the child to heed. What it leaves behind is ended
    with it: by its tag, for it is in the terminal's group. (When we are killed, the launcher does that.)"""
    parent = os.getpid()
    limit = process_tag.limit(f"{loan}/{spec.name}")

    def in_the_child() -> None:
        die_with(parent)
        if limit:
            import resource

            resource.setrlimit(*limit)

    try:
        child = await asyncio.create_subprocess_exec(
            *spec.argv,
            env={**inherited(os.environ), **spec.env, DEBUGGED: "1"},
            cwd=spec.cwd,
            preexec_fn=in_the_child if os.name == "posix" else None,
        )
    except OSError as error:
        what = spec.cwd if not os.path.isdir(spec.cwd) else spec.argv[0]  # noqa: ASYNC240 - nothing else goes on
        _say(f"{visible(what)} cannot be run: {error.strerror}")
        return NO_PROGRAM if isinstance(error, FileNotFoundError) else CANNOT_RUN
    with _forwarding(child):
        ended = asyncio.ensure_future(child.wait())
        closed = asyncio.ensure_future(control.closed())
        await asyncio.wait((ended, closed), return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            _say("the cluster has stopped, and so this ends as well")
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(spec.stop_signal)
            await asyncio.wait((ended,), timeout=spec.rules.stop_timeout)
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        code = await ended
        closed.cancel()
    await process_tree.end(lambda: process_tree.marked(loan), LEFT_BEHIND_S)
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _forwarding(child: Any) -> Any:
    """Passes on what asks us to end. Ctrl-C is not passed on where the terminal has told the child itself."""
    loop = asyncio.get_running_loop()

    def pass_on(number: int) -> None:
        if number != signal.SIGINT or not sys.stdin.isatty():
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if os.name == "posix" else ()
    for number in numbers:
        loop.add_signal_handler(number, pass_on, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _how(code: int) -> str:
    return signal_name(code - 128) if code > 128 else f"exit code {code}"


def _say(text: str) -> None:
    sys.stderr.write(f"{Style.of(sys.stderr)('luabus-cluster', 'bold')}: {text}\n")
    sys.stderr.flush()
