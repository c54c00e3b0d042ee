"""Two services for tests of masters, each run as a process: `chief`, whose master acts, and `recorder`, whom it tells.

Both write down what happened, one JSON line each, into a file of their own in the run directory. Times are of the boot
clock, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import luabus
from luabus.ids import ServiceId
from luabus.lease.candidate import lease_clock
from luabus.protocol import codec
from luabus.protocol.frames import Kind, make_route

BEAT_S = 0.02

chief = luabus.Service("chief")
recorder = luabus.Service("recorder")
_beating: set[asyncio.Task[None]] = set()


def _write(what: str, **facts: Any) -> None:
    name = f"{os.environ['LUABUS_SERVICE']}.{os.environ['LUABUS_INSTANCE']}"
    line = json.dumps({"at": lease_clock(), "what": what, "who": name, **facts}) + "\n"
    with Path(os.environ["LUABUS_RUN_DIR"], f"{name}.jsonl").open("a") as file:
        file.write(line)


@chief.on_start
def begin() -> None:
    _beating.add(asyncio.create_task(_beat()))


@chief.on_stop
def end() -> None:
    for task in _beating:
        task.cancel()


async def _beat() -> None:
    """A master that acts by itself, without being called."""
    while True:
        await asyncio.sleep(BEAT_S)
        now = lease_clock()
        if chief.is_master():
            with contextlib.suppress(luabus.LuabusError):
                chief.bus.target("recorder.1").send("wrote", "beat", now)


@chief.on_master
def took_over() -> None:
    _write("on_master", epoch=chief.epoch())


@chief.on_slave
def stepped_back() -> None:
    _write("on_slave", epoch=0)


@chief.rpc
def act(number: int) -> list[Any]:
    """Handled as a master: written down here, told to the recorder, answered with the id and the epoch."""
    now = lease_clock()
    epoch = chief.epoch()
    if not epoch:
        raise luabus.NoMaster("its lease ended in this very moment", group=1)
    _write("acted", epoch=epoch, number=number)
    chief.bus.target("recorder.1").send("wrote", "act", now)
    return [str(chief.service_id), epoch]


@chief.rpc
def lie(epoch: int) -> None:
    """Speak with this epoch, as a message would that lay in a buffer while its sender was frozen."""
    stream = chief.bus.preferred
    assert stream is not None
    route = make_route(Kind.TARGET, destination=ServiceId.parse("recorder.1", chief.bus.groups))
    stream.post(route, 0, codec.pack_call("wrote", ("lie", lease_clock())), 0, epoch)


@recorder.rpc
def wrote(kind: str, sent: float) -> None:
    caller = luabus.caller()
    if not caller.epoch:
        return  # its sender is master no longer, and does not say that it is
    _write(kind, source=f"chief.{caller.instance}", epoch=caller.epoch, sent=sent)
