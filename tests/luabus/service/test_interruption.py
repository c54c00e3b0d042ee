"""What user code raised to end the process is raised at the end, once; `test_exit.py` has it end processes."""

from __future__ import annotations

import pytest

from luabus.service.interruption import Interruption
from luabus.transport.loops import interrupt


async def test_the_first_is_raised_when_the_service_has_stopped() -> None:
    finished: list[bool] = []
    interruption = Interruption(lambda: finished.append(True))
    first = SystemExit(7)

    def run() -> None:
        with interruption:
            interrupt(first)
            interrupt(KeyboardInterrupt())

    with pytest.raises(SystemExit) as raised:
        run()
    assert raised.value is first
    assert finished == [True, True]
    with interruption:
        pass  # a service may run again
