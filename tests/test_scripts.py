"""The two commands on machines that lack something: what they say, what they install, and that they leave no trace.

The scripts run in a copy of the project, with a PATH that holds only what each machine is to have.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.imports import ROOT

TOOLS = (
    "sh",
    "awk",
    "cat",
    "chmod",
    "cksum",
    "cut",
    "dirname",
    "env",
    "id",
    "ls",
    "make",
    "rm",
    "sed",
    "tee",
)


class Machine:
    """A copy of the project and a folder of programs. `run` returns exit code and output, stdout before stderr."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "luabus"
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.policy = folder / "policy-rc.d"
        shutil.copytree(ROOT / "scripts", self.project / "scripts")
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, self.project)
        for tool in TOOLS:
            (self.programs / tool).symlink_to(shutil.which(tool) or pytest.fail(f"the tests need {tool}"))

    def program(self, name: str, script: str) -> None:
        """Give it a shell script as this program."""
        path = self.programs / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(self, *command: str, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            command,
            cwd=self.project,
            env={"PATH": str(self.programs), "POLICY_RC_D": str(self.policy), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def old_python(version: str = "3.9.2") -> str:
    """A script that answers as a Python of this version does: it is too old, and says which it is."""
    return f'case "$2" in *version_info*) exit 1 ;; *) echo {version} ;; esac'


def test_plain_make_lists_the_targets(machine: Machine) -> None:
    code, said = machine.run("make")
    assert code == 0
    assert [line.split()[1] for line in said.splitlines()][:3] == ["help", "up", "test"]


def test_without_python_it_says_what_to_install(machine: Machine) -> None:
    code, said = machine.run("make", "up")
    assert code != 0
    assert "luabus needs Python 3.11 or newer; no python3 was found" in said
    assert "apt-get install python3 python3-venv" in said


def test_an_old_python_is_named(machine: Machine) -> None:
    machine.program("python3", old_python())
    code, said = machine.run("make", "up")
    assert code != 0
    assert "luabus needs Python 3.11 or newer; the python3 found here is 3.9.2" in said


@pytest.mark.parametrize(
    ("python", "complaint"),
    [
        ("python9", "PYTHON=python9: there is no such program"),
        ("python3", "PYTHON=python3 is Python 3.9.2; luabus needs Python 3.11 or newer"),
    ],
)
def test_a_python_that_was_asked_for_is_used_or_refused(
    machine: Machine, python: str, complaint: str
) -> None:
    machine.program("python3", old_python())
    code, said = machine.run("make", "up", f"PYTHON={python}")
    assert code != 0
    assert complaint in said


def test_without_venv_it_names_the_package(machine: Machine) -> None:
    machine.program("python3", f'case "$2" in *ensurepip*) exit 1 ;; esac; exec {sys.executable} "$@"')
    code, said = machine.run("make", "up")
    assert code != 0
    assert "cannot make virtual environments" in said
    assert f"python3-venv     (or python3.{sys.version_info.minor}-venv)" in said


@pytest.fixture
def with_venv(machine: Machine) -> Machine:
    """A machine on which everything was installed before; its pip says so when it is called."""
    folder = machine.project / ".venv/bin"
    folder.mkdir(parents=True)
    python = folder / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$2" in pip) echo "pip $*"; exit 0 ;; esac; exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    (folder.parent / ".made-for").write_text(f"{machine.project.resolve()}\npython3\n")
    assert machine.run("scripts/setup.sh", "dev")[0] == 0
    return machine


def test_the_second_time_nothing_is_installed(with_venv: Machine) -> None:
    assert with_venv.run("scripts/setup.sh", "dev") == (0, "")
    # What the tests need includes what `up` needs.
    assert with_venv.run("scripts/setup.sh", "run") == (0, "")


def test_changed_dependencies_are_installed(with_venv: Machine) -> None:
    with (with_venv.project / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    code, said = with_venv.run("scripts/setup.sh", "run")
    assert code == 0
    assert "install --editable ." in said
    assert "[dev]" not in said


def test_a_moved_folder_gets_a_new_venv(with_venv: Machine) -> None:
    with_venv.project = with_venv.project.rename(with_venv.project.parent / "moved")
    code, said = with_venv.run("scripts/setup.sh", "run")
    assert code != 0
    assert "no python3 was found" in said


def test_without_root_it_says_which_command_to_run(machine: Machine) -> None:
    machine.program("id", "echo 1000")
    machine.program("apt-get", "echo called; exit 1")
    code, said = machine.run("scripts/packages.sh", "bench")
    assert code == 1
    assert "sudo apt-get update && sudo apt-get install --no-install-recommends nats-server" in said
    assert "called" not in said


def test_a_sudo_that_asks_no_password_is_used(machine: Machine) -> None:
    machine.program("id", "echo 1000")
    machine.program("sudo", '[ "$1" = -n ] && exit 0; exec "$@"')
    machine.program("apt-get", fake_apt(machine))
    code, said = machine.run("scripts/packages.sh", "bench")
    assert (code, "installed nats-server" in said) == (0, True)


def test_elsewhere_than_on_debian_it_names_the_programs(machine: Machine) -> None:
    code, said = machine.run("scripts/packages.sh", "bench")
    assert code == 1
    assert "nats-server\n" in said
    assert "package manager of this system" in said


def fake_apt(machine: Machine) -> str:
    """Puts nats-server there when it is told to install it, and says whether starting it was forbidden meanwhile."""
    installed = machine.programs / "nats-server"
    return (
        f'case "$*" in *install*) echo "installed nats-server, starting: $({machine.policy}; echo $?)"; '
        f"echo '#!/bin/sh' >{installed}; chmod 755 {installed} ;; esac"
    )


def test_as_root_it_installs_without_starting_servers_and_restores_the_policy(machine: Machine) -> None:
    machine.program("id", "echo 0")
    machine.program("apt-get", fake_apt(machine))
    code, said = machine.run("scripts/packages.sh", "bench")
    assert (code, "starting: 101" in said) == (0, True)
    assert not machine.policy.exists()


def test_a_policy_of_the_machine_stays(machine: Machine) -> None:
    machine.program("id", "echo 0")
    machine.program("apt-get", fake_apt(machine))
    machine.policy.write_text("#!/bin/sh\nexit 104\n")
    machine.policy.chmod(0o755)
    code, said = machine.run("scripts/packages.sh", "bench")
    assert (code, "starting: 104" in said) == (0, True)
    assert "104" in machine.policy.read_text()


def test_an_installation_that_fails_fails_and_restores_the_policy(machine: Machine) -> None:
    machine.program("id", "echo 0")
    machine.program("apt-get", "exit 100")
    assert machine.run("scripts/packages.sh", "bench")[0] == 100
    assert not machine.policy.exists()


def test_a_python_without_ensurepip_gets_it(machine: Machine) -> None:
    machine.program("id", "echo 0")
    machine.program("make", "exit 0")
    machine.program("python3", "exit 1")
    machine.program(
        "apt-get", f'case "$*" in *install*) echo "$*"; echo "#!/bin/sh" >{machine.programs}/python3 ;; esac'
    )
    code, said = machine.run("scripts/packages.sh", "venv")
    assert code == 0
    assert "-y install --no-install-recommends python3-venv" in said
    assert machine.run("scripts/packages.sh", "venv") == (0, "")


def test_what_is_there_is_not_installed_again(machine: Machine) -> None:
    machine.program("apt-get", "echo called; exit 1")
    for program in ("chromium", "initdb", "redis-server", "etcd", "promtool"):
        machine.program(program, "exit 0")
    assert machine.run("scripts/packages.sh", "test") == (0, "")


@pytest.fixture
def pytest_with() -> Callable[..., int]:
    def run(path: Path, **environment: str) -> int:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "tests.conftest",
            "-c",
            str(ROOT / "pyproject.toml"),
        ]
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider", str(path)],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            check=False,
        )
        return done.returncode

    return run


@pytest.mark.parametrize(
    "test",
    [
        "import pytest\n@pytest.mark.skip\ndef test_it(): ...\ndef test_other(): ...\n",
        "import pytest\n@pytest.mark.xfail\ndef test_it(): assert 0\ndef test_other(): ...\n",
        "import pytest\npytest.skip(allow_module_level=True)\n",
    ],
    ids=["skipped", "expected to fail", "a whole module"],
)
def test_in_ci_a_skipped_test_is_a_failure(
    tmp_path: Path, pytest_with: Callable[..., int], test: str
) -> None:
    (tmp_path / "test_it.py").write_text(test)
    (tmp_path / "test_that_runs.py").write_text("def test_it(): ...\n")
    assert pytest_with(tmp_path, CI="true") == 1


def test_elsewhere_it_is_not(tmp_path: Path, pytest_with: Callable[..., int]) -> None:
    (tmp_path / "test_it.py").write_text("import pytest\n@pytest.mark.skip\ndef test_it(): ...\n")
    assert pytest_with(tmp_path, CI="") == 0
