"""A peer that speaks the protocol by hand, byte by byte, and may break every rule of it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Self

from luabus.errors import LuabusError
from luabus.limits import MAX_FRAME_LIMIT
from luabus.protocol import codec
from luabus.protocol.frames import FLAG_REQUEST, Frame, Kind, encode, split
from luabus.protocol.handshake import ConnectorHandshake, decode_bye
from luabus.transport.security import Security


class RawPeer:
    """A TCP connection whose frames are written and read by the test. `async with await RawPeer.open(port) as peer`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._rest = b""
        self._frames: list[Frame] = []
        self.given_id = 0

    @classmethod
    async def dial(cls, port: int, host: str = "127.0.0.1") -> Self:
        """Connected; nothing said yet."""
        return cls(*await asyncio.open_connection(host, port))

    @classmethod
    async def open(
        cls,
        port: int,
        secret: bytes | None = None,
        host: str = "127.0.0.1",
        handshake: ConnectorHandshake | None = None,
    ) -> Self:
        """Connected, and the handshake done, as an administrator unless another `handshake` is given."""
        peer = await cls.dial(port, host)
        await peer.shake(handshake or Security.of(secret).connector(f"{host}:{port}"))
        return peer

    async def shake(self, handshake: ConnectorHandshake) -> None:
        """Do a handshake honestly."""
        peer, local = (self._writer.get_extra_info(end)[:2] for end in ("peername", "sockname"))
        self.write(handshake.start(peer, local))
        while not handshake.done:
            data = await self._reader.read(65_536)
            if not data:
                raise EOFError("closed during the handshake")
            self._rest += data
            answer, taken = handshake.receive(self._rest)
            self._rest = self._rest[taken:]
            self.write(answer)
        self.given_id = handshake.given_id

    def write(self, data: bytes) -> None:
        """Any bytes; the other end may have closed in the meantime."""
        if data and not self._writer.is_closing():
            self._writer.write(data)

    def send(self, frame: Frame) -> None:
        self.write(encode(frame))

    def call(self, method: str, *args: Any, sequence: int = 0, **fields: Any) -> None:
        """A CALL (or, with `kind=`, another) with this body; with a sequence it is a request."""
        kind = fields.pop("kind", Kind.CALL)
        flags = fields.pop("flags", FLAG_REQUEST if sequence else 0)
        self.send(Frame(kind, flags, sequence=sequence, body=codec.pack_call(method, args), **fields))

    async def drain(self) -> None:
        await self._writer.drain()

    async def frame(self, *kinds: Kind) -> Frame:
        """The next frame, of one of `kinds` if any are given (others are passed over). Raises `EOFError`."""
        while True:
            taken = 0
            for found, taken in split(self._rest, MAX_FRAME_LIMIT):  # noqa: B007
                self._frames.append(found)
            self._rest = self._rest[taken:]
            while self._frames:
                found = self._frames.pop(0)
                if not kinds or found.kind in kinds:
                    return found
            data = await self._reader.read(1 << 18)
            if not data:
                raise EOFError("the other end closed the connection")
            self._rest += data

    async def answer(self, sequence: int) -> Any:
        """The value or error that answers the request `sequence`; other frames are passed over."""
        while True:
            found = await self.frame(Kind.REPLY, Kind.ERROR)
            if found.sequence == sequence:
                value = codec.unpack_value(found.body)
                return decode_bye(found.body) if found.kind is Kind.ERROR else value

    async def request(self, method: str, *args: Any, sequence: int = 1, **fields: Any) -> Any:
        """A request and its answer."""
        self.call(method, *args, sequence=sequence, **fields)
        return await self.answer(sequence)

    async def decode_bye(self) -> LuabusError | None:
        """Read to the end: the error in the BYE frame, None when the connection ended without one."""
        try:
            return decode_bye((await self.frame(Kind.BYE)).body)
        except (EOFError, OSError):
            return None

    async def ended(self) -> bool:
        """Read until the other end closes."""
        try:
            while True:
                await self.frame()
        except (EOFError, OSError):
            return True

    def end(self) -> None:
        """Say no more; go on listening."""
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def drop(self) -> bool:
        """Read and forget, until the other end closes."""
        with contextlib.suppress(OSError):
            while await self._reader.read(1 << 18):
                pass
        return True

    async def close(self) -> None:
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()
