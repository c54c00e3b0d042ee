"""run_dir: private, locked, and readable after a crash."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from launcher.errors import AlreadyRunning, RunDirError
from launcher.runtime.run_dir import RunDir


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path / "run")
    made.prepare()
    return made


def test_secrets_are_made_once_and_private(run_dir: RunDir) -> None:
    first = run_dir.secret(), run_dir.dashboard_token()
    run_dir.prepare()
    assert (run_dir.secret(), run_dir.dashboard_token()) == first
    assert len(set(map(str, first))) == 2
    assert stat.S_IMODE(run_dir.secret_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(run_dir.path.stat().st_mode) == 0o700


def test_a_folder_that_others_may_enter_is_closed(run_dir: RunDir) -> None:
    run_dir.path.chmod(0o755)
    run_dir.prepare()
    assert stat.S_IMODE(run_dir.path.stat().st_mode) == 0o700


def test_a_secret_that_others_can_read_is_refused(run_dir: RunDir) -> None:
    run_dir.token_file.chmod(0o640)
    with pytest.raises(RunDirError, match=r"dashboard\.token can be read by others; make it private"):
        run_dir.prepare()


def test_only_one_holds_the_lock(run_dir: RunDir) -> None:
    lock = run_dir.lock()
    with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}") as caught:
        run_dir.lock()
    assert caught.value.pid == os.getpid()
    lock.release()
    lock.release()
    run_dir.lock().release()


def test_a_file_is_replaced_in_one_step(run_dir: RunDir) -> None:
    run_dir.write(run_dir.control_file, '{"pid": 1, "host": "h", "port": 2}')
    assert run_dir.read_control() == (1, None, "h", 2)
    assert stat.S_IMODE(run_dir.control_file.stat().st_mode) == 0o600
    assert not list(run_dir.path.glob("*.new"))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", '{"pid": "x", "port": 1, "host": "h"}', '{"pid": 1}', "\xff"]
)
def test_damaged_files_count_as_none(run_dir: RunDir, text: str) -> None:
    run_dir.control_file.write_text(text, "latin-1")
    run_dir.processes_file.write_text(text, "latin-1")
    assert run_dir.read_control() is None
    assert run_dir.read_processes() == ("", [])


def test_recorded_processes_are_read_one_by_one(run_dir: RunDir) -> None:
    run_dir.processes_file.write_text(
        '{"run": "r", "processes": [{"pid": 5, "started": 1}, {"pid": 1, "started": 1}, {"pid": "x"}, 7]}'
    )
    assert run_dir.read_processes() == ("r", [(5, 1.0)])


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirError, match="cannot be made"):
        RunDir(tmp_path / "file" / "run").prepare()
    with pytest.raises(RunDirError, match="cannot be read"):
        RunDir(tmp_path / "none").secret()
    with pytest.raises(RunDirError, match="cannot be opened"):
        RunDir(tmp_path / "none").lock()


def test_an_empty_secret_is_made_anew_unless_a_launcher_runs(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir.secret_file.write_text("")
    with pytest.raises(RunDirError, match=r"secret is empty; delete it, and `luabus-cluster up` makes a new"):
        run_dir.secret()
    lock = run_dir.lock()
    monkeypatch.setattr("launcher.runtime.run_dir.SECRET_PATIENCE_S", 0.0)
    with pytest.raises(RunDirError, match=f"missing or empty, and the launcher .pid {os.getpid()}. runs"):
        run_dir.prepare()
    lock.release()
    run_dir.prepare()
    assert len(run_dir.secret()) > 30
    assert stat.S_IMODE(run_dir.secret_file.stat().st_mode) == 0o600


def test_a_secret_that_is_no_text_is_named(run_dir: RunDir) -> None:
    run_dir.secret_file.write_bytes(b"\xff\xfe" * 20)
    with pytest.raises(RunDirError, match=r"secret holds bytes that are no ASCII text; delete it"):
        run_dir.secret()


def test_a_full_disk_leaves_no_half_secret(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.path.mkdir()
    new = run_dir.path / ".secret.new"
    new.symlink_to("/dev/full")
    with pytest.raises(RunDirError, match=r"secret cannot be written: No space left on device; allowed: a f"):
        run_dir.prepare()
    assert not run_dir.secret_file.exists()
    run_dir.prepare()
    assert len(run_dir.secret()) > 30
