"""Processes of a launcher that died: found by what it recorded and by the marker in their environment, and ended."""

from __future__ import annotations

import signal
import time

from launcher.processes import process_tree
from launcher.runtime.run_dir import RunDir

PATIENCE_S = 2.0
"""After SIGTERM, before SIGKILL: nobody waits for their work any more."""


def find(run_dir: RunDir, writer: int | None = None) -> set[int]:
    """Living processes of the last run recorded in run_dir; of that of the launcher with the pid `writer`, if that is given."""
    run, recorded = run_dir.read_processes(writer)
    if not run and not recorded:
        return set()
    processes: set[int] = set()
    kin = process_tree.Kinship(process_tree.look())
    for pid, started in recorded:
        processes |= kin.living(process_tree.members(kin, pid, started))
    if run:
        processes |= process_tree.marked(run)
    return processes


def end(run_dir: RunDir, patience_s: float = PATIENCE_S, writer: int | None = None) -> int:
    """Ends them all (SIGTERM, then SIGKILL), and returns how many there were. Blocks until none is left."""
    remaining = find(run_dir, writer)
    count = len(remaining)
    process_tree.send(remaining, signal.SIGTERM)
    if hasattr(signal, "SIGCONT"):
        process_tree.send(remaining, signal.SIGCONT)
    deadline = time.monotonic() + patience_s
    while remaining:
        time.sleep(0.02)
        remaining = find(run_dir, writer)
        if time.monotonic() >= deadline:
            process_tree.send(remaining, process_tree.KILL)
    return count
