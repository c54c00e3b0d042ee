"""Where the leases of services lie that run as other users."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from launcher.processes import service_leases
from launcher.processes.service_leases import is_made, is_within, lease_file, stores
from launcher.processes.users import Identity
from launcher.runtime.run_dir import RunDir
from launcher.runtime.run_dir_keeper import RunDirKeeper

OWN = pwd.getpwuid(os.geteuid()).pw_name


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_only_what_lies_in_run_dir_is_out_of_reach(tmp_path: Path) -> None:
    assert is_within(f"sqlite:///{tmp_path}/lease.db", tmp_path)
    assert not is_within("sqlite:////var/lib/lease.db", tmp_path)
    assert not is_within("redis://x/1", tmp_path)


def test_each_service_has_one_place(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/lease.db"
    users = {"a": None, "b": "no-such-user", "c": OWN}
    own = f"sqlite:///{lease_file(tmp_path, 'b')}"
    assert stores(url, tmp_path, users) == {url: ["a", "c"], own: ["b"]}
    assert stores("redis://x/1", tmp_path, users) == {"redis://x/1": ["a", "b", "c"]}
    assert not is_made(own)


def test_its_folder_is_that_users_and_the_rest_stays_closed(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.prepare()
    assert mode(run_dir.path) == 0o700
    other = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    user = Identity(other.pw_uid, other.pw_gid, (other.pw_gid,))
    for _ in range(2):
        url = service_leases.prepare(run_dir, "mail", user)
    folder = lease_file(run_dir.path, "mail").parent
    assert url == f"sqlite:///{folder}/lease.db"
    assert (folder.stat().st_uid, mode(folder)) == (other.pw_uid, 0o700)
    assert [mode(path) for path in (run_dir.path, folder.parent, run_dir.log_dir)] == [0o711, 0o711, 0o700]
    run_dir.prepare()
    lock = run_dir.lock()
    RunDirKeeper(run_dir, lock).look()
    lock.release()
    assert mode(run_dir.path) == 0o711, "it stays so"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_a_link_that_the_user_put_there_is_not_given_away(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.prepare()
    user = Identity(65534, 65534, (65534,))
    folder = lease_file(run_dir.path, "mail").parent
    service_leases.prepare(run_dir, "mail", user)
    precious = tmp_path / "precious"
    precious.write_text("")
    os.link(precious, folder / "lease.db")
    service_leases.prepare(run_dir, "mail", user)
    assert precious.stat().st_uid == 0
    (folder / "lease.db").unlink()
    (folder / "lease.db").symlink_to(precious)
    assert not is_made(f"sqlite:///{folder}/lease.db")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_the_lease_stays_the_same_when_the_service_becomes_another_users(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.prepare()
    folder = lease_file(run_dir.path, "mail").parent
    service_leases.prepare(run_dir, "mail", Identity(65534, 65534, (65534,)))
    lease, linked, precious = folder / "lease.db", folder / "linked", tmp_path / "precious"
    for file in (lease, precious):
        file.write_text("held")
        os.chown(file, 65534, 65534)
    os.link(precious, linked)
    (folder / "led").symlink_to(precious)
    service_leases.prepare(run_dir, "mail", Identity(1, 1, (1,)))
    assert (folder.stat().st_uid, lease.stat().st_uid, lease.read_text()) == (1, 1, "held")
    assert precious.stat().st_uid == 65534
