"""A service's life: identity, hooks, registering with all routers, stopping in order."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import luabus
from luabus.errors import AuthError, ConfigError, IdInUse, NotConnected, RemoteError
from luabus.router.server import Router
from luabus.service.service import Service
from tests.support.bus import SECRET, Instance, Star, joined
from tests.support.fast_time import run_fast
from tests.support.waiting import until


def service(star: Star, name: str = "mail", **options: Any) -> Service:
    return Service(
        name, **{"group": 2, "instance": 1, "routers": star.addresses, "secret": SECRET, **options}
    )


# --- identity -------------------------------------------------------------------------------------------------


async def test_it_registers_with_every_router_under_its_name_and_id() -> None:
    async with Star(3) as star:
        (mail,) = await star.mail(2)
        assert (str(mail.service.service_id), mail.service.name) == ("2.2", "mail")
        for router in star.routers:
            assert router.mgr.switch.table.where(0x0002_0002) is not None
            assert [row["name"] for row in router.connections()] == ["mail.2"]


async def test_it_registers_with_a_router_that_comes_later() -> None:
    async with Star(2) as star:
        (mail,) = await star.mail(1)
        fresh = await star.restart(2)
        await until(lambda: fresh.mgr.switch.table.where(0x0002_0001) is not None)
        await joined(mail.bus)


async def test_identity_and_routers_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Star() as star:
        (tmp_path / "secret").write_bytes(SECRET)
        for name, value in {
            "ROUTERS": star.addresses[0], "SECRET_FILE": str(tmp_path / "secret"), "SERVICE": "mail", "GROUP": "2",
            "INSTANCE": "3", "ROUTE": "hash", "GROUPS": '{"mail": 2, "gateway": 1}',
        }.items():  # fmt: skip
            monkeypatch.setenv(f"LUABUS_{name}", value)
        one = Service()
        async with one:
            assert (str(one.service_id), one.name) == ("2.3", "mail")
            assert one.bus.groups["gateway"] == 1
            group = star.routers[0].mgr.switch.table.group(2)
            assert (group.live, group.mode) == ([0x0002_0003], "hash")


async def test_what_is_given_in_code_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUABUS_GROUP", "9")
    monkeypatch.setenv("LUABUS_INSTANCE", "9")
    async with Star() as star, service(star) as one:
        assert str(one.service_id) == "2.1"


async def test_a_group_by_name_alone() -> None:
    async with Star() as star:
        one = Service("mail", routers=star.addresses, secret=SECRET, groups={"mail": 2})
        async with one:
            assert str(one.service_id) == "2.1"


async def test_started_twice_is_a_configuration_error() -> None:
    async with Star() as star, service(star) as one:
        with pytest.raises(ConfigError, match="has been started already"):
            await one.start()


async def test_started_again_after_it_was_stopped() -> None:
    async with Star() as star:
        one = service(star)
        one.rpc(lambda: "here", name="who")
        bus = await star.client()
        for _ in range(2):
            async with one:
                assert await bus.target("mail.1").request("who") == "here"


async def test_another_secret_is_an_auth_error() -> None:
    async with Star() as star:
        with pytest.raises(AuthError):
            await service(star, secret=b"another secret...").start()


# --- two with one id ------------------------------------------------------------------------------------------


async def test_a_newer_process_takes_the_id_and_the_older_one_ends_its_serving() -> None:
    async with Star(2) as star:
        old = service(star)
        serving = asyncio.create_task(old.serve())
        await until(lambda: old.service_id is not None and all(link.joined for link in old.bus.routers))
        new = await star.service("mail", 1)
        with pytest.raises(IdInUse):
            await serving
        bus = await star.client()
        assert await bus.target("mail.1").request("who") == "mail.1"
        assert all(link.joined for link in new.bus.routers)


async def test_an_older_process_is_refused_while_the_newer_one_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Star() as star:
        await star.mail(1)
        monkeypatch.setattr("luabus.service.settings.time.time_ns", lambda: 1)
        with pytest.raises(IdInUse, match="is held by a live process with incarnation"):
            await service(star).start()


# --- hooks ----------------------------------------------------------------------------------------------------


async def test_hooks_run_in_order_while_the_bus_is_there() -> None:
    async with Star() as star:
        await star.mail(2)
        one = service(star)
        log: list[str] = []

        @one.on_start
        async def ready() -> None:
            log.append(f"start, {await one.bus.target('mail.2').request('who')} is there")
            assert star.routers[0].mgr.switch.table.where(0x0002_0001) is None

        @one.on_start
        def second() -> None:
            log.append("second")

        @one.on_stop
        async def leaving() -> None:
            log.append(f"stop, {await one.bus.target('mail.2').request('who')} is there")

        async with one:
            assert log == ["start, mail.2 is there", "second"]
        assert log[2:] == ["stop, mail.2 is there"]


async def test_a_start_hook_that_fails_fails_the_start_and_leaves_nothing() -> None:
    async with Star() as star:
        one = service(star)

        @one.on_start
        def broken() -> None:
            raise ValueError("no database")

        with pytest.raises(ValueError, match="no database"):
            await one.start()
        await until(lambda: not star.routers[0].connections())


async def test_a_request_of_a_start_hook_that_is_in_flight_while_it_registers_is_answered() -> None:
    async with Star() as star:
        (other,) = await star.mail(2)
        go_on = asyncio.Event()
        other.service.rpc(go_on.wait, name="hold")
        one = service(star)
        tasks: list[asyncio.Task[Any]] = []

        @one.on_start
        async def ask() -> None:
            tasks.append(asyncio.create_task(one.bus.target("mail.2").request("hold", timeout=20.0)))
            await until(lambda: other.service.handlers.running)

        async with one:
            go_on.set()
            assert await tasks[0] is True


# --- stopping -------------------------------------------------------------------------------------------------


async def test_stopping_finishes_what_runs_and_takes_nothing_new() -> None:
    async with Star(2) as star:
        (mail, _) = await star.mail(1, 2)
        go_on = asyncio.Event()
        mail.service.rpc(go_on.wait, name="hold")
        bus = await star.client()
        running = asyncio.create_task(bus.target("mail.1").request("hold"))
        await until(lambda: mail.service.handlers.running)
        stopping = asyncio.create_task(mail.service.stop())
        await until(lambda: all(r.mgr.switch.table.where(0x0002_0001) is None for r in star.routers))
        with pytest.raises(luabus.NoRoute):
            await bus.target("mail.1").request("who")
        assert await bus.hash("mail", 0).request("who") == "mail.2"
        assert not stopping.done()
        go_on.set()
        assert await running is True
        await stopping


async def test_a_service_that_stops_leaves_its_keys_to_all_others_and_a_vacancy_where_it_is_expected() -> (
    None
):
    async with Star(groups={"mail": (2, 3), "robot": (4,)}) as star:
        bus = await star.client()

        async def homes(group: str) -> list[str]:
            return [await bus.hash(group, key).request("who") for key in range(40)]

        for group in ("mail", "robot"):
            for instance in (1, 2, 3):
                await star.service(group, instance)
            one, two, three = (f"{group}.{instance}" for instance in (1, 2, 3))
            before = await homes(group)
            assert set(before) == {one, two, three}
            await star.services[one].service.stop()
            after = await homes(group)
            assert {new for old, new in zip(before, after, strict=True) if old == one} == {two, three}
            assert all(new == old for old, new in zip(before, after, strict=True) if old != one)
            entries = star.routers[0].mgr.switch.table.group(star.services[two].service.service_id.group).ids
            assert len(entries) == (3 if group == "mail" else 2)
            await star.service(group, 1)
            assert await homes(group) == before


async def test_stopping_cancels_what_does_not_finish_in_time() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1, drain_timeout=0.1)
        bus = await star.client()
        running = asyncio.create_task(bus.target("mail.1").request("wait", timeout=None))
        await mail.events.get()
        await mail.service.stop()
        assert await mail.events.get() == "cancelled"
        with pytest.raises((RemoteError, luabus.PeerLost)):
            await running


async def test_a_rolling_restart_of_services_under_load_loses_no_request() -> None:
    async with Star(2) as star:
        mail = await star.mail()
        bus = await star.client()
        done = asyncio.Event()
        answered = 0

        async def ask(index: int) -> None:
            nonlocal answered
            while not done.is_set():
                assert (await bus.hash("mail", index).request("who")).startswith("mail.")
                answered += 1

        tasks = [asyncio.create_task(ask(index)) for index in range(12)]
        for instance in (1, 2, 3):
            await mail[instance - 1].service.stop()
            await star.mail(instance)
        before = answered
        await until(lambda: answered > before + 100)
        done.set()
        await asyncio.gather(*tasks)


async def test_a_rolling_restart_of_routers_under_load_loses_no_request() -> None:
    async with Star(2) as star:
        mail = await star.mail()
        bus = await star.client()
        done = asyncio.Event()
        answered = 0

        async def ask(index: int) -> None:
            nonlocal answered
            while not done.is_set():
                assert (await bus.hash("mail", index).request("who")).startswith("mail.")
                answered += 1

        tasks = [asyncio.create_task(ask(index)) for index in range(12)]
        for number in (1, 2):
            port = star.routers[number - 1].port
            await star.routers[number - 1].stop(10.0)
            fresh = await star._stack.enter_async_context(star.router(number, port))
            star.routers[number - 1] = fresh
            for one in mail:
                await joined(one.bus)
            await until(lambda: all(link.ready for link in bus.routers))
        before = answered
        await until(lambda: answered > before + 100)
        done.set()
        await asyncio.gather(*tasks)


# --- running as a program -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_ends_in_order_at_a_signal(number: signal.Signals) -> None:
    async with Star() as star:
        one = service(star)
        stopped: list[str] = []
        one.on_stop(lambda: stopped.append("stopped"))
        serving = asyncio.create_task(one.serve())
        await until(lambda: star.routers[0].mgr.switch.table.where(0x0002_0001) is not None)
        os.kill(os.getpid(), number)
        await serving
        assert stopped == ["stopped"]
        for used in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(used)


async def test_finish_ends_serve() -> None:
    async with Star() as star:
        one = service(star)
        one.finish()  # before it runs: nothing happens
        serving = asyncio.create_task(one.serve())
        await until(lambda: star.routers[0].mgr.switch.table.where(0x0002_0001) is not None)
        one.finish()
        await serving
        for used in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(used)


async def test_no_router_within_ten_seconds_is_not_connected(
    monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    one = Service("mail", group=2, routers=[f"127.0.0.1:{free_port}"], secret=SECRET)
    real = one.bus.ready
    monkeypatch.setattr(one.bus, "ready", lambda timeout: real(timeout / 100))
    with pytest.raises(NotConnected, match="Connection refused"):
        await one.start()


def test_serving_waits_for_a_router_as_long_as_it_takes_and_says_so(
    caplog: pytest.LogCaptureFixture, free_port: int
) -> None:
    async def main() -> None:
        one = Service("mail", group=2, routers=f"127.0.0.1:{free_port}", secret=SECRET)
        serving = asyncio.create_task(one.serve())
        await asyncio.sleep(60)
        waits = [record.getMessage() for record in caplog.records if "waits for a router" in record.message]
        assert len(waits) in (5, 6)
        assert waits[0].startswith("mail.1 waits for a router: no router is connected")
        async with Router(port=free_port, secret=SECRET) as router:
            await until(lambda: router.mgr.switch.table.where(0x0002_0001) is not None)
            one.finish()
            await serving
        for used in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(used)

    run_fast(main())


async def test_an_instance_of_0_is_refused() -> None:
    async with Star() as star:
        with pytest.raises(ConfigError) as caught:
            await service(star, instance=0).start()
    assert caught.value.key == "instance"


# --- what every service answers -------------------------------------------------------------------------------


async def test_it_describes_its_methods_with_their_counters() -> None:
    async with Star() as star:
        await star.mail(1)
        bus = await star.client()
        await bus.target("mail.1").request("echo", 1)
        described = {entry["name"]: entry for entry in await bus.target("mail.1").request("luabus.methods")}
        assert set(described) == {"who", "echo", "fail", "wait", "note"}
        assert described["echo"]["parameters"] == ["value"]
        assert described["echo"]["stats"]["calls"] == 1
        assert await bus.target("mail.1").request("luabus.ping") is None


async def test_decorators_register_under_the_own_name_or_another() -> None:
    made = Instance("mail", 1, {})

    @made.service.rpc
    def plain() -> None: ...

    @made.service.rpc(name="other", check_types=True)
    def typed(number: int) -> int:
        return number

    made.service.rpc(plain, name="third")
    assert {"plain", "other", "third"} <= set(made.service.handlers.methods)
    assert made.service.handlers.methods["other"].check_types
    assert typed(3) == 3
    assert not made.service.is_master()
    assert made.service.epoch() == 0
    await made.service.stop()  # one that was never started


async def test_one_that_still_waits_for_a_router_ends_at_once_when_it_is_told(free_port: int) -> None:
    one = Service("mail", group=2, routers=[f"127.0.0.1:{free_port}"], secret=SECRET)
    serving = asyncio.create_task(one.serve())
    await until(lambda: one.bus.routers and one.bus.routers[0].last_error)
    one.finish()
    async with asyncio.timeout(5):
        await serving
    for used in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(used)
