"""`status`, without click and without an event loop: the whole process has 150 ms."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launcher.cli.terminal import Style
from launcher.errors import NoAnswer, NotRunning
from launcher.runtime.control_client import ask
from luabus.messages import Message


def show_status(config: Path, names: Sequence[str] = (), *, as_json: bool) -> int:
    """Prints it, of these services and instances alone if any are named; exit code 0 when the health is ok, 1 for anything else
    (and without an answer), 3 not running."""
    try:
        status = ask(config, "status")
    except (NotRunning, NoAnswer) as error:
        if not as_json:
            raise
        from luabus.cluster.health import launcher_silent

        state = "not running" if isinstance(error, NotRunning) else "not answering"
        health = launcher_silent(Message.verbatim(str(error))).as_map()
        status = {"ok": False, "state": state, "health": health, "problems": [str(error)], "processes": []}
        sys.stdout.write(json.dumps(status) + "\n")
        return error.exit_code
    if names:
        status = _only(status, names)
    status = {"ok": status["health"]["level"] == "ok", **status}
    if as_json:
        sys.stdout.write(json.dumps(status) + "\n")
    else:
        from launcher.cli.tables import part_text, status_text

        text = part_text if names else status_text
        sys.stdout.write(text(status, Style.of(sys.stdout)) + "\n")
    return 0 if status["ok"] else 1


def _only(status: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The status of some of the processes, judged by what is found about them."""
    from luabus.cluster.state import worst

    rows = status["processes"]
    meant = {row["name"] for name in names for row in rows if name in (row["name"], row["service"])}
    services = {row["service"] for row in rows}
    for name in names:
        if name not in meant and name not in services:
            from launcher.errors import UsageError, suggest

            known = {row["name"] for row in rows} | services
            raise UsageError(f'there is no process or service "{name}"; {suggest(name, known)}')
    shown = [row for row in rows if row["name"] in meant]
    about = meant | {row["service"] for row in shown}
    problems = [problem for problem in status["health"]["problems"] if problem["about"] in about]
    level = worst([problem["level"] for problem in problems])
    sentence = "; ".join(problem["text"] for problem in problems) or f"{', '.join(names)}: all is well."
    return {
        **status,
        "health": {"level": level, "sentence": sentence, "problems": problems},
        "problems": [problem["text"] for problem in problems],
        "processes": shown,
    }
