"""`up`: the launcher in the foreground, or started apart (`-d`) and watched until the cluster is ready."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.cli.answers import error_answer
from launcher.cli.log_printer import tail_lines
from launcher.cli.terminal import Style
from launcher.daemon.watchdog import guarded
from launcher.errors import LauncherError, RunDirError
from launcher.runtime import lost_launcher, own_stderr
from launcher.runtime.control_client import find_run_dir
from launcher.runtime.run_dir import RunDir
from launcher.runtime.stdio import OutputLost
from luabus import log_signals
from luabus.visible import visible


@dataclass(frozen=True)
class StartOptions:
    """When a start is given up, and whether files are watched: see `daemon/run.py`."""

    timeout_s: float | None = None
    abort_on_failure: bool = False
    watch: bool = False

    def words(self) -> list[str]:
        """The options that say the same."""
        timeout = [] if self.timeout_s is None else ["--timeout", str(self.timeout_s)]
        flags = {"--abort-on-failure": self.abort_on_failure, "--watch": self.watch}
        return [*timeout, *(flag for flag, given in flags.items() if given)]


def foreground(config_file: Path, options: StartOptions, *, as_json: bool) -> int:
    """Runs the cluster until it is stopped; the exit code. With `as_json` stdout has a JSON object a line."""
    show = "json" if as_json else "text"
    return guarded(
        lambda lifeline: _launch(config_file, lifeline, options, show), lambda: _run_dir(config_file)
    )


def background(config_file: Path, options: StartOptions) -> int:
    """The launcher behind `up -d`: as `foreground`, reporting its start as JSON lines on stdout."""
    return guarded(
        lambda lifeline: _launch(config_file, lifeline, options, "report"), lambda: _run_dir(config_file)
    )


def _launch(config_file: Path, lifeline: int | None, options: StartOptions, show: str) -> int:
    from launcher.cli.json_reporter import JsonLines
    from launcher.cli.progress import Background, Foreground
    from launcher.daemon.run import Reporter, run

    reporters: dict[str, Callable[[], Reporter]] = {
        "report": lambda: Background(sys.stdout),
        "json": JsonLines,
        "text": Foreground,
    }
    reporter = reporters[show]()
    try:
        try:
            return run(
                config_file,
                reporter,
                lifeline,
                options.timeout_s,
                abort_on_failure=options.abort_on_failure,
                watch=options.watch,
            )
        finally:
            reporter.close()
    except LauncherError as error:
        reporter.refused(error)
        return error.exit_code


def _run_dir(config_file: Path) -> Path | None:
    try:
        return find_run_dir(config_file).path
    except LauncherError:
        return None


def detached(config_file: Path, options: StartOptions, *, as_json: bool) -> int:
    """`up -d`: starts the launcher in a session of its own; returns when every process is ready, or not going to be. Exit code 1
    also when only some are not, and the rest is up."""
    from launcher.config.load import load
    from launcher.plan.plan import make_plan

    plan = make_plan(load(config_file, here=True), config_file)
    run_dir = RunDir(plan.run_dir)
    lost_launcher.refuse(run_dir)
    run_dir.prepare()
    stderr_file = run_dir.log_dir / own_stderr.NAME
    try:
        # The launcher empties it when it has the lock: one that runs already keeps its last words.
        stderr_to = os.fdopen(own_stderr.open_stderr(run_dir.log_dir), "wb")
    except OSError as error:
        raise RunDirError(f"{stderr_file} cannot be written: {error.strerror}") from None
    written_before = os.fstat(stderr_to.fileno()).st_size
    with stderr_to as stderr, log_signals.held_back():
        launcher = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "launcher",
                "-c",
                str(plan.file),
                "up",
                "--report",
                *options.words(),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=plan.base,
            **_apart(),
        )
    assert launcher.stdout is not None
    watcher = _Watcher(as_json)
    try:
        with launcher.stdout as reports:
            for line in reports:
                if watcher.take(json.loads(line)):
                    break
    except KeyboardInterrupt:
        launcher.returncode = 0
        watcher.interrupted()
        raise
    if watcher.code is None:
        code = launcher.wait()
        said = stderr_file.read_bytes()
        said = said[written_before:] if len(said) > written_before else said
        watcher.died(code, said.decode("utf-8", "replace").strip())
    if watcher.code and not watcher.runs_on:
        launcher.wait()
    launcher.returncode = launcher.returncode or 0  # it goes on without us: no complaint that we did not wait
    return watcher.code or 0


def _apart() -> dict[str, Any]:
    if os.name == "posix":
        return {"start_new_session": True}
    return {
        "creationflags": getattr(subprocess, "DETACHED_PROCESS", 0)
        | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    }


class _Watcher:
    """Shows how the launcher in the background comes up; `code` is the exit code once that is known, `runs_on` whether the
    cluster is up then."""

    def __init__(self, as_json: bool) -> None:
        self.code: int | None = None
        self.runs_on = False
        self._json = as_json
        self._style = Style.of(sys.stdout)
        self._live = self._style.on and not as_json

    def take(self, report: dict[str, Any]) -> bool:
        """One report; True when it was the last."""
        done = report.get("done")
        if done is None:
            self._progress(report)
            return False
        self._clear()
        self.code = 0 if done == "ready" else int(report.get("code", 1))
        self.runs_on = done in ("ready", "degraded")
        if self._json and self.code:
            kind, tail = report.get("type", "StartFailed"), report.get("tail", [])
            answer = error_answer(kind, report["reason"], tail=tail, running=self.runs_on)
            self._say(json.dumps(answer))
            self._fail(report["reason"], [])
        elif self._json:
            self._say(json.dumps({"ok": True, **report}))
        elif done == "ready":
            self._say(
                self._style(
                    f"all {report['processes']} processes are ready after {report['seconds']:.1f} s", "green"
                )
            )
            self._say_where(report["url"])
        elif done == "degraded":
            self._fail(report["reason"], report.get("tail", []))
            self._say(f"{report['ready']} of {report['processes']} processes are up, and stay so")
            self._say_where(report["url"])
        else:
            self._fail(report["reason"], report.get("tail", []))
        return True

    def _say_where(self, url: str | None) -> None:
        if url:
            self._say(f"dashboard: {self._style(url, 'bold')}")
        self._say("`luabus-cluster status` shows the processes, `logs -f` what they print, `down` stops them")

    def interrupted(self) -> None:
        """Somebody does not want to wait: Ctrl-C ends the waiting, and nothing else."""
        self._clear()
        self._fail(
            "the cluster goes on starting; `luabus-cluster status` shows it, `luabus-cluster down` stops it",
            [],
        )

    def died(self, code: int, said: str) -> None:
        """The launcher ended without a last report."""
        self.code = code if code > 0 else 1
        reason = f"the launcher ended with exit code {code}"
        tail = [
            {"time": None, "name": "launcher", "stream": "err", "level": None, "line": line}
            for line in said.splitlines()[-20:]
        ]
        if self._json:
            self._say(json.dumps(error_answer("StartFailed", reason, tail=tail)))
        self._fail(reason, tail)

    def _progress(self, report: dict[str, Any]) -> None:
        if self._json:
            return
        if report.get("leftovers"):
            self._say(f"ended {report['leftovers']} processes that a crashed launcher had left behind")
        event = report.get("event")
        if event and event["kind"] == "state" and event["state"] in ("backoff", "failed"):
            self._clear()
            from launcher.cli.progress import state_line

            self._say(visible(state_line(event)))
        elif self._live and "ready" in report:
            bar = "#" * (24 * report["ready"] // max(report["total"], 1))
            self._write(f"\r[{bar:<24}] {report['ready']} of {report['total']} ready")

    def _clear(self) -> None:
        if self._live:
            self._write("\r\x1b[K")

    def _say(self, text: str) -> None:
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        # The cluster comes up whether or not anybody can read that it does.
        with contextlib.suppress(OutputLost):
            sys.stdout.write(text)
            sys.stdout.flush()

    def _fail(self, reason: str, tail: Sequence[Mapping[str, Any]]) -> None:
        style = Style.of(sys.stderr)
        told = [style(visible(line), "bold", "red") for line in reason.split("\n")]
        lines = [*(f"{style('luabus-cluster', 'bold')}: {line}" for line in told), *tail_lines(style, tail)]
        sys.stderr.write("\n".join(lines) + "\n")
