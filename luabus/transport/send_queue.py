"""What the system still holds of what was written to a socket."""

from __future__ import annotations

import socket
import sys
from typing import Final

_LENGTH: Final = 4


def unacknowledged(sock: socket.socket) -> int:
    """Bytes that the peer's machine has not confirmed yet; 0 where the system does not tell (other than Linux)."""
    if not sys.platform.startswith("linux"):
        return 0
    import fcntl
    import termios

    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_LENGTH))
    except (OSError, ValueError):  # it is closed
        return 0
    return int.from_bytes(answer, sys.byteorder)
