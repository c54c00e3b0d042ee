"""A relay by a local user who has no secret: `python relay.py UID PORT TARGET_PORT...`.

Becomes UID, listens at PORT as soon as it is free, and carries the bytes of whoever connects there to the targets, each in turn.
Prints what it sees: `listens`, and per connection `PORT KIND` of each frame that a target sends (3 is WELCOME: it is in).
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time


def frames(data: bytes) -> tuple[list[int], bytes]:
    """The kinds of the complete frames at the start, and what is left."""
    kinds = []
    while len(data) >= 24 and len(data) >= 24 + (size := int.from_bytes(data[:4], "little")):
        kinds.append(data[4])
        data = data[24 + size :]
    return kinds, data


def carry(source: socket.socket, sink: socket.socket, target: int | None) -> None:
    rest = b""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
            if target is not None:
                kinds, rest = frames(rest + data)
                for kind in kinds:
                    say(target, kind)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main() -> None:
    uid, port, *targets = map(
        int, sys.argv[1:]
    )  # all that is imported was: the interpreter may be nobody's to read
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    while True:
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(64)
            break
        except OSError:
            time.sleep(0.001)
    say("listens", os.getuid())
    turn = 0
    while True:
        victim, _ = listener.accept()
        target = targets[turn % len(targets)]
        turn += 1
        there = socket.socket()
        there.connect(("127.0.0.1", target))
        for ends in ((victim, there, None), (there, victim, target)):
            threading.Thread(target=carry, args=ends, daemon=True).start()


if __name__ == "__main__":
    main()
