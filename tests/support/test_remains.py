"""The check that every test passes through finds what it is there to find."""

import asyncio
import socket
import subprocess
import sys
import threading
import time

from tests.support.remains import Before, kill_left, left

ORPHAN = "import subprocess; subprocess.Popen(['sleep', '60'], start_new_session=True)"


def test_a_clean_test_leaves_nothing() -> None:
    before = Before()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    socket.socket().close()
    assert left(before) == []


async def test_a_task_is_found() -> None:
    before = Before()
    task = asyncio.create_task(asyncio.Event().wait(), name="left behind")
    assert "left behind" in "\n".join(left(before))
    task.cancel()
    await asyncio.wait([task])
    assert left(before) == []


async def test_a_listening_socket_is_found() -> None:
    before = Before()
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert str(port) in "\n".join(left(before))
    server.close()
    await server.wait_closed()
    assert left(before) == []


def test_a_thread_is_found() -> None:
    before = Before()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="left behind")
    thread.start()
    assert "left behind" in "\n".join(left(before))
    stop.set()
    thread.join()
    assert left(before) == []


def test_an_orphan_in_its_own_session_is_found_and_ended() -> None:
    before = Before()
    subprocess.run([sys.executable, "-c", ORPHAN], check=True)
    assert "sleep 60" in "\n".join(left(before))
    kill_left(before)
    # Its parent is dead: the system's first process takes it from the list, in its own time.
    deadline = time.monotonic() + 5
    while left(before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left(before) == []
