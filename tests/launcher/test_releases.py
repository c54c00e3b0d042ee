"""Releases by symlink: `current` leads to another folder, and verbs through it follow."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.__main__ import run as run_verb
from tests.launcher.harness import Done, child, until
from tests.support.ports import free_ports

SERVICE = """
import os
import luabus

service = luabus.Service("mail")

@service.rpc
def release():
    import late
    return [os.environ["RELEASE"], late.RELEASE, os.getcwd()]
"""


class Releases:
    """releases/1 and releases/2, each with a service on the bus, and a command; `current` leads to one of them."""

    def __init__(self, folder: Path, run_dir: str = "") -> None:
        self.folder = folder
        self.current = folder / "current"
        port = free_ports(1)
        for number in ("1", "2"):
            release = folder / "releases" / number
            (release / "work").mkdir(parents=True)
            (release / "mail.py").write_text(SERVICE)
            (release / "late.py").write_text(f"RELEASE = '{number}'\n")
            (release / "cluster.toml").write_text(
                f'[cluster]\nname = "releases"\n{run_dir}\n[routers]\ncount = 1\nport = {port}\n'
                f"[dashboard]\nenabled = false\n"
                f'[services.mail]\ngroup = 2\nrun = "mail:service"\nenv = {{ RELEASE = "{number}" }}\n'
                f"[services.web]\ncommand = {child('wait')!r}\ncwd = 'work'\n"
            )
        self.switch("1")

    def switch(self, release: str) -> None:
        new = self.folder / "new"
        new.symlink_to(Path("releases") / release)
        new.replace(self.current)

    def __call__(self, *arguments: str, file: str = "current/cluster.toml") -> Done:
        """One verb: `up` as a process, all others in this one, which is quicker."""
        if arguments[0] == "up":
            return self.process_of(*arguments, file=file)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run_verb(["-c", str(self.folder / file), *arguments])
        return Done(code, out.getvalue(), err.getvalue())

    def process_of(self, *arguments: str, file: str = "current/cluster.toml", cwd: str = ".") -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "launcher", "-c", file, *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
            cwd=self.folder / cwd, env={**os.environ, "PWD": str(self.folder / cwd)}, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str) -> Done:
        done = self(*arguments)
        assert done.code == 0, (arguments, done)
        return done

    def serves(self) -> list[str]:
        """Release by environment, by modules, and by folder; none while nobody answers."""
        done = self("call", "target:mail.1", "release")
        if done.code:
            return [done.err]
        env, module, cwd = done.json
        return [env, module, Path(cwd).name]

    def cwd_of(self, name: str) -> str:
        rows = self.ok("status", "--json").json["processes"]
        return os.readlink(f"/proc/{next(row['pid'] for row in rows if row['name'] == name)}/cwd")


@pytest.fixture(params=["default run_dir", "shared run_dir"])
def releases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Releases]:
    shared = request.param == "shared run_dir"
    made = Releases(tmp_path / "srv", f"run_dir = '{tmp_path}/run'" if shared else "")
    yield made
    if made("down").code == 3:
        made("down", file="releases/1/cluster.toml")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_reload_and_restart_follow_the_link(releases: Releases) -> None:
    releases.ok("up", "-d")
    assert releases.serves() == ["1", "1", "1"]
    releases.switch("2")
    releases.ok("status")
    dry = releases.ok("reload", "--dry-run").out
    assert "mail.1 (services.mail.env, the folder of cluster.toml)" in dry
    assert "web.1 (services.web.cwd)" in dry
    releases.ok("reload")
    assert releases.serves() == ["2", "2", "2"]
    assert releases.cwd_of("web.1").endswith("releases/2/work")
    assert "nothing to change" in releases.ok("reload").out
    shutil.rmtree(releases.folder / "releases" / "1")
    releases.ok("restart", "mail", "web")
    assert releases.serves() == ["2", "2", "2"]
    releases.ok("down")
    assert not (releases.folder / "releases" / "2" / ".luabus").is_symlink()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_in_the_foreground_and_by_the_shells_folder(tmp_path: Path) -> None:
    releases = Releases(tmp_path / "srv")
    launcher = subprocess.Popen(
        [sys.executable, "-m", "launcher", "up"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
        cwd=releases.current, env={**os.environ, "PWD": str(releases.current)},
    )  # fmt: skip
    try:
        until(lambda: releases("status").code == 0, "a healthy cluster")
        releases.switch("2")
        releases.ok("restart", "web")
        assert releases.cwd_of("web.1").endswith("releases/2/work")
        launcher.send_signal(signal.SIGHUP)
        until(lambda: releases.serves() == ["2", "2", "2"], "the second release")
        # From a shell that still stands in the first one.
        done = releases.process_of("down", file="cluster.toml", cwd="releases/1")
        assert done.code == 0, done
        assert launcher.wait(20) == 0
    finally:
        launcher.kill()
        launcher.wait()


def test_a_file_that_is_a_link_works_where_it_is_named(tmp_path: Path) -> None:
    etc, app = tmp_path / "etc", tmp_path / "app"
    etc.mkdir()
    app.mkdir()
    releases = Releases(tmp_path / "srv")
    (releases.current / "cluster.toml").rename(etc / "game.toml")
    (releases.current / "cluster.toml").symlink_to(etc / "game.toml")
    releases.ok("up", "-d")
    try:
        assert releases.serves() == ["1", "1", "1"]
        assert not (etc / ".luabus").exists()
        assert releases("status", file="releases/../current").code == 0
    finally:
        releases.ok("down")
