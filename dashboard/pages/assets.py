"""The static files: read and compressed once at the start, served from memory. No other address exists.

An address carries a mark of all the contents, `/static/MARK/app.js`: a browser may keep what it found there for ever, and what a
script imports from beside itself has the same mark.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from aiohttp import web

FOLDER: Final = Path(__file__).parents[1] / "static"
LASTING: Final = "public, max-age=31536000, immutable"
STYLE: Final = "style.css"
SHEETS: Final = ("base.css", "parts.css", "vendor/uplot/uPlot.min.css")
"""Served as one, `style.css`: until a browser has every sheet it paints nothing, so there is one."""

_IMPORT: Final = re.compile(r'^import (?:[^"]+ from )?"\./([^"]+)";', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Asset:
    """One file; `packed` is it compressed by gzip, to a quarter as a rule."""

    content_type: str
    tag: str
    plain: bytes
    packed: bytes


def read_assets(folder: Path = FOLDER) -> dict[str, Asset]:
    """By path below the folder."""
    contents = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    sheets = [contents.pop(name) for name in SHEETS if name in contents]
    if sheets:
        contents[STYLE] = b"\n".join(sheets)
    return {name: _asset(name, plain) for name, plain in contents.items()}


def _asset(name: str, plain: bytes) -> Asset:
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
    tag = hashlib.sha256(plain).hexdigest()[:16]
    return Asset(kind or "application/octet-stream", tag, plain, gzip.compress(plain, mtime=0))


@cache
def assets() -> Mapping[str, Asset]:
    """Those of the dashboard."""
    return MappingProxyType(read_assets())


@cache
def mark() -> str:
    """Another one when any of the contents is another."""
    names = "".join(f"{name} {asset.tag}\n" for name, asset in sorted(assets().items()))
    return hashlib.sha256(names.encode()).hexdigest()[:12]


def address(name: str) -> str:
    """Where an asset is served, below the prefix."""
    return f"/static/{mark()}/{name}"


@cache
def modules(*names: str) -> tuple[str, ...]:
    """Scripts and all that they import, however deep: a page names them all, so that a browser need not find them one by one."""
    ordered: dict[str, None] = {}
    ahead = list(names)
    while ahead:
        name = ahead.pop(0)
        if name not in ordered:
            ordered[name] = None
            ahead += _IMPORT.findall(assets()[name].plain.decode())
    return tuple(ordered)


class Assets:
    """The route that serves them."""

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/static/{mark}/{path:.+}", self.serve)]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        asset = assets().get(request.match_info["path"])
        if asset is None:
            raise web.HTTPNotFound
        headers = {
            # A page from before an upgrade names another mark: it gets what there is now, which is not to be kept as that.
            "Cache-Control": LASTING if request.match_info["mark"] == mark() else "no-cache",
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
