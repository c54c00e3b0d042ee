from __future__ import annotations

import threading
import time

import pytest

from luabus.errors import NotConnected, RequestTimeout
from luabus.transport.blocking import Conversation
from luabus.transport.blocking_dialing import dial_blocking
from tests.support.names import Names


def test_the_blocking_client_has_one_time_out_for_all_addresses(names: Names) -> None:
    names.hosts = [names.dead(host) for host in ("127.0.0.2", "127.0.0.3", "127.0.0.4")]
    began = time.monotonic()
    with pytest.raises(RequestTimeout, match=r"many\.test:\d+ did not accept within 0\.4 s"):
        Conversation("many.test", names.port, timeout=0.4)
    names.slow["hung.test"] = threading.Event()
    with pytest.raises(RequestTimeout, match=r"did not accept within 0\.4 s"):
        Conversation("hung.test", names.port, timeout=0.4)
    assert time.monotonic() - began < 1.5
    with pytest.raises(NotConnected):
        Conversation("no such name", names.port, timeout=5)


def test_a_closed_port_is_told_at_once_for_every_address(names: Names) -> None:
    names.hosts = ["127.0.0.7", "::1"]
    with pytest.raises(ConnectionRefusedError):
        dial_blocking("many.test", names.port, 60)
