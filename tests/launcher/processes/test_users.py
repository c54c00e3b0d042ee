"""Who a user is. That a process becomes it is in test_process.py."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from launcher.processes.users import Identity, UserError, denied, identity, login_variables

OWN = pwd.getpwuid(os.geteuid())
OTHER = pwd.getpwnam("nobody")


def test_the_launchers_own_user_needs_no_change() -> None:
    assert identity(OWN.pw_name) is None


def test_another_user_for_root_alone() -> None:
    if os.geteuid() == 0:
        found = identity("nobody")
        assert isinstance(found, Identity)
        assert (found.uid, found.gid) == (OTHER.pw_uid, OTHER.pw_gid)
        assert OTHER.pw_gid in found.groups
    else:
        with pytest.raises(UserError, match="only root may run it as user 'nobody'"):
            identity("nobody")


def test_an_unknown_user() -> None:
    with pytest.raises(UserError, match="there is no user 'nosuchuser' on this machine"):
        identity("nosuchuser")
    assert login_variables("nosuchuser") == {}


def test_what_a_login_would_tell() -> None:
    assert login_variables("nobody") == {"HOME": OTHER.pw_dir, "USER": "nobody", "LOGNAME": "nobody"}


def test_by_number_with_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    number = str(OTHER.pw_uid)
    assert identity(number) == identity("nobody")
    daemon = grp.getgrnam("daemon").gr_gid
    for group in ("daemon", str(daemon)):
        found = identity(f"nobody:{group}")
        assert found is not None
        assert (found.uid, found.gid, OTHER.pw_gid in found.groups) == (OTHER.pw_uid, daemon, False)
    assert identity("54321:12345") == Identity(54321, 12345, (12345,))
    assert login_variables("54321:12345") == {"HOME": "/", "USER": "54321", "LOGNAME": "54321"}
    assert login_variables(number) == login_variables("nobody")
    for wrong, why in (
        ("54321", "there is no user 54321 on this machine, so its group must be said too"),
        ("nobody:nosuchgroup", "there is no group 'nosuchgroup' on this machine"),
        ("nobody:", "there is no group '' on this machine"),
    ):
        with pytest.raises(UserError, match=why):
            identity(wrong)


def test_ones_own_user_with_another_group_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: OTHER.pw_uid)
    monkeypatch.setattr(os, "getegid", lambda: OTHER.pw_gid)
    assert identity(f"nobody:{OTHER.pw_gid}") is None
    with pytest.raises(UserError, match="only root"):
        identity("nobody:daemon")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as another")
def test_what_a_user_does_not_get_to(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    nobody = identity("nobody")
    assert nobody is not None
    assert denied(nobody, [("/", os.X_OK), (str(closed), os.X_OK), ("/", os.W_OK)]) == [str(closed), "/"]
