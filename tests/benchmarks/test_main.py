"""The benchmark programs run, with a handful of messages; what they measure is not looked at.

nats-server and pyzmq are there for `make bench` only, so luabus and the bare sockets stand for all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import NAMES, main
from benchmarks.bus.measures import MEASURES, MEMORY, Scale, memory, run
from benchmarks.bus.systems import ALL
from tests.support.imports import ROOT
from tests.support.ports import free_ports

TINY = Scale(1, 0.002, (20,), slow_messages=4096)
HERE = ["luabus", "floor4"]


@pytest.mark.parametrize("name", ["router-four", "router-hash", "oneway-hash", "request-1", "broadcast"])
def test_a_measure_gives_a_sample_of_every_system(name: str) -> None:
    measure = next(one for one in MEASURES if one.name == name)
    told: list[str] = []
    samples = run(measure, HERE, TINY, told.append)
    assert list(samples) == [system for system in measure.systems if system in HERE]
    for figures in samples.values():
        assert len(figures) == 1
        assert figures[0][measure.main] > 0
    assert told


def test_memory_of_a_router_with_idle_connections_and_beside_a_slow_receiver() -> None:
    (figures,) = memory(["luabus"], TINY, lambda text: None)["luabus"]
    assert figures["idle"] > 1 << 20
    assert figures["per_connection_20"] < 1 << 20
    assert figures["slow_consumer"] < 64 << 20


def test_the_command_measures_shows_and_writes(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    options = [
        "--only",
        "request-1",
        "--system",
        "luabus",
        "--system",
        "floor4",
        "--rounds",
        "2",
        "--seconds",
        "0.002",
    ]
    command = [sys.executable, "-m", "benchmarks", *options, "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Round trips" in done.stdout
    found = json.loads(out.read_text("utf-8"))
    assert [len(samples) for samples in found["measures"]["request-1"].values()] == [2, 2]


def test_a_system_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ALL["nats"], "missing", classmethod(lambda cls: "nats-server (a package)"))
    done = CliRunner().invoke(main, ["--only", "oneway", "--system", "nats"])
    assert done.exit_code == 1
    assert "nats-server (a package)" in done.output


def test_names_are_those_of_the_measures_and_memory() -> None:
    assert [measure.name for measure in MEASURES] == NAMES[:-1]
    assert NAMES[-1] == MEMORY


def test_the_launcher_is_measured_with_its_floor_beside_it() -> None:
    command = [sys.executable, "-m", "benchmarks.launcher.start", "--services", "2", "--idle", "0.1"]
    done = subprocess.run(
        [*command, "--port", str(free_ports(1))], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "2 services with one router" in done.stdout
    for what in ("until all are ready", "as a whole process", "idle launcher", "until all are gone"):
        assert what in done.stdout


def test_the_api_is_loaded_while_the_bus_is_busy_and_neither_fails() -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.dashboard.load",
        "--rate",
        "200",
        "--pages",
        "5",
        "--clients",
        "2",
    ]
    short = ["--rounds", "1", "--seconds", "0.6", "--port", str(free_ports(3))]
    done = subprocess.run([*command, *short], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    for phase in ("nobody looks", "pages open", "API under load"):
        (line,) = (line for line in done.stdout.splitlines() if line.strip().startswith(phase))
        assert line.split()[-1] == "0"  # requests on the bus that failed
    for path in ("/api/v1/connections?sort=-rate_in&limit=100", "/metrics", "/"):
        assert f"    {path} " in done.stdout
