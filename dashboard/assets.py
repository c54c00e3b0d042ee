"""The static files: read and compressed once at the start, served from memory. No other address exists."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

FOLDER: Final = Path(__file__).parent / "static"
LASTING: Final = "public, max-age=31536000, immutable"
"""For an address that carries a mark of the contents: a new version is another address."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file; `packed` is it compressed by gzip, to a quarter as a rule."""

    content_type: str
    tag: str
    plain: bytes
    packed: bytes


def read_assets(folder: Path = FOLDER) -> dict[str, Asset]:
    """By path below the folder."""
    return {path.relative_to(folder).as_posix(): _read(path) for path in folder.rglob("*") if path.is_file()}


def _read(path: Path) -> Asset:
    plain = path.read_bytes()
    kind = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(path.name)[0]
    tag = hashlib.sha256(plain).hexdigest()[:16]
    return Asset(kind or "application/octet-stream", tag, plain, gzip.compress(plain, mtime=0))


class Assets:
    """The route that serves them."""

    def __init__(self) -> None:
        self._assets = read_assets()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/static/{path:.+}", self.serve)]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        asset = self._assets.get(request.match_info["path"])
        if asset is None:
            raise web.HTTPNotFound
        headers = {
            "Cache-Control": LASTING if "v" in request.query else "no-cache",
            "ETag": f'"{asset.tag}"',
            "Vary": "Accept-Encoding",
        }
        if any(known.value in (asset.tag, "*") for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        packed = "gzip" in request.headers.get("Accept-Encoding", "").lower()
        if packed:
            headers["Content-Encoding"] = "gzip"
        body = asset.packed if packed else asset.plain
        return web.Response(body=body, content_type=asset.content_type, charset="utf-8", headers=headers)
