"""run_dir: private, locked, and readable after a crash."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Collection
from pathlib import Path

import pytest

from launcher.errors import AlreadyRunning, RunDirError
from launcher.runtime.run_dir import RunDir
from luabus.private_files import open_private


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
    assert run_dir.read_control() == (1, None, "h", 2, "")
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


def test_a_full_disk_leaves_no_half_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = RunDir(tmp_path / "run")

    def full(path: Path, flags: int, owners: Collection[int] = ()) -> int:
        return (
            os.open("/dev/full", os.O_WRONLY) if "secret" in path.name else open_private(path, flags, owners)
        )

    monkeypatch.setattr("luabus.private_files.open_private", full)
    with pytest.raises(RunDirError, match=r"secret cannot be written: No space left on device; allowed: a f"):
        run_dir.prepare()
    assert not run_dir.secret_file.exists()
    monkeypatch.undo()
    run_dir.prepare()
    assert len(run_dir.secret()) > 30


def take(run_dir: RunDir) -> None:
    """As a launcher does."""
    run_dir.prepare()
    run_dir.lock()


as_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can be somebody else")


@as_root
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    for name in ("secret", "dashboard.token"):
        (path / name).write_text("a" * 32)
        (path / name).chmod(0o600)
    os.chown(path, 65534, 65534)
    with pytest.raises(RunDirError, match=r"belongs to another user \(uid 65534, this is 0\); remove it"):
        RunDir(path).prepare()
    link = tmp_path / "link"
    own = tmp_path / "own"
    own.mkdir()
    link.symlink_to(own)
    os.lchown(link, 65534, 65534)
    with pytest.raises(RunDirError, match="belongs to another user"):
        RunDir(link).prepare()
    assert list(own.iterdir()) == []


@as_root
@pytest.mark.parametrize("name", ["secret", "dashboard.token", "lock", "logs"])
def test_a_file_of_another_user_in_our_own_folder_is_refused(run_dir: RunDir, name: str) -> None:
    if name == "lock":
        run_dir.lock_file.write_text("")
    os.chown(run_dir.path / name, 65534, 65534)
    with pytest.raises(RunDirError, match="belongs to another user"):
        take(run_dir)


@pytest.mark.parametrize("name", ["secret", "dashboard.token", "lock"])
def test_links_are_not_followed(run_dir: RunDir, tmp_path: Path, name: str) -> None:
    target = tmp_path / "precious"
    target.write_text("b" * 40)
    target.chmod(0o600)
    (run_dir.path / name).unlink(missing_ok=True)
    (run_dir.path / name).symlink_to(target)
    with pytest.raises(RunDirError, match="is a link or no regular file"):
        take(run_dir)
    assert target.read_text() == "b" * 40


def test_a_link_in_the_place_of_a_temporary_file_is_left_alone(run_dir: RunDir, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    (run_dir.path / ".control.json.new").symlink_to(target)
    run_dir.control_file.symlink_to(target)
    run_dir.write_record(run_dir.control_file, {"host": "h", "port": 1})
    assert target.read_text() == "mine"
    assert not run_dir.control_file.is_symlink()


def test_it_stays_out_of_git(run_dir: RunDir) -> None:
    ignored = run_dir.path / ".gitignore"
    assert ignored.read_text() == "*\n"
    ignored.write_text("logs\n")
    run_dir.prepare()
    assert ignored.read_text() == "logs\n"


def test_the_lock_is_held_though_its_file_was_removed(run_dir: RunDir) -> None:
    lock = run_dir.lock()
    run_dir.lock_file.unlink()
    with pytest.raises(AlreadyRunning):
        run_dir.lock()
    assert run_dir.holder() is not None
    assert lock.renew()
    assert run_dir.lock_file.read_text() == f"{os.getpid()}\n"
    assert not lock.renew()
    run_dir.lock_file.write_text("")
    assert lock.renew()
    assert run_dir.lock_file.read_text() == f"{os.getpid()}\n"
    lock.release()
    assert run_dir.holder() is None


def test_records_of_a_copy_mean_nothing_and_stay(run_dir: RunDir, tmp_path: Path) -> None:
    run_dir.write_record(run_dir.control_file, {"guard": None, "host": "h", "port": 1})
    run_dir.write_record(run_dir.processes_file, {"run": "r", "processes": [{"pid": 5, "started": 1}]})
    copy = RunDir(tmp_path / "copy")
    shutil.copytree(run_dir.path, copy.path)
    assert run_dir.read_control() is not None
    assert run_dir.read_processes() == ("r", [(5, 1.0)])
    assert copy.read_control() is None
    assert copy.read_processes() == ("", [])
    copy.remove_record(copy.control_file, os.getpid())
    assert copy.control_file.exists()
    moved = RunDir(run_dir.path.rename(tmp_path / "moved"))
    assert moved.read_control() is not None


def test_a_record_of_a_launcher_that_ended_means_nothing_whoever_has_its_pid(run_dir: RunDir) -> None:
    run_dir.write_record(run_dir.control_file, {"guard": None, "host": "h", "port": 1})
    record = json.loads(run_dir.control_file.read_text())
    boot, space, ticks = record["started"].split(" ")
    run_dir.write(run_dir.control_file, json.dumps({**record, "started": f"{boot} {space} {int(ticks) - 1}"}))
    assert run_dir.read_control() is None
    assert run_dir.writer() is None
    run_dir.write(run_dir.control_file, json.dumps({**record, "pid": 1}))
    assert run_dir.writer() is None


def test_only_what_one_wrote_is_removed(run_dir: RunDir) -> None:
    run_dir.write_record(run_dir.control_file, {"guard": None, "host": "h", "port": 1})
    run_dir.remove_record(run_dir.control_file, os.getpid() + 1)
    assert run_dir.control_file.exists()
    run_dir.remove_record(run_dir.control_file, os.getpid())
    assert not run_dir.control_file.exists()
