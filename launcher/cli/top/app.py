"""The screen of `top`: what there is above, processes and routes in two tables, one process' log below when asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Log, Static, TabbedContent, TabPane

from launcher.cli.terminal import Style
from launcher.cli.top.rates import (
    PROCESS_HEADS,
    ROUTE_HEADS,
    Rates,
    counters,
    head,
    plain,
    process_rows,
    route_rows,
)
from launcher.cli.top.source import Source, require_launcher
from launcher.errors import LauncherError, told
from luabus.errors import LuabusError

LOG_LINES = 200
"""Of a process' log, to begin with."""

MOST_LOG_LINES = 5000


class Question(ModalScreen[bool]):
    """Asks before something that cannot be taken back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,q", "answer(False)", "No"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        yield Static(f"{plain(self._text)}\n\n[bold]y[/] yes    [bold]n[/] no", id="question")

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class Top(App[None]):
    """Looks at `source` each `interval` seconds."""

    TITLE = "luabus-cluster top"
    CSS = """
    #head { height: auto; padding: 0 1; background: $panel; }
    #tabs { height: 1fr; }
    #tabs ContentSwitcher { height: 1fr; }
    TabPane { padding: 0; }
    DataTable { height: 1fr; }
    #log-box { display: none; height: 40%; border-top: solid $primary; }
    #log-box.shown { display: block; }
    Question { align: center middle; }
    #question { width: auto; max-width: 80%; height: auto; padding: 1 3; border: thick $error; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "restart", "Restart"),
        Binding("k", "kill", "Kill"),
        Binding("s", "start_stop", "Start/stop"),
        Binding("l", "log", "Log"),
        Binding("tab", "next_tab", "Processes/routes", priority=True),
        Binding("question_mark", "show_help_panel", "Keys"),
        Binding("escape", "close_panels", "Close", show=False),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, source: Source, interval: float) -> None:
        super().__init__()
        self._source = source
        self._interval = interval
        self._rates = Rates()
        self._followed = ""

    def compose(self) -> ComposeResult:
        # Kept, not looked up: the next look may come while the screen is being taken down.
        self._head = Static("connecting", id="head")
        self._processes: DataTable[str] = DataTable(id="processes", cursor_type="row", zebra_stripes=True)
        self._routes: DataTable[str] = DataTable(id="routes", cursor_type="row", zebra_stripes=True)
        self._tabs = TabbedContent(id="tabs")
        self._log_view = Log(id="log", max_lines=MOST_LOG_LINES)
        self._log_box = Vertical(self._log_view, id="log-box")
        yield self._head
        with self._tabs:
            with TabPane("Processes", id="processes-tab"):
                yield self._processes
            with TabPane("Routes", id="routes-tab"):
                yield self._routes
        yield self._log_box
        yield Footer()

    async def on_mount(self) -> None:
        for table, heads in ((self._processes, PROCESS_HEADS), (self._routes, ROUTE_HEADS)):
            for title in heads:
                table.add_column(title, key=title)
        self._processes.focus()
        self.run_worker(self._keep_looking(), name="looking")

    async def on_unmount(self) -> None:
        await self._source.close()

    # -- looking ----------------------------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        try:
            await self._source.start()
        except (LauncherError, LuabusError) as error:
            self.exit(message=told(error), return_code=getattr(error, "exit_code", 1))
            return
        while True:
            look = await self._source.look()
            self._rates.take(counters(look), look.at)
            self._head.update(head(look, self._rates))
            if look.status is not None:
                _fill(self._processes, process_rows(look, self._rates), PROCESS_HEADS)
            if look.routes is not None:
                _fill(self._routes, route_rows(look), ROUTE_HEADS)
            await asyncio.sleep(self._interval)

    def _chosen(self) -> str | None:
        """The process under the cursor."""
        table = self._processes
        if not table.row_count:
            return None
        return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value

    # -- doing ------------------------------------------------------------------------------------------------

    def action_next_tab(self) -> None:
        table = self._routes if self._tabs.active == "processes-tab" else self._processes
        self._tabs.active = f"{table.id}-tab"
        table.focus()

    def action_restart(self) -> None:
        if name := self._chosen():
            self.run_worker(self._ask("restart", name))

    def action_kill(self) -> None:
        if name := self._chosen():

            def answered(yes: bool | None) -> None:
                if yes:
                    self.run_worker(self._ask("kill", name, "SIGKILL"))

            self.push_screen(
                Question(f"Kill {name} with SIGKILL? Its restart policy decides what comes after."), answered
            )

    def action_start_stop(self) -> None:
        name = self._chosen()
        if name is None:
            return
        state = self._processes.get_cell(name, "STATE")
        if any(settled in state for settled in ("exited", "failed", "backoff")):
            self.run_worker(self._ask("start", name))
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.run_worker(self._ask("stop", name))

        self.push_screen(Question(f"Stop {name}? It stays stopped until somebody starts it."), answered)

    async def _ask(self, verb: str, name: str, *more: Any) -> None:
        said = await self._source.ask(verb, name, *more)
        self.notify(plain(f"{verb} {name}: {said}"))

    # -- the log ----------------------------------------------------------------------------------------------

    async def action_log(self) -> None:
        name = self._chosen()
        if name is None or name == self._followed:
            await self._close_log()
            return
        self._log_view.clear()
        self._log_box.border_title = f"{plain(name)}  (l or Esc closes)"
        self._log_box.add_class("shown")
        self._followed = name
        try:
            await self._source.follow(name, LOG_LINES, self._written)
        except (LauncherError, LuabusError) as error:
            self._log_view.write_line(told(error))

    async def action_close_panels(self) -> None:
        self.action_hide_help_panel()
        await self._close_log()

    async def _close_log(self) -> None:
        self._followed = ""
        self._log_box.remove_class("shown")
        await self._source.unfollow()

    def _written(self, lines: Sequence[Mapping[str, Any]]) -> None:
        clean = Style(False).clean
        self._log_view.write_lines(
            [f"{line['time'][11:23]} {line['stream']} {clean(line['line'])}" for line in lines]
        )


def _fill(table: DataTable[str], rows: Mapping[str, Sequence[str]], heads: Sequence[str]) -> None:
    """Shows these rows and no others, in their order; the cursor stays where it is."""
    if [key.value for key in table.rows] != list(rows):
        chosen = table.cursor_row
        table.clear()
        for key, cells in rows.items():
            table.add_row(*cells, key=key)
        table.move_cursor(row=min(chosen, max(len(rows) - 1, 0)))
        return
    for key, cells in rows.items():
        for title, cell in zip(heads, cells, strict=True):
            if table.get_cell(key, title) != cell:
                table.update_cell(key, title, cell, update_width=True)


def run_top(config: Path, interval: float) -> int:
    """Shows it until somebody leaves; the exit code."""
    require_launcher(config)
    app = Top(Source(config), interval)
    app.run()
    return app.return_code or 0
