"""Who a user is. That a process becomes it is in test_process.py."""

from __future__ import annotations

import os
import pwd

import pytest

from launcher.processes.users import Identity, UserError, identity, login_variables

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
