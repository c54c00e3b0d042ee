"""`up` and `down`, as a user meets them: what starts, what stops, and every way a start can fail."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.launcher.harness import ClusterRun, alive, child, until

READY = {"command": child("ready", "wait"), "ready": {"log": "ready"}}

SERVICE = """
import luabus

service = luabus.Service()

@service.rpc
def hello(name):
    return f"hello {name}"
"""


def test_up_in_the_background_and_down(cluster: ClusterRun) -> None:
    cluster.write({"web": {**READY, "instances": 2}}, routers=2)
    up = cluster.ok("up", "-d")
    assert "all 4 processes are ready" in up.out
    status = cluster.ok("status", "--json").json
    assert status["state"] == "healthy"
    assert {row["name"]: row["state"] for row in status["processes"]} == {
        "router.1": "running", "router.2": "running", "web.1": "running", "web.2": "running",
    }  # fmt: skip
    assert all(router["connected"] for router in status["routers"])
    launcher, pids = status["pid"], [row["pid"] for row in status["processes"]]
    down = cluster.ok("down")
    assert "has stopped" in down.out
    assert not any(alive(pid) for pid in (launcher, *pids))
    assert cluster("status").code == 3
    assert not cluster.run_dir.control_file.exists()


def test_a_luabus_service_is_found_from_the_files_folder_and_can_be_called(cluster: ClusterRun) -> None:
    cluster.module("greeter", SERVICE)
    cluster.write({"greeter": {"run": "greeter:service", "group": 7, "instances": 2}}, routers=2)
    cluster.ok("up", "-d")
    assert json.loads(cluster.ok("call", "target:greeter.2", "hello", '"bob"').out) == "hello bob"
    assert (
        json.loads(cluster.ok("call", "random:greeter", "hello", "text without quotes").out)
        == "hello text without quotes"
    )
    every = json.loads(cluster.ok("call", "broadcast:greeter", "hello", "1").out)
    assert every == {"greeter.1": "hello 1", "greeter.2": "hello 1"}
    routes = cluster.ok("routes", "--json").json
    assert routes["consistent"]
    assert [router["router"] for router in routes["routers"]] == ["router.1", "router.2"]
    wrong = cluster("call", "target:greeter.2", "helo")
    assert wrong.code == 1
    assert "UnknownMethod" in wrong.err
    assert cluster("call", "target:greeter.9", "hello").code == 1


def test_run_dir_and_what_lies_in_it_are_private(cluster: ClusterRun) -> None:
    cluster.write({})
    cluster.ok("up", "-d")
    run_dir = cluster.run_dir
    assert stat.S_IMODE(run_dir.path.stat().st_mode) == 0o700
    for file in (run_dir.secret_file, run_dir.token_file, run_dir.control_file, run_dir.processes_file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    secret = run_dir.secret_file.read_text()
    cluster.ok("down")
    cluster.ok("up", "-d")
    assert run_dir.secret_file.read_text() == secret


def test_the_foreground_shows_progress_then_logs_then_for_what_it_waits(cluster: ClusterRun) -> None:
    command = child("ignore=SIGTERM", "say=hello from me", "err=oh", "ready", "wait")
    cluster.write({"web": {"command": command, "ready": {"log": "ready"}, "restart": {"stop_timeout": 1.0}}})
    launcher = cluster.foreground()
    assert launcher.stdout is not None
    seen = ""
    while "are ready" not in seen:
        seen += launcher.stdout.readline()
    cluster.until_state("web.1", "running")
    os.killpg(launcher.pid, signal.SIGINT)  # what a terminal does at Ctrl-C
    rest, _ = launcher.communicate(timeout=20)
    seen += rest
    assert launcher.returncode == 0
    assert "starting cluster test: 2 processes" in seen
    assert "web.1    | hello from me" in seen
    assert "stopping: Ctrl-C" in seen
    assert "waiting for web.1 to end" in seen
    assert "did not end in time: SIGKILL" in seen
    assert "everything has stopped" in seen


def test_a_second_ctrl_c_does_not_wait(cluster: ClusterRun) -> None:
    stubborn = {
        "command": child("ignore=SIGTERM", "ready", "wait"),
        "ready": {"log": "ready"},
        "restart": {"stop_timeout": 60},
    }
    cluster.write({"stubborn": stubborn})
    cluster.ok("up", "-d")
    launcher, pid = cluster.launcher_pid, cluster.process("stubborn.1")["pid"]
    os.kill(launcher, signal.SIGINT)
    cluster.until_state("stubborn.1", "stopping")
    assert alive(pid)

    def press() -> bool:
        """As often as somebody would who is in a hurry."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(launcher, signal.SIGINT)
        return not alive(launcher)

    until(press, "the launcher has ended", 5)
    assert not alive(pid)


def test_ctrl_c_twice_at_once_does_not_wait_either(cluster: ClusterRun) -> None:
    stubborn = {
        "command": child("ignore=SIGTERM", "ready", "wait"),
        "ready": {"log": "ready"},
        "restart": {"stop_timeout": 60},
    }
    cluster.write({"stubborn": stubborn})
    shown = cluster.foreground()
    pid = cluster.until_state("stubborn.1", "running")["pid"]
    os.killpg(shown.pid, signal.SIGINT)
    time.sleep(0.03)  # the gap itself is what is tested: nobody's fingers are quicker
    os.killpg(shown.pid, signal.SIGINT)
    said, _ = shown.communicate(timeout=20)
    assert shown.returncode == 0
    assert "everything has stopped" in said
    assert not alive(pid)
    assert "in a hurry: SIGKILL" in cluster.run_dir.events_file.read_text()


def test_ctrl_c_ends_the_waiting_and_not_the_cluster(cluster: ClusterRun) -> None:
    cluster.write({"slow": {"command": child("pid=pids", "wait"), "ready": {"log": "never"}, "cwd": "."}})
    words = [sys.executable, "-m", "launcher", "-c", str(cluster.file), "up", "-d"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        (pid,) = until(lambda: cluster.pids("pids"), "the process has begun")
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate(timeout=20)
    assert waiting.returncode == 130
    assert (
        "the cluster goes on starting; `luabus-cluster status` shows it, `luabus-cluster down` stops it"
        in said
    )
    assert alive(pid)
    assert cluster.status()["state"] == "starting"
    cluster.ok("down")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_background_job_of_a_script_stops_in_order(cluster: ClusterRun, number: signal.Signals) -> None:
    """A shell without job control has its background jobs ignore SIGINT; whoever sends one to the pid means it all the same,
    and the processes of the cluster inherit nothing of it."""
    cluster.write(
        {"web": {"command": child("pid=pids", "ready", "wait"), "ready": {"log": "ready"}, "cwd": "."}}
    )
    script = f'{sys.executable} -m launcher -c {cluster.file} up & echo $!; wait $!; echo "code $?"'
    shell = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert shell.stdout is not None
    job = int(shell.stdout.readline())
    try:
        pid = cluster.until_state("web.1", "running")["pid"]
        inherited = ignored_signals(pid)
        os.kill(job, number)
        os.kill(
            job, number
        )  # twice at once, as programs do that signal a process and its group: not in a hurry yet
        said, _ = shell.communicate(timeout=20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(job, signal.SIGKILL)
        shell.kill()
        shell.communicate()
    assert inherited == {signal.SIGPIPE, signal.SIGXFSZ}  # these, every Python ignores of itself
    assert "everything has stopped" in said
    assert "in a hurry" not in said
    assert "code 0" in said
    assert not alive(pid)


def ignored_signals(pid: int) -> set[int]:
    """Of a process on Linux."""
    (mask,) = re.findall(r"^SigIgn:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return {number for number in range(1, 32) if int(mask, 16) & 1 << number - 1}


def test_up_twice_is_refused_with_the_pid(cluster: ClusterRun) -> None:
    cluster.write({})
    cluster.ok("up", "-d")
    for arguments in (["up", "-d"], ["up"]):
        second = cluster(*arguments)
        assert second.code == 1
        assert f"runs already for {cluster.run_dir.path}: pid {cluster.launcher_pid}" in second.err
    assert cluster("status").code == 0


def test_a_port_in_use_names_the_process_and_starts_nothing(cluster: ClusterRun) -> None:
    cluster.write({"web": {"command": child("pid=pids", "wait"), "cwd": "."}})
    with socket.create_server(("127.0.0.1", cluster.router_port)):
        up = cluster("up", "-d")
    assert up.code == 1
    assert (
        f"router.1 cannot listen at 127.0.0.1:{cluster.router_port}: the port is taken by pid {os.getpid()}"
        in up.err
    )
    assert cluster.pids("pids") == []
    assert cluster("status").code == 3


def test_a_module_that_cannot_be_imported_fails_the_start_with_its_traceback(cluster: ClusterRun) -> None:
    cluster.module("broken", "import no_such_module_anywhere\n")
    cluster.write({"broken": {"run": "broken:service", "group": 5}})
    up = cluster("up", "-d")
    assert up.code == 1
    assert "broken.1 has failed: could not be loaded" in up.err
    assert "ModuleNotFoundError: No module named 'no_such_module_anywhere'" in up.err
    assert "no_such_module_anywhere" in cluster.log("broken.1")
    assert cluster.process("router.1")["state"] == "running"  # the others stay up
    cluster.ok("down")
    aborted = cluster("up", "--abort-on-failure")
    assert aborted.code == 1
    assert "ModuleNotFoundError" in aborted.out
    assert cluster("status").code == 3


def test_a_module_that_breaks_later_is_failed_and_the_rest_runs_on(cluster: ClusterRun) -> None:
    cluster.module("greeter", SERVICE)
    cluster.write({"greeter": {"run": "greeter:service", "group": 5, "instances": 2}})
    cluster.ok("up", "-d")
    cluster.module("greeter", "1 / 0\n")
    cluster.ok("kill", "greeter.1")
    row = cluster.until_state("greeter.1", "failed")
    assert row["exit"]["code"] == 3
    assert any("ZeroDivisionError" in line for line in row["exit"]["stderr"])
    degraded = cluster("status")
    assert degraded.code == 1
    assert "greeter.1 has failed" in degraded.out
    assert cluster.process("greeter.2")["state"] == "running"


def test_a_program_that_does_not_exist_fails_the_start(cluster: ClusterRun) -> None:
    cluster.write({"ghost": {"command": ["./no-such-program"]}})
    up = cluster("up", "-d")
    assert up.code == 1
    assert "there is no program './no-such-program'" in up.err


SHY = {"command": child("say=almost", "wait"), "ready": {"log": "ready"}}


def test_one_that_is_not_ready_in_time_is_tried_again(cluster: ClusterRun) -> None:
    late = ["sh", "-c", "test -e late && echo ready; touch late; exec sleep 1000"]
    policy = {"start_timeout": 1.0, "restart": {"backoff": 0.05}}
    cluster.write({"late": {"command": late, "ready": {"log": "ready"}, "cwd": ".", **policy}})
    up = cluster.ok("up", "-d")
    assert "late.1 waits to be restarted: not ready within 1 s: no line of its output matches" in up.out
    assert cluster.process("late.1")["restarts"] == 1


def test_one_that_is_never_ready_fails_the_start_when_it_is_given_up(cluster: ClusterRun) -> None:
    policy = {"backoff": 0.05, "crash_limit": 2}
    cluster.write({"shy": {**SHY, "start_timeout": 0.5, "restart": policy}})
    up = cluster("up", "-d")
    assert up.code == 1
    why = 'no line of its output matches "ready" yet'
    assert f"shy.1 has failed: not ready within 0.5 s: {why}; given up: 2 crashes within 60 s" in up.err
    assert "almost" in up.err


LOOP = {"command": child("exit=1"), "restart": {"policy": "always", "crash_limit": 1000, "backoff": 0.2}}


def test_what_is_not_ready_in_time_is_told_and_the_rest_stays_up(cluster: ClusterRun) -> None:
    cluster.write({"web": READY, "loop": LOOP, "shy": SHY, "after": {**READY, "depends_on": ["shy"]}})
    up = cluster("up", "-d", "--timeout", "6")
    assert up.code == 1
    assert "not ready after 6 s: " in up.err
    for told in ("shy.1 is starting: no line of its output", "loop.1 ", "after.1 waits for shy.1", "almost"):
        assert told in up.err, told
    assert "2 of 5 processes are up, and stay so" in up.out
    assert cluster.process("web.1")["state"] == "running"
    assert cluster.ok("down").code == 0


def test_what_is_started_again_for_ever_is_not_waited_for(cluster: ClusterRun) -> None:
    policy = {"policy": "always", "backoff": 0.05, "backoff_max": 0.1, "crash_limit": 3}
    loop = {"command": child("exit=0"), "restart": policy}
    cluster.write({"web": READY, "loop": loop, "after": {**READY, "depends_on": ["loop"]}})
    up = cluster("up", "-d")
    assert (up.code, cluster.process("web.1")["state"]) == (1, "running")
    assert "after.1 waits for loop.1" in up.err


@pytest.mark.parametrize("mended", [True, False])
def test_a_foreground_goes_on_when_the_time_is_over(cluster: ClusterRun, mended: bool) -> None:
    shy = ["sh", "-c", "test -e mended && echo ready; exec sleep 1000"]
    cluster.write({"web": READY, "shy": {"command": shy, "ready": {"log": "ready"}, "cwd": "."}})
    launcher = cluster.foreground("--timeout", "1.5")
    assert launcher.stdout is not None
    while "the other processes stay up" not in (line := launcher.stdout.readline()):
        assert line
    if mended:
        (cluster.folder / "mended").touch()
        cluster.ok("restart", "shy")
        while "all 3 processes are ready" not in (line := launcher.stdout.readline()):
            assert line
    os.kill(launcher.pid, signal.SIGTERM)
    launcher.communicate(timeout=20)
    assert launcher.returncode == (0 if mended else 1)


@pytest.mark.parametrize(("essential", "option"), [(True, []), (False, ["--abort-on-failure"])])
def test_only_who_asked_for_it_loses_the_cluster_when_the_time_is_over(
    cluster: ClusterRun, essential: bool, option: list[str]
) -> None:
    cluster.write({"web": READY, "shy": {**SHY, "essential": essential}})
    up = cluster("up", "-d", "--timeout", "1.5", *option)
    assert (up.code, cluster("status").code) == (1, 3)
    assert "not ready after 1.5 s: " in up.err


def test_what_depends_on_a_service_without_instances_fails_the_start(cluster: ClusterRun) -> None:
    cluster.write({"web": {**READY, "depends_on": ["db"]}, "db": {**READY, "instances": 0}})
    up = cluster("up", "-d")
    assert up.code == 1
    assert "web.1 cannot start: waits for db (which has no instances); scale db up first" in up.err


def test_one_that_ends_with_success_before_it_is_ready_has_not_started(cluster: ClusterRun) -> None:
    cluster.write(
        {"brief": {"command": child("exit=0"), "ready": {"log": "ready"}, "restart": {"backoff": 0.05}}}
    )
    up = cluster("up", "-d")
    assert up.code == 1
    assert "before it was ready" in up.err


def test_a_broken_file_starts_nothing(cluster: ClusterRun) -> None:
    cluster.write({"web": {"command": ["x"], "instnces": 2}})
    for verb in (["up"], ["up", "-d"], ["check"]):
        done = cluster(*verb)
        assert done.code == 2
        assert f'{cluster.file}:13: services.web.instnces: unknown key; did you mean "instances"?' in done.err
    assert not cluster.run_dir.path.exists()


def test_no_file(cluster: ClusterRun) -> None:
    for verb in ("up", "status", "down", "check", "logs", "routes"):
        done = cluster(verb)
        assert done.code == 2, verb
        assert "there is no such file" in done.err


def test_verbs_without_a_cluster_say_so(cluster: ClusterRun) -> None:
    cluster.write({})
    for verb in (
        ["status"],
        ["down"],
        ["kill", "x"],
        ["restart", "x"],
        ["routes"],
        ["call", "random:x", "y"],
        ["reload"],
    ):
        done = cluster(*verb)
        assert done.code == 3, (verb, done)
        assert "luabus-cluster up" in done.err, verb
    assert cluster("status", "--json").json["state"] == "not running"


def test_a_run_dir_that_cannot_be_made(cluster: ClusterRun) -> None:
    (cluster.folder / "file").write_text("")
    cluster.write({}, cluster='run_dir = "file/run"')
    done = cluster("up", "-d")
    assert done.code == 1
    assert f"run_dir {cluster.folder / 'file/run'} cannot be made: Not a directory" in done.err


def test_a_secret_that_others_can_read_is_refused(cluster: ClusterRun) -> None:
    cluster.write({})
    cluster.run_dir.prepare()
    cluster.run_dir.secret_file.chmod(0o644)
    done = cluster("up", "-d")
    assert done.code == 1
    assert "can be read by others" in done.err


def test_a_secret_that_is_none_any_more_is_told(cluster: ClusterRun) -> None:
    cluster.write({})
    cluster.ok("up", "-d")
    right = cluster.run_dir.secret_file.read_text()
    for content, said in (
        ("a", "secret holds 1 bytes, and a secret has at least 16"),
        ("", "secret is empty"),
    ):
        cluster.run_dir.secret_file.write_text(content)
        done = cluster("status")
        assert done.code == 1
        assert said in done.err
    cluster.run_dir.secret_file.write_text(right)
    cluster.ok("status")


def test_it_works_from_any_folder_and_by_its_installed_name(cluster: ClusterRun) -> None:
    cluster.write({})
    done = subprocess.run(
        ["luabus-cluster", "-c", str(cluster.file), "check"], cwd="/", capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": f"{Path(os.sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done
    assert "is right" in done.stdout


def test_essential_services_take_the_cluster_with_them(cluster: ClusterRun) -> None:
    quick = {"policy": "never"}
    cluster.write(
        {"heart": {**READY, "essential": True, "restart": quick}, "toe": {**READY, "restart": quick}}
    )
    launcher = cluster.foreground()
    assert launcher.stdout is not None
    while "are ready" not in launcher.stdout.readline():
        pass
    cluster.ok("kill", "toe.1")
    cluster.until_state("toe.1", "failed")
    assert launcher.poll() is None
    cluster.ok("kill", "heart.1")
    out, _ = launcher.communicate(timeout=20)
    assert launcher.returncode == 1
    assert "heart.1 is essential and has failed" in out


def test_a_dashboard_that_fails_leaves_the_rest_and_nobody_is_sent_to_it(cluster: ClusterRun) -> None:
    cluster.write({"web": READY}, dashboard=True)
    (cluster.run_dir.path / "dashboard.viewer.token").mkdir(parents=True)
    cluster.run_dir.path.chmod(0o700)
    up = cluster("up", "-d", "--timeout", "6")
    assert (up.code, "dashboard" in up.err, "/login?" in up.out) == (1, True, False)
    assert cluster.process("web.1")["state"] == "running"
