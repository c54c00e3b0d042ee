from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from dashboard.pages.assets import FOLDER, SHEETS, STYLE, address, assets, mark, modules, read_assets
from tests.dashboard.conftest import PAGE, Dash

GZIP, PLAIN = {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "identity"}


def test_each_file_is_read_once_and_compressed(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.js").write_text("const a = 1;")
    ((path, asset),) = read_assets(tmp_path).items()
    assert (path, asset.content_type, asset.plain) == ("inner/a.js", "text/javascript", b"const a = 1;")
    assert gzip.decompress(asset.packed) == asset.plain


def test_the_sheets_are_served_as_one() -> None:
    assert not set(SHEETS) & set(assets())
    assert assets()[STYLE].plain == b"\n".join((FOLDER / name).read_bytes() for name in SHEETS)


def test_the_mark_is_of_the_contents() -> None:
    assert mark() == mark.__wrapped__()
    assert re.fullmatch("[0-9a-f]{12}", mark())


def test_scripts_are_named_with_all_that_they_import() -> None:
    assert modules("hub-worker.js") == ("hub-worker.js", "hub.js")
    assert set(modules("app.js")) > {"app.js", "live.js", "morph.js"}
    assert len(modules("app.js", "charts.js")) == len(set(modules("app.js", "charts.js")))
    for path in FOLDER.glob("*.js"):
        imported = re.findall(r'(?:from|^import) "\./(.*)";$', path.read_text("utf-8"), re.MULTILINE)
        assert set(imported) <= set(modules(path.name)), path.name


@pytest.mark.parametrize(
    ("name", "kind"),
    [("app.js", "text/javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
async def test_files_come_as_small_as_the_reader_takes_them(dash: Dash, name: str, kind: str) -> None:
    packed, plain = [await dash.get(address(name), None, **asked) for asked in (GZIP, PLAIN)]
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"])
    assert "Content-Encoding" not in plain.headers
    assert await packed.read() == await plain.read() == assets()[name].plain
    for answer in (packed, plain):
        assert (answer.content_type, answer.headers["Vary"]) == (kind, "Accept-Encoding")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_page_is_compressed_too(dash: Dash) -> None:
    packed = await dash.get("/", **PAGE, **GZIP)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < len(await packed.read()) / 3


async def test_what_is_known_is_not_sent_again(dash: Dash) -> None:
    first = await dash.get(address("app.js"), None, **GZIP)
    assert "immutable" in first.headers["Cache-Control"]
    again = await dash.get(address("app.js"), None, **GZIP, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")


async def test_a_page_from_before_an_upgrade_gets_what_there_is_and_does_not_keep_it(dash: Dash) -> None:
    answer = await dash.get("/static/0123456789ab/app.js", None)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")


@pytest.mark.parametrize(
    "path", ["x/nothing.js", "app.js", "x/../app.py", "x/%2e%2e/app.py", "x/..%2Fauth.py", "x/locale", "x/base.css"]
)  # fmt: skip
async def test_there_is_nothing_else(dash: Dash, path: str) -> None:
    assert (await dash.get(f"/static/{path}", None)).status == 404
