"""What a user installs: `pip install .` gives everything that runs, and a `luabus-cluster` that works from any folder.

The README's own service is what is run there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import pytest

from tests.support.imports import PACKAGES, ROOT
from tests.support.ports import free_ports
from tests.test_readme import blocks


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the project was installed; what it needs comes from the developer's environment."""
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    target = tmp_path_factory.mktemp("installed")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
    ]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True)
    return target


@pytest.fixture
def post(tmp_path: Path) -> Path:
    """The README's `mail.py` and `cluster.toml` in a folder of their own, on free ports and without the dashboard."""
    (tmp_path / "mail.py").write_text(blocks(ROOT / "README.md", "python")[0], "utf-8")
    settings = f"\n[routers]\nport = {free_ports(2)}\n\n[dashboard]\nenabled = false\n"
    (tmp_path / "cluster.toml").write_text(blocks(ROOT / "README.md", "toml")[0] + settings, "utf-8")
    return tmp_path


class Cli:
    """`luabus-cluster` as it was installed, run in a folder."""

    def __init__(self, installed: Path, folder: Path) -> None:
        self.installed = installed
        self.folder = folder
        # The installed copy goes before the development one.
        self.environment = {**os.environ, "PYTHONPATH": str(installed)}

    def __call__(self, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        return self.run(str(self.installed / "bin" / "luabus-cluster"), *words, codes=codes)

    def run(self, *command: str, codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode in codes, (
            f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done.stdout


@pytest.fixture
def cli(installed: Path, post: Path) -> Iterator[Cli]:
    run = Cli(installed, post)
    yield run
    run("down", codes=(0, 3))  # 3: it is down already


def test_every_file_of_the_packages_is_installed(installed: Path) -> None:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    names = [str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts]
    assert [name for name in names if not (installed / name).exists()] == []


def test_the_command_says_its_version(cli: Cli) -> None:
    assert "0.1.0" in cli("--version")


def test_the_readmes_cluster_runs_in_any_folder(cli: Cli) -> None:
    cli("up", "-d")
    assert states(cli) == {name: state for name, state in RUNNING.items() if name != "dashboard"}
    mail = ("call", "hash:mail:bob", "send_mail", '"alice"', '"bob"', '"hi"', '"lunch?"')
    assert [cli(*mail).strip() for _ in range(2)] == ["1", "2"]


SHADOWING = (
    "dashboard", "launcher", "calendar", "email", "platform", "select", "token", "queue", "types",
)  # fmt: skip
"""Modules that luabus or Python has, too."""


def shadow(folder: Path, dashboard_port: int) -> None:
    """Puts such modules beside cluster.toml, and switches the dashboard on."""
    for name in SHADOWING:
        (folder / f"{name}.py").write_text("raise SystemExit('the module of the user is run')\n", "utf-8")
    (folder / "luabus").mkdir()
    text = (folder / "cluster.toml").read_text("utf-8")
    text = text.replace("[dashboard]\nenabled = false", f"[dashboard]\nport = {dashboard_port}")
    (folder / "cluster.toml").write_text(text, "utf-8")


def states(cli: Cli) -> dict[str, str]:
    return {process["name"]: process["state"] for process in json.loads(cli("status", "--json"))["processes"]}


RUNNING = dict.fromkeys(["router.1", "router.2", "dashboard", "mail.1", "mail.2", "mail.3"], "running")


def test_modules_beside_the_file_are_not_taken_for_those_of_luabus_or_python(cli: Cli) -> None:
    shadow(cli.folder, free_ports(1))
    cli("up", "-d")
    assert states(cli) == RUNNING
    assert cli("call", "hash:mail:bob", "send_mail", '"a"', '"bob"', '"hi"', '"lunch?"').strip() == "1"


def test_a_package_of_the_users_may_be_called_dashboard(cli: Cli) -> None:
    """Its folder's name has what separates the entries of PYTHONPATH."""
    cli.folder = cli.folder.rename(cli.folder.with_name("a:b"))
    shadow(cli.folder, free_ports(1))
    (cli.folder / "dashboard.py").unlink()
    (cli.folder / "dashboard").mkdir()
    (cli.folder / "dashboard/__init__.py").touch()
    (cli.folder / "mail.py").rename(cli.folder / "dashboard/mail.py")
    text = (cli.folder / "cluster.toml").read_text("utf-8")
    (cli.folder / "cluster.toml").write_text(
        text.replace('"mail:service"', '"dashboard.mail:service"'), "utf-8"
    )
    cli("up", "-d")
    assert states(cli) == RUNNING


def test_the_readmes_calls_reach_the_demo(cli: Cli) -> None:
    """The second block: all five routes from a program of one's own, against the examples."""
    demo = (ROOT / "cluster.toml").read_text("utf-8")
    port = free_ports(3)
    text = demo.replace("port = 7070", f"port = {port}").replace("port = 8070", f"port = {port + 2}")
    (cli.folder / "cluster.toml").write_text(text, "utf-8")
    shutil.copytree(ROOT / "examples", cli.folder / "examples")
    calls = blocks(ROOT / "README.md", "python")[1]
    for router in (1, 2):
        calls = calls.replace(str(7069 + router), str(port + router - 1))
    program = f"import asyncio, luabus\nasync def main():\n{indent(calls, '    ')}\nasyncio.run(main())\n"
    cli("up", "-d")
    cli.run(sys.executable, "-c", program)
