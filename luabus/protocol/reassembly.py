"""Frames that arrive in pieces. Pure."""

from __future__ import annotations

from luabus.protocol.frames import HEADER_SIZE

_LARGE = 32 * 1024
"""Bytes of a frame from which on one copy less is worth a detour."""


class Reassembly:
    """The beginning of one frame, kept until the rest has come. `have` of `need` bytes are there; 0 of 0 between frames."""

    __slots__ = ("_pieces", "have", "need")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.have = self.need = 0

    def keep(self, data: bytes, taken: int) -> None:
        """Keep what is left of `data` behind `taken`. Its announced length must have been checked: it is at most one frame."""
        have = len(data) - taken
        if have <= 0:
            return
        self._pieces.append(data[taken:])
        self.have = have
        self.need = HEADER_SIZE
        if have >= HEADER_SIZE:
            self.need += int.from_bytes(data[taken : taken + 4], "little")

    def complete(self, data: bytes) -> tuple[bytes, ...]:
        """What is there to be taken now that `data` has come; () while the frame is still incomplete.

        A large frame comes by itself: so what follows is not copied, and a router can hand it on as it is.
        """
        missing = self.need - self.have
        if len(data) < missing:
            self._pieces.append(data)
            self.have += len(data)
            return ()
        behind = b""
        if self.need > _LARGE:
            data, behind = data[:missing], data[missing:]
        self._pieces.append(data)
        whole = b"".join(self._pieces)
        self.clear()
        return (whole, behind) if behind else (whole,)

    def clear(self) -> None:
        """Forget what is kept."""
        self._pieces.clear()
        self.have = self.need = 0
