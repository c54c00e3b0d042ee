"""The key files of services."""

from __future__ import annotations

import hmac
import os
import shutil
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from launcher.runtime.run_dir import RunDir
from launcher.runtime.service_keys import ServiceKeys
from luabus.errors import LuabusError

OLD, NEW = "the secret of old times", "the secret of new times"


def line(secret: str, service: str) -> str:
    return (
        f"service:{service} {hmac.new(secret.encode(), f'service:{service}'.encode(), sha256).hexdigest()}\n"
    )


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path / "run")
    made.prepare()
    made.write(made.secret_file, OLD)
    return made


def test_a_service_gets_its_own_key_for_itself_alone(run_dir: RunDir) -> None:
    keys = ServiceKeys(run_dir)
    path = keys.ensure("mail")
    assert path == run_dir.path / "keys/mail.key"
    assert path.read_text() == line(OLD, "mail")
    assert OLD not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert keys.ensure("gateway").read_text() == line(OLD, "gateway")


def test_what_holds_another_is_put_right_and_what_is_right_is_left_alone(run_dir: RunDir) -> None:
    keys = ServiceKeys(run_dir)
    path = keys.ensure("mail")
    before = path.stat().st_mtime_ns
    assert keys.ensure("mail").stat().st_mtime_ns == before
    for content in ("", "x", "y" * 500, line(NEW, "mail")):
        path.write_text(content)
        assert keys.ensure("mail").read_text() == line(OLD, "mail")


def test_keys_follow_the_secret_to_which_the_cluster_changes(run_dir: RunDir) -> None:
    keys = ServiceKeys(run_dir)
    paths = [keys.ensure("mail"), keys.ensure("gateway")]
    assert keys.renew() == 0
    run_dir.write(run_dir.secret_file.with_name("secret.next"), f"{NEW}\n")
    with paths[0].open() as held:  # as a service that was given it open does
        assert held.read() == line(OLD, "mail")
        assert keys.renew() == 2
        held.seek(0)
        assert held.read() == line(NEW, "mail")
    assert [path.read_text() for path in paths] == [line(NEW, "mail"), line(NEW, "gateway")]
    assert ServiceKeys(run_dir).ensure("director").read_text() == line(NEW, "director")


def test_a_key_that_was_removed_is_made_again(run_dir: RunDir) -> None:
    keys = ServiceKeys(run_dir)
    paths = [keys.ensure("mail"), keys.ensure("gateway")]
    assert keys.restore() == []
    paths[0].unlink()
    assert keys.restore() == ["mail.key"]
    shutil.rmtree(run_dir.keys_dir)
    assert keys.restore() == ["mail.key", "gateway.key"]
    assert [path.read_text() for path in paths] == [line(OLD, "mail"), line(OLD, "gateway")]


def test_a_symbolic_link_is_not_followed(run_dir: RunDir, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    run_dir.keys_dir.mkdir()
    (run_dir.keys_dir / "mail.key").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        ServiceKeys(run_dir).ensure("mail")
    assert victim.read_text() == "untouched"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="gives a file away")
def test_another_users_key_is_his_and_becomes_ours_again(run_dir: RunDir) -> None:
    keys = ServiceKeys(run_dir)
    assert keys.ensure("mail", 65534).stat().st_uid == 65534
    keys.renew()
    assert (run_dir.keys_dir / "mail.key").stat().st_uid == 65534
    assert keys.ensure("mail").stat().st_uid == os.geteuid()


def test_without_the_secret_no_key_is_made(tmp_path: Path) -> None:
    import luabus

    with pytest.raises(LuabusError, match="the key of service:mail is made from the cluster's secret"):
        luabus.Security.of_key(line(OLD, "gateway")).key_line(luabus.Principal("service", "mail"))
