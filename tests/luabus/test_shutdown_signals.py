"""SIGTERM and SIGINT: shared, counted, given back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from luabus import shutdown_signals
from tests.support.waiting import until

BOTH = [signal.SIGTERM, signal.SIGINT]


def program(text: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-c", textwrap.dedent(text)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


HANGS = """
    import asyncio, time
    from luabus import shutdown_signals
    async def main():
        with shutdown_signals.hearing(lambda: None{limit}):
            print("hears")
            {hang}
    asyncio.run(main())
"""


@pytest.mark.parametrize("number", BOTH)
async def test_all_that_hear_are_told_once_and_those_that_come_later_at_once(number: int) -> None:
    told: list[str] = []
    with shutdown_signals.hearing(lambda: told.append("a")):
        with shutdown_signals.hearing(lambda: told.append("b")):
            os.kill(os.getpid(), number)
            await until(lambda: told == ["a", "b"])
        with shutdown_signals.hearing(lambda: told.append("c")):
            await until(lambda: told == ["a", "b", "c"])
    with shutdown_signals.hearing(lambda: told.append("afresh")):
        await asyncio.sleep(0)
        assert told == ["a", "b", "c"]


async def test_the_hosts_handlers_come_back_its_loops_too() -> None:
    heard: list[object] = []
    loop = asyncio.get_running_loop()
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    loop.add_signal_handler(signal.SIGTERM, heard.append, "the loop's")
    handlers = [signal.getsignal(number) for number in BOTH]
    told: list[bool] = []
    with shutdown_signals.hearing(lambda: told.append(True)):
        assert [signal.getsignal(number) for number in BOTH] != handlers
        os.kill(os.getpid(), signal.SIGINT)
        await until(lambda: told)
        assert heard == []
    assert [signal.getsignal(number) for number in BOTH] == handlers
    for number in BOTH:
        os.kill(os.getpid(), number)
    await until(lambda: len(heard) == 2)
    assert set(heard) == {signal.SIGINT, "the loop's"}
    loop.remove_signal_handler(signal.SIGTERM)
    signal.signal(signal.SIGINT, before)


async def test_a_handler_that_was_installed_meanwhile_stays() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def newer(number: int, frame: object) -> None: ...

    with shutdown_signals.hearing(lambda: None):
        signal.signal(signal.SIGTERM, newer)
    assert signal.getsignal(signal.SIGTERM) is newer
    signal.signal(signal.SIGTERM, before)


def test_in_other_threads_signals_are_left_alone() -> None:
    handlers = [signal.getsignal(number) for number in BOTH]
    inside: list[list[object]] = []

    async def main() -> None:
        with shutdown_signals.hearing(lambda: None):
            inside.append([signal.getsignal(number) for number in BOTH])

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()
    assert inside == [handlers]


@pytest.mark.parametrize("hang", ["await asyncio.sleep(1000)", "time.sleep(1000)"])
@pytest.mark.parametrize("second", BOTH)
def test_a_second_signal_ends_the_process_at_once(hang: str, second: signal.Signals) -> None:
    process = program(HANGS.format(limit="", hang=hang))
    assert process.stdout is not None
    assert process.stdout.readline() == "hears\n"
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(second)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 128 + second
    assert errors == f"luabus: {second.name} came again: ended at once\n"


@pytest.mark.parametrize("hang", ["await asyncio.sleep(1000)", "time.sleep(1000)"])
def test_after_its_limit_the_process_goes_and_says_where_it_is(hang: str) -> None:
    process = program(HANGS.format(limit=", limit_s=0.2", hang=hang))
    assert process.stdout is not None
    assert process.stdout.readline() == "hears\n"
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - began >= 0.2
    assert "luabus: not ended in time after SIGTERM, and ended now. MainThread is at:" in errors


def test_what_is_held_up_by_a_thread_has_a_moment_more() -> None:
    process = program(
        """
        import asyncio, time
        from luabus.transport.loops import run_program
        from luabus import shutdown_signals
        async def main():
            end = asyncio.Event()
            asyncio.get_running_loop().run_in_executor(None, time.sleep, 1000)
            with shutdown_signals.hearing(end.set, limit_s=60):
                print("hears")
                await end.wait()
        run_program(main())
        print("returned")
        """
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "hears\n"
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=20)
    assert (process.returncode, out) == (128 + signal.SIGTERM, "returned\n")
    assert "threads go on and are left behind: asyncio_0" in errors


THREADS = """
    import asyncio, concurrent.futures, sys, threading, time
    from luabus.transport.loops import run_program
    from luabus import shutdown_signals
    {thread}
    async def main():
        end = asyncio.Event()
        with shutdown_signals.hearing(end.set, limit_s=0.2):
            print("hears")
            await end.wait()
    run_program(main())
    {after}
    print("returned")
"""


@pytest.mark.parametrize(
    "thread",
    [
        "concurrent.futures.ThreadPoolExecutor(1, 'own').submit(time.sleep, 1000)",
        "threading.Thread(target=time.sleep, args=(1000,), name='own_0').start()",
    ],
)
def test_a_programs_own_thread_does_not_keep_it_alive_beyond_the_limit(thread: str) -> None:
    process = program(THREADS.format(thread=thread, after=""))
    assert process.stdout is not None
    assert process.stdout.readline() == "hears\n"
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=20)
    assert (process.returncode, out) == (128 + signal.SIGTERM, "returned\n")
    assert "luabus: not ended in time after SIGTERM, and ended now. " in errors
    assert "own_0 is at:" in errors


@pytest.mark.parametrize(
    ("thread", "after"),
    [
        ("own = threading.Thread(target=time.sleep, args=(2,)); own.start()", "own.join()"),
        ("concurrent.futures.ThreadPoolExecutor(1).submit(int).result()", "time.sleep(2)"),
        ("import atexit; atexit.register(time.sleep, 2)", ""),
    ],
    ids=["joins its thread", "an idle pool", "at exit"],
)
def test_what_the_program_does_after_the_end_is_its_own_affair(thread: str, after: str) -> None:
    process = program(THREADS.format(thread=thread, after=after))
    assert process.stdout is not None
    assert process.stdout.readline() == "hears\n"
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=20)
    assert (process.returncode, out, errors) == (0, "returned\n", "")


@pytest.mark.parametrize(
    "thread",
    [
        "concurrent.futures.ThreadPoolExecutor(1).submit(work)",
        "threading.Thread(target=work).start()",
    ],
)
@pytest.mark.parametrize("first", [None, signal.SIGTERM])
def test_ctrl_c_while_python_waits_for_the_programs_threads_is_no_success(
    thread: str, first: signal.Signals | None
) -> None:
    process = program(
        f"""
        import asyncio, concurrent.futures, threading, time
        from luabus.transport.loops import run_program
        from luabus import shutdown_signals
        def work():
            while not getattr(threading, "_SHUTTING_DOWN", False) and threading.main_thread().is_alive():
                time.sleep(0.01)
            time.sleep(0.05)
            print("waits")
            time.sleep(1000)
        async def main():
            end = asyncio.Event()
            with shutdown_signals.hearing(end.set, limit_s=60):
                print("hears")
                {"end.set()" if first is None else ""}
                await end.wait()
        run_program(main())
        {thread}
        """
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "hears\n"
    if first is not None:
        process.send_signal(first)
    assert process.stdout.readline() == "waits\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGINT
    assert errors == "luabus: SIGINT while threads of the program go on: ended at once\n"


def test_a_forked_child_hears_nothing_of_it_and_does_not_wake_its_parent() -> None:
    async def main() -> None:
        told: list[bool] = []
        before = signal.getsignal(signal.SIGTERM)
        with shutdown_signals.hearing(lambda: told.append(True)):
            pid = os.fork()
            if not pid:
                restored = signal.getsignal(signal.SIGTERM) is before
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                if restored:
                    os.kill(os.getpid(), signal.SIGTERM)
                os._exit(1)
            _, status = await asyncio.to_thread(os.waitpid, pid, 0)
            assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
            assert told == []

    asyncio.run(main())
