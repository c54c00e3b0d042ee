from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from dashboard.assets import FOLDER, read_assets
from tests.dashboard.conftest import PAGE, Dash

GZIP, PLAIN = {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "identity"}


def test_each_file_is_read_once_and_compressed(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.js").write_text("const a = 1;")
    ((path, asset),) = read_assets(tmp_path).items()
    assert (path, asset.content_type, asset.plain) == ("inner/a.js", "text/javascript", b"const a = 1;")
    assert gzip.decompress(asset.packed) == asset.plain


@pytest.mark.parametrize(
    ("name", "kind"),
    [("app.js", "text/javascript"), ("parts.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
async def test_files_come_as_small_as_the_reader_takes_them(dash: Dash, name: str, kind: str) -> None:
    packed, plain = [await dash.get(f"/static/{name}", None, **asked) for asked in (GZIP, PLAIN)]
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"])
    assert "Content-Encoding" not in plain.headers
    assert await packed.read() == await plain.read() == (FOLDER / name).read_bytes()
    for answer in (packed, plain):
        assert (answer.content_type, answer.headers["Vary"]) == (kind, "Accept-Encoding")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_page_is_compressed_too(dash: Dash) -> None:
    packed = await dash.get("/", **PAGE, **GZIP)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < len(await packed.read()) / 3


async def test_what_is_known_is_not_sent_again(dash: Dash) -> None:
    first = await dash.get("/static/app.js?v=1", None, **GZIP)
    assert "immutable" in first.headers["Cache-Control"]
    assert (await dash.get("/static/app.js", None)).headers["Cache-Control"] == "no-cache"
    again = await dash.get("/static/app.js", None, **GZIP, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")


@pytest.mark.parametrize("path", ["nothing.js", "../app.py", "%2e%2e/app.py", "..%2Fauth.py", "locale"])
async def test_there_is_nothing_else(dash: Dash, path: str) -> None:
    assert (await dash.get(f"/static/{path}", None)).status == 404
