"""Changing the cluster's secret: at every moment everybody gets in, and a kill at any moment does no harm."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import luabus
from launcher.errors import RunDirError
from launcher.runtime import secret_rotation
from launcher.runtime.run_dir import RunDir
from launcher.runtime.secret_rotation import rotate
from launcher.runtime.service_keys import ServiceKeys
from luabus.errors import AuthError

MAIL = luabus.Principal("service", "mail")
PLACE = ("127.0.0.1", 7070)


class Killed(BaseException):
    """What `kill -9` is in here."""


class Cluster:
    """The files of a cluster, and those who use them: a router, a service with its key file, an administrator."""

    def __init__(self, folder: Path) -> None:
        self.run_dir = RunDir(folder)
        self.run_dir.prepare()
        self.router = self.run_dir.security(luabus.Principal("router", "router.1"))
        self.mail = luabus.Security.of_key_file(ServiceKeys(self.run_dir).ensure("mail"))
        self.admin = self.run_dir.security()
        self.began: list[Callable[[], None]] = []

    def check(self) -> None:
        """Everybody gets in who begins now, also if he read his key before the last step."""
        for begun in self.began:
            begun()
        self.began = [self._begin(security) for security in (self.mail, self.admin)]
        for begun in self.began:
            begun()

    def _begin(self, security: luabus.Security) -> Callable[[], None]:
        """A connector that has read its key now."""
        keys = security.connector("")._key

        def finish() -> None:
            one, other = security.connector(""), self.router.acceptor()
            one._key = keys
            other.start(PLACE, PLACE)
            hello, _ = other.receive(one.start(PLACE, PLACE))
            auth, _ = one.receive(hello)
            other.receive(auth)
            assert other.done

        return finish

    def secrets(self) -> tuple[str, str | None]:
        after = self.run_dir.next_secret_file
        return self.run_dir.secret_file.read_text(), after.read_text() if after.exists() else None


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "run")


def test_everybody_gets_in_at_every_step_and_nobody_with_the_old_one_afterwards(
    cluster: Cluster,
) -> None:
    old = cluster.secrets()[0]
    old_key = ServiceKeys(cluster.run_dir).ensure("mail").read_text()
    steps: list[str] = []

    def tell(step: str, text: str) -> None:
        steps.append(step)
        if step == "done":
            cluster.began.clear()  # the grace is over
        cluster.check()

    rotate(cluster.run_dir, tell, 7.0, lambda seconds: steps.append(f"slept {seconds:g}"))
    cluster.began.clear()
    cluster.check()
    assert steps == ["accept", "keys", "swap", "wait", "slept 7", "done"]
    new, after = cluster.secrets()
    assert new != old
    assert len(new) >= 43
    assert after is None
    for former in (luabus.Security.of(old), luabus.Security.of_key(old_key)):
        cluster.began = [cluster._begin(former)]
        with pytest.raises(AuthError):
            cluster.began[0]()


def counted(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, kill_at: int) -> int:
    """Rotate, and be killed before the `kill_at`-th change of a file; returns how many there were."""
    changes = 0

    def change(do: Callable[..., object]) -> Callable[..., object]:
        def counting(*args: object, **kwargs: object) -> object:
            nonlocal changes
            cluster.check()
            if changes == kill_at:
                raise Killed
            changes += 1
            return do(*args, **kwargs)

        return counting

    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "write", change(RunDir.write))
        patch.setattr(os, "ftruncate", change(os.ftruncate))
        patch.setattr(secret_rotation, "_remove", change(secret_rotation._remove))
        rotate(cluster.run_dir, lambda step, text: None, 0.0, lambda seconds: cluster.began.clear())
    return changes


def test_killed_at_any_step_it_harms_nobody_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = counted(Cluster(tmp_path / "whole"), monkeypatch, 99)
    assert total == 5  # secret.next, mail's key, secret.next, secret; removed
    for kill_at in range(total):
        cluster = Cluster(tmp_path / str(kill_at))
        old = cluster.secrets()[0]
        with pytest.raises(Killed):
            counted(cluster, monkeypatch, kill_at)
        cluster.check()
        begun = cluster.secrets()
        counted(cluster, monkeypatch, 99)
        cluster.began.clear()
        cluster.check()
        new, after = cluster.secrets()
        assert after is None
        assert new != old
        if begun[1] is not None:
            assert new == begun[1].splitlines()[0], "it made yet another one"


def test_a_secret_that_an_administrator_put_there_is_the_new_one(cluster: Cluster) -> None:
    cluster.run_dir.write(cluster.run_dir.next_secret_file, "the secret of my choice\n")
    rotate(cluster.run_dir, lambda step, text: None, 0.0)
    assert cluster.secrets() == ("the secret of my choice", None)


def test_a_service_that_was_started_meanwhile_with_the_old_key_gets_the_new_one(cluster: Cluster) -> None:
    path = ServiceKeys(cluster.run_dir).ensure("mail")
    before = path.read_text()
    rotate(cluster.run_dir, lambda step, text: None, 1.0, lambda seconds: (path.write_text(before), None)[1])
    cluster.check()


def test_only_one_at_a_time(cluster: Cluster) -> None:
    lock = cluster.run_dir.lock_rotation()
    with pytest.raises(RunDirError, match="another `secret rotate` is at work"):
        rotate(cluster.run_dir, lambda step, text: None)
    lock.release()
    rotate(cluster.run_dir, lambda step, text: None, 0.0)


def test_a_next_secret_that_is_none_is_told(cluster: Cluster) -> None:
    before = cluster.secrets()[0]
    cluster.run_dir.write(cluster.run_dir.next_secret_file, "short")
    with pytest.raises(
        RunDirError,
        match=r"secret\.next: a secret in .* has 5 bytes; give at least 16 .*remove it to begin anew",
    ):
        rotate(cluster.run_dir, lambda step, text: None)
    assert cluster.secrets()[0] == before
