"""What `up` would fail by is found without running anything of the user's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from launcher.config.schema import ClusterConfig
from launcher.plan.plan import Plan, make_plan
from launcher.plan.program_checks import program_faults, run_fault

RAISES = "raise SystemExit('this module was run')\n"


def plan(folder: Path, **keys: object) -> Plan:
    service = {"command": ["sh"], **keys}
    config = ClusterConfig.model_validate({"services": {"x": service}})
    return make_plan(config, folder / "cluster.toml")


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("service = 1\n", ""),
        ("try:\n    import a as service\nexcept ImportError:\n    service = None\n", ""),
        ("if True:\n    with open('x') as service: pass\n", ""),
        ("service: int = 1\n", ""),
        ("a, (b, service) = x\n", ""),
        ("for service in (): pass\n", ""),
        ("def make():\n    global service\n    service = 1\n", ""),
        ("from mail import *\n", ""),
        ("globals()['service'] = 1\n", ""),
        ("def __getattr__(name): return 1\n", ""),
        ("match x:\n    case 1:\n        service = 2\n", ""),
        ("def f():\n    service = 1\n", 'module m has no "service"'),
        ("servise = 1\n", 'module m has no "service"; did you mean "servise"?'),
        ("service = (\n", "m.py:1 is no Python: '(' was never closed"),
        ("\0", "m.py is no Python"),
    ],
)
def test_the_attribute_is_read_from_the_source(tmp_path: Path, source: str, fault: str) -> None:
    (tmp_path / "m.py").write_text(RAISES + source if "\0" not in source and "(\n" not in source else source)
    spec = plan(tmp_path).by_name()["x.1"]
    found = run_fault("m:service", spec, str(tmp_path))
    assert fault in found
    assert bool(found) is bool(fault)


def test_modules_are_found_where_luabus_run_finds_them(tmp_path: Path) -> None:
    for folder in ("work", "lib", "pkg/sub", "nocode"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("work/a.py", "lib/b.py", "c.py", "pkg/__init__.py", "pkg/sub/d.py", "email.py"):
        (tmp_path / file).write_text(f"{RAISES}service = 1\n")
    (tmp_path / "work" / "a.py").write_text("service = 1\n")
    spec = plan(tmp_path, cwd="work", env={"PYTHONPATH": str(tmp_path / "lib")}).by_name()["x.1"]

    def fault(target: str) -> str:
        return run_fault(target, spec, str(tmp_path))

    for target in ("a:service", "b:service", "c:service", "pkg.sub.d:service", "pytest:fixture"):
        assert fault(target) == ""
    assert f"there is no module nosuch in {tmp_path}/work and {tmp_path}" in fault("nosuch:service")
    assert "there is no module pkg.none in pkg" in fault("pkg.none:service")
    assert "c is no package" in fault("c.d:service")
    assert "email is a module of Python's own" in fault("email:service")
    assert "nocode is a folder without code" in fault("nocode:service")


def test_programs_are_found_by_the_path_of_the_service(tmp_path: Path) -> None:
    run = tmp_path / "run.sh"
    run.write_text("#!/bin/sh\n")

    def faults(**keys: object) -> list[tuple[str, str]]:
        return [(".".join(map(str, key)), text) for key, text in program_faults(plan(tmp_path, **keys))]

    assert faults() == []
    assert faults(instances=0, command=["nosuch"]) == []
    [(key, text)] = faults(command=["nosuch"])
    assert (key, text.startswith('there is no program "nosuch" in its PATH (')) == (
        "services.x.command",
        True,
    )
    assert faults(env={"PATH": "/nonexistent"}) == [
        ("services.x.command", 'there is no program "sh" in its PATH (/nonexistent)')
    ]
    assert faults(command=["./run.sh"])[0][1] == f'"./run.sh" is no file that may be run ({run})'
    run.chmod(0o755)
    assert faults(command=["./run.sh"]) == []
    assert faults(command=["./none.sh"])[0][1] == f'there is no program "./none.sh" ({tmp_path / "none.sh"})'
    assert faults(ready={"exec": ["nosuch"]})[0][0] == "services.x.ready.exec"
    assert os.getcwd() != str(tmp_path)
