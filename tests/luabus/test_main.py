"""`python -m luabus router` and `run` as black boxes: what they say, how they end."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import pytest

import luabus
from tests.support.programs import CALLED, Cluster, Program
from tests.support.waiting import until

# --- router ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_router_listens_until_a_signal_and_exits_0(tmp_path: Path, number: int) -> None:
    async with Cluster(tmp_path, 1) as cluster:
        router = await cluster.router(1)
        bus = await cluster.client()
        assert bus.groups["mail"] == 2
        assert await router.end(number) == 0
        assert "Traceback" not in router.text


async def test_a_router_drains_at_sigterm(tmp_path: Path) -> None:
    async with Cluster(tmp_path, 2) as cluster:
        routers = [await cluster.router(1), await cluster.router(2)]
        await cluster.mail(1)
        bus = await cluster.client()
        await until(lambda: bus.preferred is not None)
        through = next(index for index, link in enumerate(bus.routers) if link.stream is bus.preferred)
        task = asyncio.create_task(bus.target("mail.1").request("wait", 0.5))
        await asyncio.sleep(0)
        assert await routers[through].end() == 0
        assert await task == "waited"
        assert await bus.target("mail.1").request("who") == "mail.1"


async def test_port_0_is_any_free_one_and_it_says_which() -> None:
    router = await Program.start("router", "--listen", "127.0.0.1:0")
    port = int((await router.says(r"router\.1 listens at 127\.0\.0\.1:(\d+)"))[1])
    async with luabus.connect([f"127.0.0.1:{port}"]) as bus:
        assert bus.routers[0].name == "router.1"
    assert await router.end() == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["router", "--listen", "nonsense:x"], 2, "'nonsense:x' is not an address; write HOST:PORT"),
        (["router", "--listen", "0.0.0.0:0"], 2, "reachable beyond this machine without encryption"),
        (
            ["router", "--secret-file", "/nonexistent/secret"],
            2,
            "the secret file /nonexistent/secret cannot be read",
        ),
        (["router", "--no-such-option"], 2, "unrecognized arguments: --no-such-option"),
        (["rooter"], 2, "invalid choice: 'rooter' (choose from"),
        (["run"], 2, "required: MODULE:ATTRIBUTE"),
        (["run", "tests.support.called"], 2, "'tests.support.called' is not MODULE:ATTRIBUTE"),
        (["run", "no_such_module:service"], 3, "No module named 'no_such_module'"),
        (["run", "tests.support.called:servise"], 3, "has no attribute 'servise'; it has: service"),
        (["run", "tests.support.called:not_a_service"], 3, "something else than a luabus.Service"),
        (["run", "tests.support.broken:service"], 3, "ZeroDivisionError"),
        (["run", "luabus:Service"], 3, "something else than a luabus.Service"),
        (["run", CALLED], 2, "has no group"),
    ],
)
async def test_what_cannot_be_run_is_said_and_has_its_exit_code(
    arguments: list[str], code: int, words: str
) -> None:
    program = await Program.start(*arguments)
    assert await program.code() == code, program.text
    assert words in program.text
    if code == 2:
        assert "Traceback" not in program.text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("LUABUS_LOG_LEVEL", "loud", "LUABUS_LOG_LEVEL='loud'; there are: "),
        ("LUABUS_GROUP", "two", "LUABUS_GROUP='two' is not a number"),
        ("LUABUS_GROUPS", "mail=2", "LUABUS_GROUPS='mail=2' is not JSON such as"),
    ],
)
async def test_an_environment_that_cannot_be_understood_is_said_and_exits_2(
    name: str, value: str, words: str
) -> None:
    for arguments in (["router", "--listen", "127.0.0.1:0"], ["run", CALLED]):
        program = await Program.start(*arguments, **{name: value})
        assert await program.code() == 2, program.text
        assert words in program.text


async def test_a_port_in_use_is_said_and_exits_1() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        program = await Program.start("router", "--listen", f"127.0.0.1:{port}")
        assert await program.code() == 1
        assert f"luabus: cannot listen at 127.0.0.1:{port}: Address already in use" in program.text
        assert "Traceback" not in program.text


async def test_help_says_what_there_is() -> None:
    program = await Program.start("--help")
    assert await program.code() == 0
    assert "router" in program.text
    assert "run" in program.text


# --- run ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_service_answers_until_a_signal_finishes_its_calls_and_exits_0(
    tmp_path: Path, number: int
) -> None:
    async with Cluster(tmp_path, 1) as cluster:
        await cluster.router(1)
        mail = await cluster.mail(1)
        bus = await cluster.client()
        assert await bus.target("mail.1").request("pid") == mail.pid
        running = asyncio.create_task(bus.target("mail.1").request("wait", 0.5))
        await asyncio.sleep(0)  # it is sent first, and so has begun when the next one is answered
        await bus.target("mail.1").request("who")
        mail.tell(number)
        assert await running == "waited"
        assert await mail.code() == 0
        assert "Traceback" not in mail.text
        with pytest.raises(luabus.NoRoute):
            await bus.target("mail.1").request("who")


SHOWS = """
import calendar, sys, dashboard, here
print("found", calendar.__file__, dashboard.__file__, here.__file__, "zstandard" in sys.modules)
sys.exit()
"""


async def test_modules_are_found_in_both_folders_behind_pythons_own_and_before_installed_ones(
    tmp_path: Path,
) -> None:
    cwd, folder = tmp_path / "cwd", tmp_path / "a:b"
    for path in (cwd, folder):
        path.mkdir()
        for name in ("shows", "dashboard", "zstandard", "there"):
            (path / f"{name}.py").write_text(SHOWS)
    (cwd / "here.py").touch()
    (folder / "calendar.py").write_text("1 / 0")
    program = await Program.start("run", "--folder", str(folder), "shows:service", cwd=cwd)
    found = await program.says("^found .*lib.*/calendar.py (.*)")
    assert found[1] == f"{cwd / 'dashboard.py'} {cwd / 'here.py'} True"
    assert await program.code() == 3, "it ended before it had a service"
    (cwd / "here.py").rename(folder / "here.py")
    program = await Program.start("run", "--folder", str(folder), "shows:service", cwd=cwd)
    assert str(folder / "here.py") in (await program.says("^found .*"))[0]
    await program.code()


async def test_another_secret_is_said_and_exits_1(tmp_path: Path) -> None:
    async with Cluster(tmp_path, 1) as cluster:
        await cluster.router(1)
        (tmp_path / "other").write_text("another secret of 16 bytes")
        program = await Program.start(
            "run", CALLED, LUABUS_ROUTERS=cluster.addresses[0], LUABUS_GROUP="2",
            LUABUS_SECRET_FILE=str(tmp_path / "other"),
        )  # fmt: skip
        assert await program.code() == 1
        assert "AuthError: the peer's secret is not ours" in program.text
        assert "Traceback" not in program.text


async def test_a_second_process_with_the_same_id_ends_the_first_which_says_why(tmp_path: Path) -> None:
    async with Cluster(tmp_path, 1) as cluster:
        await cluster.router(1)
        first = await cluster.mail(1)
        second = await cluster.mail(1)
        assert await first.code() == 1
        assert "IdInUse: mail.1 " in first.text
        bus = await cluster.client()
        assert await bus.target("mail.1").request("pid") == second.pid


async def test_a_short_secret_is_bad_configuration(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a\n")
    for words in (
        ["router", "--listen", "127.0.0.1:0", "--secret-file", str(tmp_path / "secret")],
        ["run", CALLED],
    ):
        program = await Program.start(
            *words,
            LUABUS_ROUTERS="127.0.0.1:1",
            LUABUS_GROUP="2",
            LUABUS_SECRET_FILE=str(tmp_path / "secret"),
        )
        assert await program.code() == 2
        assert "secret has 1 byte; give at least 16 bytes" in program.text
        assert "Traceback" not in program.text


async def test_what_a_router_advertises_is_checked(tmp_path: Path) -> None:
    program = await Program.start("router", "--listen", "127.0.0.1:0", "--advertise", "bus.example:7070,a:b")
    assert await program.code() == 2
    assert "'a:b' is not an address" in program.text
