"""The launcher's parent: a small process that only waits, and sees to it that nothing outlives the launcher.

On Linux it adopts orphans: when the launcher is killed with -9, everything below it becomes a child of the guard, and is
ended. When the guard itself is killed the launcher notices (its pipe closes) and ends everything at once. (Should
both be killed in the same moment, the processes started directly die with the launcher, and the next `up` finds the rest.)
The guard is forked before anything large is imported, so it costs little.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from launcher.daemon.signal_debounce import Debounce
from launcher.runtime.stdio import OutputLost

PATIENCE_S: Final = 0.5
"""Between SIGTERM and SIGKILL, when the launcher is dead: two seconds are promised in all."""

TOLD: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
"""Written to the lifeline, a byte each: of two signals of a kind that come while the launcher is busy, the system would keep
one. The launcher has a process group of its own, so what a terminal sends (Ctrl-C) comes to the guard alone; what comes on
both ways all the same the launcher knows for one (`signal_debounce.py`)."""


def guarded(run: Callable[[int | None], int], find_run_dir: Callable[[], Path | None]) -> int:
    """Runs `run(lifeline)` in a forked child and returns its exit code when it, and everything below it, has ended.

    `lifeline` is a descriptor where the number of each signal for the launcher can be read, and the end when the guard dies.
    `find_run_dir` is asked only after an abnormal end. Without fork `run(None)` is called directly.
    """
    if not hasattr(os, "fork"):
        return run(None)
    from launcher.processes import linux

    linux.become_subreaper()
    lifeline, kept_open = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(kept_open)
        os.setpgid(0, 0)
        signal.signal(
            signal.SIGTTOU, signal.SIG_IGN
        )  # it may write to the terminal all the same (`stty tostop`)
        os._exit(_run(run, lifeline))
    os.close(lifeline)
    return _watch(child, kept_open, find_run_dir)


def _run(run: Callable[[int | None], int], lifeline: int) -> int:
    """In the forked child, which nothing may leave but by its exit code: what went wrong is told here or nowhere."""
    try:
        code = run(lifeline)
    except KeyboardInterrupt:
        code = 130
    except BaseException as error:
        from launcher.errors import describe

        sys.stderr.write(f"luabus-cluster: {describe(error)}\n")
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, OutputLost):
            stream.flush()
    return code


def _watch(child: int, lifeline: int, find_run_dir: Callable[[], Path | None]) -> int:
    echoes = {number: Debounce() for number in (getattr(signal, name) for name in TOLD)}

    def tell(number: int, _: object) -> None:
        if echoes[number].heard(time.monotonic()):
            with contextlib.suppress(OSError):  # it ends just now
                os.write(lifeline, bytes((number,)))

    for name in TOLD:
        signal.signal(getattr(signal, name), tell)
    code = _wait_for(child)
    if code < 0:
        _clean_up(find_run_dir(), child)
        sys.stderr.write(
            f"luabus-cluster: the launcher was ended by signal {-code}; its processes were ended\n"
        )
        return 128 - code
    return code


def _wait_for(child: int) -> int:
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def _clean_up(path: Path | None, launcher: int) -> None:
    """Ends what is left of the launcher with this pid, which is dead, and removes what it wrote; nothing of another's."""
    # Imported only now: the guard lives as long as the cluster, and should stay small.
    from launcher.processes import orphans, process_tree
    from launcher.runtime.run_dir import RunDir

    deadline = time.monotonic() + PATIENCE_S
    for number in (signal.SIGTERM, signal.SIGCONT):
        process_tree.send(process_tree.descendants(process_tree.look(), os.getpid()), number)
    while remaining := process_tree.descendants(process_tree.look(), os.getpid()):
        if time.monotonic() >= deadline:
            process_tree.send(remaining, process_tree.KILL)
        _reap()
        time.sleep(0.01)
    _reap()
    if path is not None:
        run_dir = RunDir(path)
        orphans.end(run_dir, PATIENCE_S, launcher)
        for file in (run_dir.control_file, run_dir.processes_file):
            run_dir.remove_record(file, launcher)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
