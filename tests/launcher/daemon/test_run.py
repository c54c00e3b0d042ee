"""The launcher's process: signals, and a user without rights."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import traceback
from pathlib import Path

from launcher.__main__ import run
from tests.launcher.harness import ClusterRun, alive, child, until

READY = {"command": child("ready", "wait"), "ready": {"log": "ready"}}


def test_sighup_reloads_and_a_broken_file_is_told_in_the_log(cluster: ClusterRun) -> None:
    cluster.write({"web": READY})
    cluster.ok("up", "-d")
    launcher, pid = cluster.launcher_pid, cluster.process("web.1")["pid"]
    cluster.write({"web": READY, "more": READY})
    os.kill(launcher, signal.SIGHUP)
    cluster.until_state("more.1", "running")
    assert cluster.process("web.1")["pid"] == pid
    cluster.file.write_text(cluster.file.read_text() + "[services.x]\n")
    os.kill(launcher, signal.SIGHUP)
    until(lambda: "found neither of run and command" in cluster.log("launcher"), "the launcher's log")
    assert cluster.process("web.1")["pid"] == pid


def test_a_closed_terminal_stops_the_cluster(cluster: ClusterRun) -> None:
    cluster.write({"web": READY})
    master, slave = pty.openpty()
    shown = subprocess.Popen(
        [sys.executable, "-m", "launcher", "-c", str(cluster.file), "up"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    try:
        pid = cluster.until_state("web.1", "running")["pid"]
        os.close(master)
        shown.wait(20)
    finally:
        shown.kill()
        shown.wait()
    assert not alive(pid)
    events = cluster.run_dir.events_file.read_text()
    assert "the cluster stops: the launcher got SIGHUP" in events
    assert "the cluster has stopped" in events


def obey_permissions() -> None:
    """From here on this process, root or not, may do with a file what the file's mode says.

    Another user would be simpler, but may not be able to read the interpreter, this checkout, or what is imported late.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x2008_0522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    sets = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0, os.strerror(ctypes.get_errno())
    for at in range(3):  # effective, permitted, inheritable
        sets[at] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())


def test_a_user_who_may_not_write_run_dir(cluster: ClusterRun, tmp_path: Path) -> None:
    cluster.write({"web": READY})
    cluster.folder.chmod(0o555)
    said = tmp_path / "said"
    child_pid = os.fork()
    if child_pid == 0:
        code = 99
        try:
            sys.stderr = said.open("w", buffering=1)
            obey_permissions()
            code = run(["-c", str(cluster.file), "up", "-d"])
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child_pid, 0)
    cluster.folder.chmod(0o755)
    assert os.waitstatus_to_exitcode(status) == 1, said.read_text()
    text = said.read_text()
    assert f"run_dir {cluster.run_dir.path} cannot be made: Permission denied" in text
    assert "allowed: a folder this user may write (cluster.run_dir in cluster.toml)" in text
    assert "Traceback" not in text
