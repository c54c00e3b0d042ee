from __future__ import annotations

import asyncio
import os

import pytest

from launcher.processes.pipes import OutputPipe


async def test_what_is_written_is_heard_and_the_end_closes_it() -> None:
    read, write = os.pipe()
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    OutputPipe(asyncio.get_running_loop(), read, heard.put_nowait)
    os.write(write, b"one")
    assert await asyncio.wait_for(heard.get(), 5) == b"one"
    os.close(write)
    async with asyncio.timeout(5):
        while True:
            try:
                os.fstat(read)
            except OSError:
                break
            await asyncio.sleep(0)


async def test_closing_takes_what_is_there() -> None:
    read, write = os.pipe()
    chunks: list[bytes] = []
    pipe = OutputPipe(asyncio.get_running_loop(), read, chunks.append)
    os.write(write, b"last words")
    pipe.close()
    pipe.close()
    os.close(write)
    assert chunks == [b"last words"]


async def test_one_that_is_abandoned_tells_only_who_abandons_it() -> None:
    heard: list[bytes] = []
    reading, writing = os.pipe()
    pipe = OutputPipe(asyncio.get_running_loop(), reading, heard.append)
    os.write(writing, b"why not")
    os.close(writing)
    assert pipe.abandon() == b"why not"
    assert pipe.abandon() == b""
    assert heard == []
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(reading)
