"""Others' words in every verb and in the launcher's own output: no line of theirs, and nothing that a terminal obeys."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import luabus.admin
from launcher.__main__ import run
from launcher.cli.commands import bus as bus_verbs
from launcher.cli.commands import call as call_verb
from launcher.cli.commands import shared
from launcher.cli.log_printer import tail_lines
from launcher.cli.progress import Foreground, LogPrinter
from launcher.cli.screen import Screen
from launcher.cli.tables import routes_text, status_text
from launcher.cli.terminal import Style
from launcher.cli.top.rates import Rates, head, process_rows, route_rows
from launcher.cli.top.source import Reading
from launcher.errors import LauncherError, StartFailed, UsageError, told
from launcher.runtime.log_files import Line, RotatingFile, encode
from launcher.runtime.stdio import harmless
from luabus.errors import NotConnected, RemoteError
from luabus.ids import ServiceId
from luabus.messages import Message
from luabus.visible import visible_values

EVIL = "zz\nERROR   luabus.router: ALARM\r\x1b[2J\x1b]0;own\x07\u202e\x9b31m\u2028\x85\x1b[8m\x7f"
OURS = re.compile(r"\x1b\[(?:0|1|2|3[1-6]|1;3[1-6])m")
"""The colours of `Style`."""


def spoil(value: Any) -> Any:
    """With EVIL behind each text; ids are numbers, wherever they come from."""
    if isinstance(value, str):
        return value + EVIL
    if isinstance(value, dict):
        return {key: inner if key == "service_id" else spoil(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [spoil(inner) for inner in value]
    return value


def assert_harmless(text: str, lines: int | None = None) -> None:
    plain = OURS.sub("", text)
    assert plain.replace("\n", "").isprintable(), [
        letter for letter in plain if not letter.isprintable() and letter != "\n"
    ]
    assert not any(line.startswith("ERROR") for line in plain.splitlines())
    if lines is not None:
        assert len(text.splitlines()) == lines


SLOT = {"service_id": "2.1", "name": "mail.1", "token": 1, "share": 1.0}
GROUP = {"group": 2, "name": "mail", "master": "2.1", "epoch": 3, "slots": [SLOT]}
ROUTES = {"consistent": True, "routers": [{"router": f"router.{n}", "groups": [GROUP]} for n in (1, 2)]}
ROW = {
    "name": "mail.1", "kind": "service", "service_id": "2.1", "state": "failed", "held": None, "wanted": True, "ready": True,
    "pid": 7, "uptime_s": 1.0, "cpu_percent": 1.0, "rss_bytes": 1, "restarts": 0, "exit": {"text": "exit code 1"},
}  # fmt: skip
STATUS = {
    "cluster": "demo", "state": "degraded", "uptime_s": 1.0, "pid": 5, "processes": [ROW], "dashboard": "http://x",
    "routers": [{"name": "router.1", "connected": True}, {"name": "router.2", "connected": False}],
    "masters": {"director": "director.1", "game": None}, "problems": ["mail.1 has failed"],
    "keys": {"mail": {"mail.1": 1.0, "mail.2": None}},
    "health": {"level": "warn", "problems": [{"text": "mail.1 has failed"}]},
}  # fmt: skip


@pytest.mark.parametrize("on", [True, False], ids=["terminal", "pipe"])
@pytest.mark.parametrize("consistent", [True, False])
def test_routes(on: bool, consistent: bool) -> None:
    routes = {**ROUTES, "consistent": consistent}
    lines = len(routes_text(routes, Style(on)).splitlines())
    assert_harmless(routes_text(spoil(routes), Style(on)), lines)


@pytest.mark.parametrize("on", [True, False], ids=["terminal", "pipe"])
def test_status(on: bool) -> None:
    lines = len(status_text(STATUS, Style(on)).splitlines())
    assert_harmless(status_text(spoil(STATUS), Style(on)), lines)


def test_reports_of_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    report = {"ok": False, "text": EVIL, "processes": {f"mail.1{EVIL}": f"running{EVIL}", EVIL: "removed"}}
    assert shared.report([report], as_json=False) == 1
    assert_harmless(capsys.readouterr().out, 3)
    assert shared.report([report], as_json=True) == 1
    printed = capsys.readouterr().out
    assert_harmless(printed, 1)
    assert json.loads(printed) == report


class Bus:
    """What the verbs over the bus ask of one, answering with EVIL."""

    names: dict[Any, Any]

    def __init__(self) -> None:
        self.names = {}

    def route(self, text: str) -> Bus:
        return self

    async def request(self, msg: str, *args: Any, timeout: float) -> Any:
        if msg == "fail":
            raise RemoteError(EVIL)
        return {EVIL: [EVIL, "信件", 1.5, b"\x1b[2J\xff"]}

    async def gather(self, msg: str, *args: Any, timeout: float) -> dict[ServiceId, Any]:
        return {ServiceId.of(2, 1): RemoteError(EVIL), ServiceId.of(2, 2): EVIL}


@pytest.fixture
def over_the_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def fake(config: Path, caller: str | None = None) -> Any:
        yield Bus(), SimpleNamespace(groups={"mail": 2}, run_dir=tmp_path)

    async def routes(bus: Any) -> Any:
        return spoil(ROUTES)

    async def register(bus: Any, *args: Any, **options: Any) -> Any:
        return {EVIL: EVIL, "router.1": "done"}

    async def promote(bus: Any, *args: Any, **options: Any) -> Any:
        return {"changed": True, "epoch": 4}

    for verbs in (bus_verbs, call_verb):
        monkeypatch.setattr(verbs, "connected", fake)
    monkeypatch.setattr(luabus.admin, "routes", routes)
    monkeypatch.setattr(luabus.admin, "register", register)
    monkeypatch.setattr(luabus.admin, "promote", promote)
    return lambda *words: run(["-c", str(tmp_path / "cluster.toml"), *words])


@pytest.mark.parametrize(
    "words",
    [
        ("routes",),
        ("routes", "--json"),
        ("call", "target:mail.1", "say"),
        ("call", "target:mail.1", "fail"),
        ("call", "broadcast:mail", "say"),
        ("register", "mail.1", "none"),
        ("register", "mail.1", "none", "--json"),
        ("promote", "mail.1"),
    ],
    ids=" ".join,
)
def test_the_verbs_over_the_bus(
    over_the_bus: Callable[..., int], capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    over_the_bus(*words)
    printed = capsys.readouterr()
    assert_harmless(printed.out)
    assert_harmless(printed.err)
    assert printed.out or printed.err
    if words[0] == "call" and "fail" not in words:
        assert "信件" in printed.out or "broadcast:mail" in words
        json.loads(printed.out)


@pytest.mark.parametrize(
    "words",
    [
        [f"no-such{EVIL}"],
        ["restart", f"--x{EVIL}"],
        ["kill", "x", "-s", EVIL],
        ["scale", EVIL],
        ["up", "-t", EVIL],
        ["completion", EVIL],
        ["register", "mail.1", EVIL],
        ["-c", f"/nowhere/{EVIL}", "check"],
        ["-c", f"/nowhere/{EVIL}", "status"],
        ["-c", f"/nowhere/{EVIL}", "logs"],
    ],
    ids=lambda words: words[0][:12].strip(),
)
def test_what_was_typed_or_lies_there_is_quoted_and_no_more(
    words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "launcher", *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2, done
    assert_harmless(done.stdout)
    assert_harmless(done.stderr)


@pytest.mark.parametrize(
    "error",
    [LauncherError(EVIL), UsageError(EVIL), StartFailed(EVIL, [EVIL]), RemoteError(EVIL), NotConnected(EVIL)],
    ids=lambda error: type(error).__name__,
)
def test_errors_are_told_in_one_line(error: Exception) -> None:
    assert_harmless(told(error), 1)


def test_log_lines_keep_their_colours_and_nothing_else() -> None:
    text = "\x1b[31mred" + EVIL.replace("\n", "")
    for on in (True, False):
        out = io.StringIO()
        printer = LogPrinter(Style(on), out)
        printer.lines(
            [Line("2026-01-31T12:00:00.123456Z", "mail.1", stream, text) for stream in ("out", "sys")]
        )
        assert_harmless(out.getvalue(), 2)
        assert ("\x1b[31mred" in out.getvalue()) is on
        assert not on or out.getvalue().splitlines()[0].endswith("\x1b[0m")


def test_a_file_has_what_was_printed_and_every_door_to_it_shows_it_in_letters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = EVIL.replace("\n", " ")
    (tmp_path / "cluster.toml").write_text("[routers]\nport = 21999\n")
    log = RotatingFile(tmp_path / ".luabus" / "logs" / "mail.1.log", 1 << 20, 1)
    log.path.parent.mkdir(parents=True)
    time = "2026-01-31T12:00:00.123456Z"
    log.write(encode(time, "out", printed.encode()), 1)
    log.close()
    assert printed.encode() in log.path.read_bytes()
    for form in ([], ["--raw"], ["--json"]):
        assert run(["-c", str(tmp_path / "cluster.toml"), "logs", *form]) == 0
        shown = capsys.readouterr().out
        assert_harmless(shown, 1)
    assert json.loads(shown)["line"] == printed
    tail = {"time": time, "name": "mail.1", "stream": "out", "level": None, "line": printed}
    assert_harmless("\n".join(tail_lines(Style(False), [tail])), 1)


def test_what_up_shows() -> None:
    class Out(io.StringIO):
        pass

    out = Out()
    shown = Foreground(out)
    crashed = Message("process.changed-for", before=EVIL, state=EVIL, why=Message.verbatim(EVIL))
    events = [
        {
            "kind": "state",
            "name": "mail.1",
            "state": "failed",
            "message": crashed.as_map(),
            "text": str(crashed),
        },
        {"kind": "promote", "name": EVIL, "message": None, "text": EVIL, "by": EVIL},
    ]
    for event in events:
        shown._event(event)
    shown.failed(StartFailed(EVIL, []))
    shown.stopping(str(Message.verbatim(EVIL)))
    assert_harmless(out.getvalue(), 4)


def test_whatever_goes_to_a_standard_stream_or_the_screen_is_harmless(tmp_path: Path) -> None:
    text = f"\x1b[1mours\x1b[0m {EVIL}\ttab\n\r\x1b[Kanew"
    clean = harmless(text)
    for drives in ("\x1b[2J", "\x1b]", "\x07", "\u202e", "\x9b", "\x85", "\u2028", "\x7f"):
        assert drives not in clean
    assert clean.startswith("\x1b[1mours\x1b[0m zz\nERROR")
    assert clean.endswith("\ttab\n\r\x1b[Kanew")
    with (tmp_path / "shown").open("wb") as file:
        screen = Screen(file.fileno())
        screen.write(text)
        screen.close()
    assert (tmp_path / "shown").read_bytes().decode() == clean


def test_top() -> None:
    look = Reading(0.0, *visible_values([spoil(STATUS), spoil(ROUTES)]))
    cells = [
        head(look, Rates()),
        *sum(process_rows(look, Rates()).values(), ()),
        *sum(route_rows(look).values(), ()),
    ]
    for cell in cells:
        assert cell.replace("\n", "").isprintable()
        for marked_up in re.findall(r"(?<!\\)\[[^]]*\]", cell):
            assert re.fullmatch(r"\[(/|bold|(bold )?(red|green|yellow|cyan|dim))\]", marked_up), cell


def test_no_sentence_carries_what_its_values_have() -> None:
    for values in (
        {"name": EVIL},
        {"name": Message.verbatim(EVIL)},
        {"name": [EVIL, Message.verbatim(EVIL)]},
    ):
        for language in ("en", "zh"):
            assert Message("refusal.no-such-process", hint=EVIL, **values).to(language).isprintable()
            assert Message("nobody.knows-this", **values).to(language).isprintable()
