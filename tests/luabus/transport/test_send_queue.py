from __future__ import annotations

import socket
import sys

import pytest

from luabus.transport.send_queue import unacknowledged


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_what_the_peer_has_no_room_for_is_unacknowledged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as ours:
        ours.connect(server.getsockname())
        theirs, _ = server.accept()
        with theirs:
            ours.setblocking(False)
            assert unacknowledged(ours) == 0
            sent = 0
            while True:
                try:
                    sent += ours.send(bytes(1 << 16))
                except BlockingIOError:
                    break
            waiting = unacknowledged(ours)
            assert 0 < waiting < sent
            while unacknowledged(ours) == waiting:
                theirs.recv(1 << 20)
            assert unacknowledged(ours) < waiting


def test_of_a_closed_socket_there_is_nothing() -> None:
    ours = socket.socket()
    ours.close()
    assert unacknowledged(ours) == 0
